"""REINDEX without CONCURRENTLY."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.Reindex, context: Context) -> Iterator[Hazard]:
    """Report a rebuild under a lock."""
    if operation.concurrently:
        return
    if operation.name is not None and operation.kind == "table" and context.is_new(operation.name):
        return
    target = text.name(operation.name) if operation.name else ""
    if operation.kind == "system":
        fix = "REINDEX SYSTEM has no concurrent form: run it in a maintenance window, or reindex single tables."
    else:
        fix = f"Outside a transaction:\nREINDEX {operation.kind.upper()} CONCURRENTLY {target};"
    yield Hazard(
        f"REINDEX blocks writes to the table, and reads that use the index, until {target or 'every index'} is rebuilt",
        fix,
        str(operation.name) if operation.name else None,
    )


RULE = Rule(
    id="pg-reindex-blocks-writes",
    summary="REINDEX without CONCURRENTLY blocks writes while it rebuilds",
    why="It holds SHARE on the table and ACCESS EXCLUSIVE on each index for as long as the rebuild takes.",
    catalogue="B1.3",
    severity="error",
    lock="SHARE",
    effect="rewrite",
    on=(ops.Reindex,),
    check=check,
    bad=(
        Example("REINDEX INDEX users_email;"),
        Example("REINDEX TABLE users;"),
        Example("REINDEX (CONCURRENTLY false) INDEX users_email;"),
    ),
    good=(
        Example("REINDEX INDEX CONCURRENTLY users_email;", transaction=False),
        Example("REINDEX (CONCURRENTLY) TABLE users;", transaction=False),
    ),
)
