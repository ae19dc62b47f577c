"""ADD COLUMN with a computed default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import mysql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_COPIES = frozenset(("uuid", "uuid_short", "sys_guid", "random_bytes"))
"""Functions whose value MariaDB has to compute for each row; it adds columns with others instantly."""


def check(operation: ops.AddColumn, context: Context) -> Iterator[Hazard]:
    """Report a default that copies the table."""
    default = operation.column.default
    if default is None or context.is_new(operation.table) or not default.sql.startswith("("):
        return
    functions = {function.name for function in default.functions}
    if not functions or (context.catalog.engine == "mariadb" and not functions & _COPIES):
        return
    table, column = text.mysql_name(operation.table), text.backticked(operation.column.name)
    yield Hazard(
        f"the default {default.sql} is computed for every row: the table{context.rows(operation.table)} is copied "
        "while nobody can write to it",
        f"ALTER TABLE {table} ADD COLUMN {column} {operation.column.type}, ALGORITHM=INSTANT;\n"
        f"ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT {default.sql};\n"
        f"{fixes.backfill(operation.table, operation.column.name, default.sql)}",
        str(operation.table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-add-column-expression-default",
    summary="ADD COLUMN with a default such as (uuid()) copies the table",
    why="Each row gets a value of its own, which only ALGORITHM=COPY can do.",
    catalogue="B2.2",
    severity="error",
    lock="SHARED",
    effect="rewrite",
    on=(ops.AddColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD COLUMN token CHAR(36) DEFAULT (uuid());"),
        Example("ALTER TABLE users ADD COLUMN n INT DEFAULT (rand() * 10);", engine="mysql", runs=False),
    ),
    good=(
        Example("ALTER TABLE users ADD COLUMN seen DATETIME DEFAULT (now());"),
        Example("ALTER TABLE users ADD COLUMN seen TIMESTAMP DEFAULT CURRENT_TIMESTAMP;"),
        Example("CREATE TABLE tags (a INT); ALTER TABLE tags ADD COLUMN t CHAR(36) DEFAULT (uuid());"),
    ),
)
