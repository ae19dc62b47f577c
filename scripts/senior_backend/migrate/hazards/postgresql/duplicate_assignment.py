"""UPDATE that sets a column twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.Update, context: Context) -> Iterator[Hazard]:
    """Report a column that is set twice."""
    del context
    for column in operation.duplicates:
        yield Hazard(
            f"{column} is set twice, which PostgreSQL refuses",
            f"Keep one assignment of {column}.",
            str(operation.table),
        )


RULE = Rule(
    id="pg-duplicate-assignment",
    summary="UPDATE sets a column twice",
    why="PostgreSQL refuses the statement (error 42601).",
    catalogue="B1.52",
    severity="error",
    effect="fails",
    on=(ops.Update,),
    check=check,
    bad=(Example("UPDATE users SET age = 1, age = 2 WHERE id = 1;", fails=True),),
    good=(Example("UPDATE users SET age = 1, name = 'x' WHERE id = 1;"),),
)
