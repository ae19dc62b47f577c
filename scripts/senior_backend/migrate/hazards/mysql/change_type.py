"""MODIFY or CHANGE that copies the table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import mysql_types
from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import mysql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.operations import Column


def check(operation: ops.ModifyColumn, context: Context) -> Iterator[Hazard]:
    """Report a change of type that stops all writers."""
    table = context.table(operation.table)
    old, new = context.column(operation.table, operation.column), operation.definition
    if context.is_new(operation.table):
        return
    cost = mysql_types.modify_cost(old, new, table, context.catalog.engine)
    if cost in ("instant", "rebuild"):
        return
    reason = None if old is None else mysql_types.copy_reason(old, new, table, context.catalog.engine)
    if reason in ("length", "labels"):
        return  # rules of their own
    change = f"MODIFY {text.backticked(operation.column)} {new.type} …"
    if cost == "unknown":
        yield Hazard(
            f"what {operation.column} is now is not known here; most changes of type copy the table while nobody can "
            "write to it",
            "Show the linter the schema (--database-url, --schema, or the earlier migrations), and let the server "
            "refuse a copy:\n…, ALGORITHM=INPLACE, LOCK=NONE;",
            str(operation.table),
        )
        return
    yield Hazard(
        f"from {_described(old, new, reason)} the table{context.rows(operation.table)} is copied while "
        "nobody can write to it",
        fixes.online_copy(operation.table, change),
        str(operation.table),
    )


def _described(old: Column | None, new: Column, reason: str | None) -> str:
    if reason == "numbering":
        return f"{new.name} {'without' if new.auto_increment else 'with'} AUTO_INCREMENT to the other"
    if reason == "generation":
        return f"one definition of the generated column {new.name} to another"
    if reason == "nullability":
        return f"{new.name} {'NULL' if new.not_null else 'NOT NULL'} to the other beside a generated column"
    if old is None or reason != "encoding":
        return f"{old.type if old else '?'} to {new.type}"
    return f"one character set or collation of {new.name} to another"


_TAGS = "CREATE TABLE tags (a VARCHAR(20), KEY (a)) DEFAULT CHARSET=utf8mb4;"
_SUMS = "CREATE TABLE sums (a INT, b INT, s INT AS (a + 1) STORED);"
RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-change-type-copies",
    summary="MODIFY to another type copies the table while nobody can write to it",
    why="Only ALGORITHM=COPY can change a type, a sign, most character sets or the digits of a DECIMAL.",
    catalogue="B2.8",
    severity="error",
    lock="SHARED",
    effect="rewrite",
    on=(ops.ModifyColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users MODIFY age BIGINT;"),
        Example("ALTER TABLE users MODIFY COLUMN age INT UNSIGNED;"),
        Example("ALTER TABLE users CHANGE name name TEXT;"),
        Example("ALTER TABLE users MODIFY balance DECIMAL(12, 2);"),
        Example("ALTER TABLE users MODIFY name VARCHAR(40);"),
        Example("ALTER TABLE users MODIFY name VARCHAR(60) CHARACTER SET latin1;"),
        Example("ALTER TABLE users MODIFY age INT ZEROFILL;"),
        Example("ALTER TABLE users MODIFY id INT NOT NULL;", engine="mysql"),
        Example("ALTER TABLE orders MODIFY id BIGINT NOT NULL AUTO_INCREMENT;"),
        Example("ALTER TABLE users MODIFY bio MEDIUMTEXT;"),
        Example("ALTER TABLE users MODIFY created_at DATETIME(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6);"),
        Example(
            "ALTER TABLE users MODIFY email VARCHAR(50) COLLATE utf8mb4_unicode_ci COMMENT 'login';", engine="mysql"
        ),
        Example("ALTER TABLE tags MODIFY a VARCHAR(20) BINARY;", setup=_TAGS, engine="mysql"),
        Example("ALTER TABLE sums MODIFY s INT AS (a + 2) STORED;", setup=_SUMS),
        Example("ALTER TABLE sums MODIFY s INT AS (a + 1) STORED;", setup=_SUMS, engine="mariadb"),
        Example("ALTER TABLE sums MODIFY b INT NOT NULL;", setup=_SUMS, engine="mariadb"),
    ),
    good=(
        Example("ALTER TABLE users MODIFY age INT AFTER name;", engine="mariadb"),
        Example("ALTER TABLE users MODIFY age INT(11);"),
        Example("ALTER TABLE users MODIFY id INT NOT NULL;", engine="mariadb"),
        Example("ALTER TABLE users CHANGE age years INT;"),
        Example("ALTER TABLE users MODIFY name VARCHAR(60) COLLATE utf8mb4_bin;"),
        Example("ALTER TABLE tags MODIFY a VARCHAR(20) BINARY;", setup=_TAGS, engine="mariadb"),
        Example("ALTER TABLE sums MODIFY s INT AS (a + 1) STORED;", setup=_SUMS, engine="mysql"),
        Example("ALTER TABLE sums MODIFY b INT DEFAULT 3;", setup=_SUMS),
        Example("CREATE TABLE tags (a INT); ALTER TABLE tags MODIFY a BIGINT;"),
    ),
)
