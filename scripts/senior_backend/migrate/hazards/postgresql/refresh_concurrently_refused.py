"""REFRESH MATERIALIZED VIEW CONCURRENTLY of a view without a unique index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.RefreshView, context: Context) -> Iterator[Hazard]:
    """Report a refresh that PostgreSQL refuses, where all indexes of the view are known."""
    view = context.table(operation.name)
    if not operation.concurrently or view is None or view.kind != "materialized-view":
        return
    if any(one.unique and one.valid and one.where is None and None not in one.columns for one in view.indexes.values()):
        return
    yield Hazard(
        f"PostgreSQL refuses it: {operation.name} has no unique index on plain columns over all rows (error 55000)",
        "In a migration of its own, outside a transaction, on columns that tell its rows apart:\n"
        f"CREATE UNIQUE INDEX CONCURRENTLY ON {text.name(operation.name)} (…);",
        str(operation.name),
    )


RULE = Rule(
    id="pg-refresh-concurrently-refused",
    summary="REFRESH MATERIALIZED VIEW CONCURRENTLY needs a unique index on plain columns",
    why="It compares the old rows with the new ones, and finds them by that index.",
    catalogue="B1.40",
    severity="error",
    effect="fails",
    on=(ops.RefreshView,),
    check=check,
    bad=(
        Example(
            "REFRESH MATERIALIZED VIEW CONCURRENTLY names;",
            setup="CREATE MATERIALIZED VIEW names AS SELECT id, name FROM users;",
            fails=True,
        ),
        Example(
            "REFRESH MATERIALIZED VIEW CONCURRENTLY names;",
            setup="CREATE MATERIALIZED VIEW names AS SELECT id, name FROM users;"
            "CREATE UNIQUE INDEX ON names (id) WHERE id > 0; CREATE UNIQUE INDEX ON names ((id + 1));",
            fails=True,
        ),
    ),
    good=(
        Example("REFRESH MATERIALIZED VIEW CONCURRENTLY user_names;"),
        Example("REFRESH MATERIALIZED VIEW CONCURRENTLY elsewhere;", runs=False),
    ),
)
