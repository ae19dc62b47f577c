"""CONVERT TO CHARACTER SET."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import mysql_fixes as fixes
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AlterTable, context: Context) -> Iterator[Hazard]:
    """Report a table whose texts are all written anew."""
    if operation.action != "convert-charset" or context.is_new(operation.table):
        return
    yield Hazard(
        f"the table{context.rows(operation.table)} is copied while nobody can write to it",
        fixes.online_copy(operation.table, f"CONVERT TO CHARACTER SET {operation.detail}"),
        str(operation.table),
    )


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
    bad=(Example("ALTER TABLE users CONVERT TO CHARACTER SET utf8mb3;"),),
    good=(Example("ALTER TABLE users DEFAULT CHARACTER SET utf8mb3;"),),
)
