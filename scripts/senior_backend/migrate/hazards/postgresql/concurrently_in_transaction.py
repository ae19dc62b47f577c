"""CONCURRENTLY, VACUUM and others inside a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _refused(operation: ops.Operation) -> str | None:
    """Return the statement's name where PostgreSQL refuses it inside a transaction block."""
    if isinstance(operation, ops.CreateIndex) and operation.concurrently:
        return "CREATE INDEX CONCURRENTLY"
    if isinstance(operation, ops.DropIndex) and operation.concurrently:
        return "DROP INDEX CONCURRENTLY"
    if isinstance(operation, ops.Reindex) and (operation.concurrently or operation.kind in ("system", "database")):
        return "REINDEX CONCURRENTLY" if operation.concurrently else f"REINDEX {operation.kind.upper()}"
    if isinstance(operation, ops.DetachPartition) and operation.concurrently:
        return "DETACH PARTITION CONCURRENTLY"
    if isinstance(operation, ops.Vacuum) and operation.command == "vacuum":
        return "VACUUM"
    if isinstance(operation, ops.CreateObject) and operation.kind == "database":
        return "CREATE DATABASE"
    if isinstance(operation, ops.DropObject) and operation.kind == "database":
        return "DROP DATABASE"
    if isinstance(operation, ops.AlterObject) and operation.kind == "system":
        return "ALTER SYSTEM"
    return None


def check(operation: ops.Operation, context: Context) -> Iterator[Hazard]:
    """Report a statement that PostgreSQL will refuse where it stands."""
    if isinstance(operation, ops.DropIndex) and operation.concurrently:
        several = [step for step in context.statement.operations if isinstance(step, ops.DropIndex)]
        if len(several) > 1 and several[0] is operation:
            yield Hazard(
                "PostgreSQL refuses DROP INDEX CONCURRENTLY of several indexes (error 0A000)",
                "Write one statement for each index.",
            )
    statement = _refused(operation)
    if statement is None or context.in_transaction is not True:
        return
    if context.statement.block:
        fix = "Take it out of the DO block: a block is always a transaction."
    elif context.transaction.explicit:
        fix = "Take it out of BEGIN ... COMMIT, into a migration of its own that runs without a transaction."
    else:
        fix = (
            "Put it into a migration of its own, marked to run without a transaction "
            "(`-- migrate:up transaction:false`), one statement per send."
        )
    yield Hazard(f"PostgreSQL refuses {statement} inside a transaction (error 25001)", fix)


RULE = Rule(
    id="pg-concurrently-in-transaction",
    summary="CONCURRENTLY, VACUUM and the like fail inside a transaction",
    why="These statements commit on their own several times, so PostgreSQL refuses them in a transaction block.",
    catalogue="B1.4",
    severity="error",
    effect="fails",
    on=(
        ops.CreateIndex,
        ops.DropIndex,
        ops.Reindex,
        ops.DetachPartition,
        ops.Vacuum,
        ops.CreateObject,
        ops.DropObject,
        ops.AlterObject,
    ),
    check=check,
    bad=(
        Example("BEGIN; CREATE INDEX CONCURRENTLY users_name ON users (name); COMMIT;", fails=True),
        Example("DROP INDEX CONCURRENTLY users_email;", fails=True),
        Example("REINDEX TABLE CONCURRENTLY users;", fails=True),
        Example("ALTER TABLE events DETACH PARTITION events_1 CONCURRENTLY;", fails=True),
        Example("VACUUM users;", fails=True),
        Example(
            "DROP INDEX CONCURRENTLY users_email, users_name;",
            setup="CREATE INDEX users_name ON users (name);",
            transaction=False,
            fails=True,
        ),
    ),
    good=(
        Example("CREATE INDEX CONCURRENTLY users_name ON users (name);", transaction=False),
        Example("REFRESH MATERIALIZED VIEW CONCURRENTLY user_names;"),
        Example("ANALYZE users;"),
    ),
)
