"""BEGIN inside a transaction, and a transaction without an end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.Transaction, context: Context) -> Iterator[Hazard]:
    """Report transaction control that breaks the runner's own transaction, or nests."""
    if operation.kind not in ("begin", "commit", "rollback"):
        return
    if operation.kind == "begin":
        if context.transaction.explicit:
            yield Hazard(
                "BEGIN inside a transaction only warns; the next COMMIT ends both",
                "Remove the inner BEGIN and COMMIT, or use SAVEPOINT.",
            )
        elif context.unit.transaction is True:
            yield Hazard(
                "the runner wraps the file in a transaction already: the first COMMIT ends it, and what follows runs "
                "without one",
                "Remove BEGIN and COMMIT, or mark the migration to run without a transaction.",
            )
    elif context.unit.transaction is True and not context.transaction.explicit:
        yield Hazard(
            f"{operation.kind.upper()} ends the transaction of the runner: what follows cannot be undone, and a "
            "failure leaves half of the migration",
            "Remove it, or mark the migration to run without a transaction.",
        )


def finish(context: Context) -> Iterator[Hazard]:
    """Report a transaction that is never committed."""
    if context.transaction.explicit:
        yield Hazard(
            "the transaction is never committed: what it did is undone when the connection closes",
            "End it with COMMIT;",
        )


RULE = Rule(
    id="pg-nested-or-open-transaction",
    summary="BEGIN inside a transaction, COMMIT of the runner's transaction, or no COMMIT at all",
    why="The runner's record of the migration and its statements then no longer succeed or fail together.",
    catalogue="B1.50",
    severity="error",
    on=(ops.Transaction,),
    check=check,
    rollback=True,
    finish=finish,
    bad=(
        Example("BEGIN; SELECT 1; COMMIT;", runs=False),
        Example("BEGIN; BEGIN; SELECT 1; COMMIT;", transaction=False, runs=False),
        Example("BEGIN; ALTER TABLE users ADD COLUMN n int;", transaction=False, runs=False),
        Example("COMMIT;", runs=False),
    ),
    good=(
        Example("BEGIN; SELECT 1; COMMIT;", transaction=False, runs=False),
        Example("SAVEPOINT a; SELECT 1; RELEASE SAVEPOINT a;"),
    ),
)
