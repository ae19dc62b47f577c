"""ENGINE, ROW_FORMAT, FORCE, PARTITION BY and the like."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import mysql_fixes as fixes
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_REBUILD = frozenset(
    ("engine", "row-format", "force", "key-block-size", "order-by", "encryption", "page-compressed", "tablespace")
)
_COPY = frozenset(("partition", "system-versioning"))


def check(operation: ops.AlterTable | ops.Vacuum, context: Context) -> Iterator[Hazard]:
    """Report a table that is built anew."""
    if operation.table is None or context.is_new(operation.table):
        return
    action = operation.action if isinstance(operation, ops.AlterTable) else "optimize"
    if action in _COPY:
        yield Hazard(
            f"the table{context.rows(operation.table)} is copied while nobody can write to it",
            fixes.online_copy(operation.table, context.statement.statement.text.split(None, 3)[-1]),
            str(operation.table),
            severity="error",
            lock="SHARED",
        )
    elif action in _REBUILD or action == "optimize":
        yield Hazard(
            f"the table{context.rows(operation.table)} is built anew; writers go on, but replicas wait for it",
            fixes.online_copy(operation.table, "ENGINE=InnoDB"),
            str(operation.table),
        )


_DAYS = (
    "CREATE TABLE days (id INT NOT NULL PRIMARY KEY) PARTITION BY RANGE (id) "
    "(PARTITION p1 VALUES LESS THAN (10), PARTITION p2 VALUES LESS THAN (20));"
    "CREATE TABLE day (id INT NOT NULL PRIMARY KEY);"
)
RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-table-rebuild",
    summary="ENGINE, ROW_FORMAT, FORCE, OPTIMIZE and partitioning build the table anew",
    why="In place at best, which replicas still wait for; partitioning and system versioning stop writers.",
    catalogue="B2.19",
    severity="warning",
    effect="rewrite",
    on=(ops.AlterTable, ops.Vacuum),
    check=check,
    bad=(
        Example("ALTER TABLE users ENGINE=InnoDB;"),
        Example("ALTER TABLE users ROW_FORMAT=COMPRESSED;"),
        Example("ALTER TABLE users FORCE;"),
        Example("ALTER TABLE users TABLESPACE innodb_file_per_table;", engine="mysql"),
        Example("OPTIMIZE TABLE users;", effect="none"),
        Example("ALTER TABLE users ADD SYSTEM VERSIONING;", lock="SHARED", engine="mariadb"),
        Example("ALTER TABLE orders PARTITION BY HASH (id) PARTITIONS 2;", effect="none"),
        Example("ALTER TABLE days REMOVE PARTITIONING;", setup=_DAYS, effect="none"),
        Example("ALTER TABLE days REBUILD PARTITION p1;", setup=_DAYS, effect="none"),
    ),
    good=(
        Example("ALTER TABLE users COMMENT='people';"),
        Example("ALTER TABLE days EXCHANGE PARTITION p1 WITH TABLE day;", setup=_DAYS, effect="none"),
        Example("ALTER TABLE days ANALYZE PARTITION p1;", setup=_DAYS, effect="none"),
        Example("ALTER TABLE days ADD PARTITION (PARTITION p3 VALUES LESS THAN (30));", setup=_DAYS, effect="none"),
        Example("ALTER TABLE users AUTO_INCREMENT=1000;"),
        Example("CREATE TABLE tags (a INT); ALTER TABLE tags ENGINE=InnoDB;"),
    ),
)
