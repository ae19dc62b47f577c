"""Indexes over more than three columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_MANY = 3


def check(operation: ops.CreateIndex, context: Context) -> Iterator[Hazard]:
    """Report an index that few queries can use in full."""
    del context
    if len(operation.columns) > _MANY and not operation.unique and operation.method == "btree":
        yield Hazard(
            f"an index over {len(operation.columns)} columns costs every write, and serves only queries that name the "
            "first ones",
            "Keep the columns that select best, and put those that are only read into INCLUDE.",
            str(operation.table),
        )


RULE = Rule(
    id="pg-wide-index",
    summary="An index over more than three columns",
    why="Such an index is large, slows every write, and is rarely used beyond its first columns.",
    catalogue="B1.52",
    severity="warning",
    group="style",
    on=(ops.CreateIndex,),
    check=check,
    bad=(Example("CREATE INDEX i ON users (org_id, age, name, email);"),),
    good=(
        Example("CREATE INDEX i ON users (org_id, age);"),
        Example("CREATE UNIQUE INDEX i ON users (org_id, age, name, email);"),
    ),
)
