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


_REFUSED = frozenset(("uuid", "uuid_short", "rand", "random_bytes"))
"""Functions that give each server a value of its own: MySQL does not let them into its binary log."""


def check(operation: ops.AddColumn, context: Context) -> Iterator[Hazard]:
    """Report a default that copies the table."""
    default = operation.column.default
    mysql = context.catalog.engine == "mysql"
    if default is None or default.is_null or context.is_new(operation.table):
        return
    if mysql and not default.sql.startswith("("):
        return
    functions = {function.name for function in default.functions}
    if not mysql and not functions & _COPIES and not default.columns - functions:
        return
    table, column = text.mysql_name(operation.table), text.backticked(operation.column.name)
    refused = "; with a binary log, which is on by default, MySQL refuses it" if functions & _REFUSED and mysql else ""
    yield Hazard(
        f"the default {default.sql} is computed for every row: the table{context.rows(operation.table)} is copied "
        f"while nobody can write to it{refused}",
        f"ALTER TABLE {table} ADD COLUMN {column} {operation.column.type}, ALGORITHM=INSTANT;\n"
        f"ALTER TABLE {table} ALTER COLUMN {column} SET DEFAULT {default.sql};\n"
        f"{fixes.backfill(operation.table, operation.column.name, default.sql)}",
        str(operation.table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-add-column-expression-default",
    summary="ADD COLUMN with a default such as (uuid()) copies the table",
    why="Only ALGORITHM=COPY gives each row a value of its own; MySQL takes it for every default in parentheses.",
    catalogue="B2.2",
    severity="error",
    lock="SHARED",
    effect="rewrite",
    on=(ops.AddColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD COLUMN token CHAR(36) DEFAULT (uuid());", engine="mariadb"),
        Example("ALTER TABLE users ADD COLUMN token CHAR(36) DEFAULT (uuid());", engine="mysql", fails=True),
        Example("ALTER TABLE users ADD COLUMN n INT DEFAULT (rand() * 10);", engine="mysql", fails=True),
        Example("ALTER TABLE users ADD COLUMN seen DATETIME DEFAULT (now());", engine="mysql"),
        Example("ALTER TABLE users ADD COLUMN born DATE DEFAULT (CURRENT_DATE);", engine="mysql"),
        Example("ALTER TABLE users ADD COLUMN older INT DEFAULT (age + 1);"),
        Example("ALTER TABLE users ADD COLUMN token UUID DEFAULT UUID();", engine="mariadb"),
        Example("ALTER TABLE users ADD COLUMN score INT DEFAULT (7);", engine="mysql"),
    ),
    good=(
        Example("ALTER TABLE users ADD COLUMN seen DATETIME DEFAULT (now());", engine="mariadb"),
        Example("ALTER TABLE users ADD COLUMN score INT DEFAULT (7);", engine="mariadb"),
        Example("ALTER TABLE users ADD COLUMN seen TIMESTAMP DEFAULT CURRENT_TIMESTAMP;"),
        Example("ALTER TABLE users ADD COLUMN seen DATETIME(3) DEFAULT CURRENT_TIMESTAMP(3);"),
        Example("ALTER TABLE users ADD COLUMN label VARCHAR(9) DEFAULT 'uuid()';"),
        Example("CREATE TABLE tags (a INT); ALTER TABLE tags ADD COLUMN at DATETIME DEFAULT (now());"),
    ),
)
