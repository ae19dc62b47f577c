"""LOCK TABLE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate import postgres_locks
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.LockTable, context: Context) -> Iterator[Hazard]:
    """Report a lock that stops readers or writers to the end of the transaction."""
    if operation.mode not in postgres_locks.BLOCKING or context.is_new(operation.table):
        return
    blocked = "reads and writes" if operation.mode == postgres_locks.ACCESS_EXCLUSIVE else "writes"
    yield Hazard(
        f"blocks all {blocked} of {operation.table} until the transaction ends",
        "Leave it out: DDL takes the locks it needs. Where two tables must be locked together, take them in one fixed "
        "order, with a short lock_timeout.",
        str(operation.table),
        lock=operation.mode,
    )


RULE = Rule(
    id="pg-lock-table",
    summary="LOCK TABLE stops readers or writers to the end of the transaction",
    why="It adds a wait, and a chance of deadlock, to what the statements behind it would lock anyway.",
    catalogue="B1.49",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    on=(ops.LockTable,),
    check=check,
    bad=(Example("LOCK TABLE users;"), Example("LOCK TABLE users IN SHARE MODE;", lock="SHARE")),
    good=(Example("LOCK TABLE users IN SHARE UPDATE EXCLUSIVE MODE;"), Example("SELECT 1;")),
)
