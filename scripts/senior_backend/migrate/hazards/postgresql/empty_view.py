"""REFRESH MATERIALIZED VIEW ... WITH NO DATA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.RefreshView, context: Context) -> Iterator[Hazard]:
    """Report a view that nobody can query any more."""
    if operation.with_data or context.is_new(operation.name):
        return
    yield Hazard(
        f"every query of {operation.name} fails until it is refreshed again (error 55000)",
        f"Leave it filled:\nREFRESH MATERIALIZED VIEW CONCURRENTLY {text.name(operation.name)};",
        str(operation.name),
    )


RULE = Rule(
    id="pg-materialized-view-emptied",
    summary="REFRESH MATERIALIZED VIEW ... WITH NO DATA makes every query of the view fail",
    why="It empties the view and marks it as one that cannot be scanned.",
    catalogue="B1.40",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="rewrite",
    on=(ops.RefreshView,),
    check=check,
    bad=(
        Example("REFRESH MATERIALIZED VIEW user_names WITH NO DATA;"),
        Example("REFRESH MATERIALIZED VIEW user_names WITH NO DATA; SELECT * FROM user_names;", fails=True),
    ),
    good=(
        Example("REFRESH MATERIALIZED VIEW CONCURRENTLY user_names;", lock="EXCLUSIVE"),
        Example("CREATE MATERIALIZED VIEW m AS SELECT 1 AS a; REFRESH MATERIALIZED VIEW m WITH NO DATA;"),
    ),
)
