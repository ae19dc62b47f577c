"""A column of type json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddColumn, context: Context) -> Iterator[Hazard]:
    """Report json, which has no equality."""
    column = operation.column
    if column.type is None or column.type.name != "json" or context.is_new(operation.table):
        return
    yield Hazard(
        f"json cannot be compared: DISTINCT, UNION and GROUP BY over the rows of {operation.table} fail from now on",
        f"ALTER TABLE {text.name(operation.table)} ADD COLUMN {text.identifier(column.name)} jsonb;",
        str(operation.table),
    )


RULE = Rule(
    id="pg-add-json-column",
    summary="ADD COLUMN json breaks SELECT DISTINCT on the table",
    why="DISTINCT compares whole rows, and json cannot be compared; jsonb can.",
    catalogue="B1.51",
    severity="warning",
    on=(ops.AddColumn,),
    check=check,
    bad=(Example("ALTER TABLE users ADD COLUMN prefs json;"),),
    good=(Example("ALTER TABLE users ADD COLUMN prefs jsonb;"),),
)
