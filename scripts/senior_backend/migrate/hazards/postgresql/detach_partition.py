"""DETACH PARTITION."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.DetachPartition, context: Context) -> Iterator[Hazard]:
    """Report a partition that is detached under a lock on the whole parent."""
    if operation.concurrently or operation.finalize or context.is_new(operation.table):
        return
    parent, child = text.name(operation.table), text.name(operation.child)
    detach = f"ALTER TABLE {parent} DETACH PARTITION {child} CONCURRENTLY;"
    fix = f"In a migration of its own, outside a transaction:\n{detach}"
    if not context.at_least(14):
        fix = "From PostgreSQL 14 on, CONCURRENTLY spares the lock. Until then:\nSET LOCAL lock_timeout = '2s';"
    yield Hazard(
        f"locks {operation.table}, with all its partitions, against reads and writes",
        fix,
        str(operation.table),
    )


RULE = Rule(
    id="pg-detach-partition",
    summary="DETACH PARTITION without CONCURRENTLY locks the parent table",
    why="ACCESS EXCLUSIVE on the parent stops all queries on all partitions while the statement waits for its turn.",
    catalogue="B1.41",
    severity="warning",
    lock="ACCESS EXCLUSIVE",
    on=(ops.DetachPartition,),
    check=check,
    bad=(Example("ALTER TABLE events DETACH PARTITION events_1;"),),
    good=(Example("ALTER TABLE events DETACH PARTITION events_1 CONCURRENTLY;", transaction=False),),
)
