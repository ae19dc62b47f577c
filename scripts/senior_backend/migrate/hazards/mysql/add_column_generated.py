"""ADD COLUMN ... STORED."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddColumn, context: Context) -> Iterator[Hazard]:
    """Report a stored generated column."""
    if operation.column.generated != "stored" or context.is_new(operation.table):
        return
    generation = operation.column.generation
    table, column = text.mysql_name(operation.table), text.backticked(operation.column.name)
    expression = generation.sql if generation is not None else "…"
    yield Hazard(
        f"the table{context.rows(operation.table)} is copied while nobody can write to it",
        f"ALTER TABLE {table} ADD COLUMN {column} {operation.column.type} AS ({expression}) VIRTUAL, "
        "ALGORITHM=INSTANT;\n-- a virtual column can be indexed; else a plain column, a trigger and a batched update",
        str(operation.table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-add-column-stored-generated",
    summary="ADD COLUMN ... STORED copies the table",
    why="The value of every row has to be written; a VIRTUAL column is computed when it is read.",
    catalogue="B2.3",
    severity="error",
    lock="SHARED",
    effect="rewrite",
    on=(ops.AddColumn,),
    check=check,
    bad=(Example("ALTER TABLE users ADD COLUMN older INT AS (age + 1) STORED;"),),
    good=(Example("ALTER TABLE users ADD COLUMN older INT AS (age + 1) VIRTUAL;"),),
)
