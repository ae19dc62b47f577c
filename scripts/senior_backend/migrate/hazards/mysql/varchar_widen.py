"""A longer VARCHAR that needs two bytes for its length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import mysql_types
from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import mysql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.ModifyColumn, context: Context) -> Iterator[Hazard]:
    """Report a longer VARCHAR that copies the table all the same."""
    table = context.table(operation.table)
    old, new = context.column(operation.table, operation.column), operation.definition
    if old is None or old.type is None or new.type is None or context.is_new(operation.table):
        return
    if mysql_types.copy_reason(old, new, table, context.catalog.engine) != "length":
        return
    charset = "" if old.type.name == "varbinary" else f" in {mysql_types.charset(new, table)}"
    yield Hazard(
        f"{new.type} may take more than 255 bytes{charset}, {old.type} could not: the length needs a second byte, "
        f"so the table{context.rows(operation.table)} is copied while nobody can write to it",
        fixes.online_copy(operation.table, f"MODIFY {text.backticked(operation.column)} {new.type} …"),
        str(operation.table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-varchar-widen-copies",
    summary="A VARCHAR that grows beyond 255 bytes copies the table",
    why="Beyond 255 bytes the length takes two bytes. MariaDB avoids the copy for columns of up to 127 bytes.",
    catalogue="B2.9",
    severity="error",
    lock="SHARED",
    effect="rewrite",
    on=(ops.ModifyColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users MODIFY name VARCHAR(64);"),
        Example(
            "ALTER TABLE tags MODIFY a VARCHAR(300);",
            setup="CREATE TABLE tags (a VARCHAR(30)) DEFAULT CHARSET=utf8mb4;",
            engine="mysql",
        ),
        Example(
            "ALTER TABLE tags MODIFY a VARCHAR(64) CHARACTER SET utf8mb4;",
            setup="CREATE TABLE tags (a VARCHAR(64) CHARACTER SET utf8mb3);",
        ),
        Example("ALTER TABLE tags MODIFY a VARBINARY(300);", setup="CREATE TABLE tags (a VARBINARY(200));"),
    ),
    good=(
        Example("ALTER TABLE users MODIFY name VARCHAR(63);"),
        Example(
            "ALTER TABLE tags MODIFY a VARCHAR(300);",
            setup="CREATE TABLE tags (a VARCHAR(30)) DEFAULT CHARSET=utf8mb4;",
            engine="mariadb",
        ),
        Example(
            "ALTER TABLE tags MODIFY a VARCHAR(63) CHARACTER SET utf8mb4;",
            setup="CREATE TABLE tags (a VARCHAR(63) CHARACTER SET utf8mb3);",
        ),
        Example(
            "ALTER TABLE tags MODIFY a VARCHAR(200);",
            setup="CREATE TABLE tags (a VARCHAR(30)) DEFAULT CHARSET=latin1;",
        ),
    ),
)
