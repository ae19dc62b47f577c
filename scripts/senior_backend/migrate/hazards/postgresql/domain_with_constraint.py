"""CREATE DOMAIN with a constraint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.CreateDomain, context: Context) -> Iterator[Hazard]:
    """Report a domain whose columns rewrite their table when they are added."""
    del context
    if operation.constrained:
        yield Hazard(
            f"each ADD COLUMN of {operation.name} later rewrites its table, and a changed constraint reads all tables "
            "that use it",
            "Use the base type, and a CHECK constraint on each table.",
            str(operation.name),
        )


RULE = Rule(
    id="pg-create-constrained-domain",
    summary="CREATE DOMAIN with a constraint has a later cost",
    why="Nothing happens now; adding such a column to a table in use rewrites it.",
    catalogue="B1.35",
    severity="warning",
    group="style",
    on=(ops.CreateDomain,),
    check=check,
    bad=(Example("CREATE DOMAIN positive AS int CHECK (VALUE > 0);"),),
    good=(Example("CREATE DOMAIN positive AS int;"),),
)
