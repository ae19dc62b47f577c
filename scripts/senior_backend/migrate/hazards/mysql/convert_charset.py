"""CONVERT TO CHARACTER SET."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import mysql_types
from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import mysql_fixes as fixes
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AlterTable, context: Context) -> Iterator[Hazard]:
    """Report a table whose texts are all written anew."""
    if operation.action != "convert-charset" or context.is_new(operation.table):
        return
    if not mysql_types.converts(context.table(operation.table), operation.detail or "", context.catalog.engine):
        return
    yield Hazard(
        f"the table{context.rows(operation.table)} is copied while nobody can write to it",
        fixes.online_copy(operation.table, f"CONVERT TO CHARACTER SET {operation.detail}"),
        str(operation.table),
    )


_TAGS = "CREATE TABLE tags (a VARCHAR(20) CHARACTER SET latin1) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;"
_NOTES = "CREATE TABLE notes (a VARCHAR(20), KEY (a)) DEFAULT CHARSET=utf8mb4 COLLATE=utf8mb4_general_ci;"
RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-convert-charset-copies",
    summary="CONVERT TO CHARACTER SET copies the table while nobody can write to it",
    why="Every text is written in the new encoding, and indexes on texts are built anew.",
    catalogue="B2.18",
    severity="error",
    lock="SHARED",
    effect="rewrite",
    on=(ops.AlterTable,),
    check=check,
    bad=(
        Example("ALTER TABLE users CONVERT TO CHARACTER SET utf8mb3;"),
        Example("ALTER TABLE tags CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;", setup=_TAGS),
        Example(
            "ALTER TABLE notes CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;", setup=_NOTES, engine="mysql"
        ),
        Example("ALTER TABLE users CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;"),
        # utf8mb4 without a collation is utf8mb4_0900_ai_ci on MySQL
        Example("ALTER TABLE notes CONVERT TO CHARACTER SET utf8mb4;", setup=_NOTES, engine="mysql"),
    ),
    good=(
        Example("ALTER TABLE users DEFAULT CHARACTER SET utf8mb3;"),
        Example("ALTER TABLE notes CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci;", setup=_NOTES),
        Example(
            "ALTER TABLE notes CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;", setup=_NOTES, engine="mariadb"
        ),
        Example("ALTER TABLE orders CONVERT TO CHARACTER SET latin1;"),
        Example("ALTER TABLE orgs CONVERT TO CHARACTER SET utf8mb4;"),
    ),
)
