"""ADD COLUMN ... AUTO_INCREMENT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import mysql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddColumn, context: Context) -> Iterator[Hazard]:
    """Report a column that numbers all rows."""
    if not operation.column.auto_increment or context.is_new(operation.table):
        return
    yield Hazard(
        f"every row{context.rows(operation.table)} is numbered, in an order of its own on each replica, while nobody "
        "can write to the table",
        fixes.online_copy(
            operation.table, f"ADD COLUMN {text.backticked(operation.column.name)} BIGINT AUTO_INCREMENT UNIQUE"
        ),
        str(operation.table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-add-auto-increment-column",
    summary="ADD COLUMN ... AUTO_INCREMENT rebuilds the table without concurrent writes",
    why="The server refuses LOCK=NONE for it.",
    catalogue="B2.4",
    severity="error",
    lock="SHARED",
    effect="rewrite",
    on=(ops.AddColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE logs ADD COLUMN n BIGINT AUTO_INCREMENT UNIQUE;", setup="CREATE TABLE logs (line TEXT);"),
    ),
    good=(Example("CREATE TABLE tags (id BIGINT AUTO_INCREMENT PRIMARY KEY);"),),
)
