"""BEGIN, COMMIT and VACUUM inside a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.Transaction | ops.Vacuum, context: Context) -> Iterator[Hazard]:
    """Report transaction control where a transaction is open."""
    if isinstance(operation, ops.Vacuum):
        if context.in_transaction is True:
            yield Hazard("SQLite refuses VACUUM inside a transaction", "Run it alone, outside of migrations.")
        return
    if operation.kind == "begin" and context.in_transaction is True:
        yield Hazard(
            "SQLite refuses BEGIN inside a transaction",
            "Remove it, or use SAVEPOINT; or let the migration run without the runner's transaction.",
        )
    elif (
        operation.kind in ("commit", "rollback")
        and context.unit.transaction is True
        and not context.transaction.explicit
    ):
        yield Hazard(
            f"{operation.kind.upper()} ends the runner's transaction: what follows cannot be undone",
            "Remove it, or let the migration run without the runner's transaction.",
        )


def finish(context: Context) -> Iterator[Hazard]:
    """Report a transaction that is never committed."""
    if context.transaction.explicit:
        yield Hazard(
            "the transaction is never committed: what it did is undone when the connection closes",
            "End it with COMMIT;",
        )


RULE = Rule(
    engines=("sqlite",),
    id="sqlite-nested-or-open-transaction",
    summary="BEGIN or VACUUM inside a transaction, COMMIT of the runner's transaction, or no COMMIT at all",
    why="SQLite has no nested transactions but savepoints.",
    catalogue="B3",
    severity="error",
    effect="fails",
    on=(ops.Transaction, ops.Vacuum),
    check=check,
    finish=finish,
    bad=(
        Example("BEGIN; SELECT 1; COMMIT;", fails=True),
        Example("VACUUM;", fails=True),
        Example("BEGIN; ALTER TABLE users ADD COLUMN a TEXT;", transaction=False, runs=False),
    ),
    good=(
        Example("BEGIN; SELECT 1; COMMIT;", transaction=False),
        Example("SAVEPOINT a; SELECT 1; RELEASE a;"),
    ),
)
