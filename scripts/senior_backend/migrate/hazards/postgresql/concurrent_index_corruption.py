"""CREATE INDEX CONCURRENTLY on PostgreSQL 14.0 to 14.3."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.CreateIndex | ops.Reindex, context: Context) -> Iterator[Hazard]:
    """Report a concurrent build on a server whose concurrent builds lose rows."""
    if not operation.concurrently or context.version is None or len(context.version) < 2:
        return
    subject = operation.name if isinstance(operation, ops.Reindex) else operation.table
    index = operation.name if isinstance(operation, ops.CreateIndex) else None
    yield Hazard(
        "on PostgreSQL 14.0 to 14.3 a concurrent build can leave rows out of the index without an error",
        "Upgrade the server to 14.4 or later first; where that is done, run\n"
        + (f"REINDEX INDEX CONCURRENTLY {text.identifier(index)};" if index else "the statement again."),
        str(subject) if subject else None,
    )


RULE = Rule(
    id="pg-concurrent-index-corruption",
    summary="PostgreSQL 14.0 to 14.3 builds corrupt indexes concurrently",
    why="A bug fixed in 14.4: updates that ran during CREATE INDEX or REINDEX CONCURRENTLY could miss the index.",
    catalogue="B1.5",
    severity="error",
    since=(14, 0),
    before=(14, 4),
    on=(ops.CreateIndex, ops.Reindex),
    check=check,
    bad=(
        Example(
            "CREATE INDEX CONCURRENTLY users_name ON users (name);", transaction=False, version=(14, 2), runs=False
        ),
    ),
    good=(
        Example(
            "CREATE INDEX CONCURRENTLY users_name ON users (name);", transaction=False, version=(14, 4), runs=False
        ),
        Example("CREATE INDEX CONCURRENTLY users_name ON users (name);", transaction=False),
    ),
)
