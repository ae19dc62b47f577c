"""REFRESH MATERIALIZED VIEW."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.RefreshView, context: Context) -> Iterator[Hazard]:
    """Report a refresh that locks readers out."""
    if operation.concurrently or not operation.with_data or context.is_new(operation.name):
        return
    view = text.name(operation.name)
    yield Hazard(
        f"nobody can read {operation.name} until its query has run to the end",
        f"With a unique index on the view, on plain columns and over all rows:\n"
        f"REFRESH MATERIALIZED VIEW CONCURRENTLY {view};",
        str(operation.name),
    )


RULE = Rule(
    id="pg-refresh-materialized-view",
    summary="REFRESH MATERIALIZED VIEW without CONCURRENTLY locks readers out",
    why="ACCESS EXCLUSIVE is held on the view for as long as its query takes.",
    catalogue="B1.40",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="rewrite",
    on=(ops.RefreshView,),
    check=check,
    bad=(Example("REFRESH MATERIALIZED VIEW user_names;"),),
    good=(
        Example("REFRESH MATERIALIZED VIEW CONCURRENTLY user_names;", lock="EXCLUSIVE"),
        Example("CREATE MATERIALIZED VIEW m AS SELECT 1 AS a WITH NO DATA; REFRESH MATERIALIZED VIEW m;"),
    ),
)
