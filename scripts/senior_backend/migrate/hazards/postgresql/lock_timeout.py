"""A lock that is waited for without a limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate import postgres_locks
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.Operation, context: Context) -> Iterator[Hazard]:
    """Report the first statement that may wait for a lock for ever; once a migration is enough."""
    if context.has_lock_timeout() or context.notes.get(RULE.id):
        return
    for table, mode in postgres_locks.locks(operation, context.catalog):
        if mode not in postgres_locks.BLOCKING or context.is_new(table):
            continue
        context.notes[RULE.id] = True
        blocked = "reads and writes" if mode == postgres_locks.ACCESS_EXCLUSIVE else "writes"
        yield Hazard(
            f"the lock on {table} may have to wait for a long query, and all {blocked} wait behind it, "
            "because nothing sets lock_timeout",
            "At the top of the migration, with a runner that tries again (`db_migrate.py up` does both itself):\n"
            "SET lock_timeout = '2s';",
            str(table),
            lock=mode,
        )
        return


RULE = Rule(
    id="pg-missing-lock-timeout",
    summary="A statement that locks a table in use runs without lock_timeout",
    why="A waiting ACCESS EXCLUSIVE lock stops every later query on the table, however short the statement itself is.",
    catalogue="B1.48",
    severity="warning",
    on=(
        ops.AddColumn,
        ops.DropColumn,
        ops.RenameColumn,
        ops.RenameTable,
        ops.AlterColumnType,
        ops.SetNotNull,
        ops.DropNotNull,
        ops.SetDefault,
        ops.DropDefault,
        ops.AlterIdentity,
        ops.AlterGeneration,
        ops.DropTable,
        ops.Truncate,
        ops.DropConstraint,
        ops.AddConstraint,
        ops.AlterTable,
        ops.AttachPartition,
        ops.DetachPartition,
        ops.SetSchema,
        ops.DropIndex,
    ),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD COLUMN n int;"),
        Example("SET lock_timeout = 0; ALTER TABLE users ADD COLUMN n int;"),
    ),
    good=(
        Example("SET lock_timeout = '2s'; ALTER TABLE users ADD COLUMN n int;"),
        Example("SET LOCAL lock_timeout TO 1000; ALTER TABLE users ADD COLUMN n int;"),
        Example("CREATE TABLE tags (a int); ALTER TABLE tags ADD COLUMN b int;"),
        Example("CREATE INDEX CONCURRENTLY users_name ON users (name);", transaction=False),
    ),
)
