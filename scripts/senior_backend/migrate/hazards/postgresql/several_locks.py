"""Blocking locks on several tables in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate import postgres_locks
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.Operation, context: Context) -> Iterator[Hazard]:
    """Report the statement that takes a second table into a transaction that locks one already."""
    if context.in_transaction is not True or context.notes.get(RULE.id):
        return
    held = context.transaction.locks
    for table, mode in postgres_locks.locks(operation, context.catalog):
        if mode not in postgres_locks.BLOCKING or context.is_new(table):
            continue
        known = context.table(table)
        if known is None and isinstance(operation, ops.CreateTable):
            continue
        key = context.catalog.key(table)
        others = [other for other in held if other != key and held[other][1] is not context.statement]
        first = key not in held
        held.setdefault(key, (mode, context.statement))
        if not first or not others:
            continue
        context.notes[RULE.id] = True
        place = held[others[0]][1].statement.line
        yield Hazard(
            f"locks {table} while the transaction still holds the lock on {others[0][1]} of line {place}: both stay "
            "blocked until the slower one is done, and code that takes them in the other order deadlocks",
            f"One table a transaction: put what changes {table} into a migration of its own.",
            str(table),
            lock=mode,
        )


RULE = Rule(
    id="pg-several-tables-locked",
    summary="One transaction locks several tables in use",
    why="Locks pile up until the end of the transaction; the wait for the second one is added to the first.",
    catalogue="B1.49",
    severity="warning",
    lock="ACCESS EXCLUSIVE",
    on=(
        ops.AddColumn,
        ops.DropColumn,
        ops.AlterColumnType,
        ops.SetNotNull,
        ops.AddConstraint,
        ops.DropConstraint,
        ops.CreateIndex,
        ops.RenameColumn,
        ops.RenameTable,
        ops.SetDefault,
        ops.DropDefault,
        ops.DropNotNull,
        ops.AlterTable,
        ops.DropTable,
        ops.Truncate,
    ),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD COLUMN n int; ALTER TABLE orgs ADD COLUMN n int;"),
        Example(
            "BEGIN; ALTER TABLE users ADD COLUMN n int; ALTER TABLE logs ADD COLUMN n int; COMMIT;",
            transaction=False,
            runs=False,
        ),
    ),
    good=(
        Example("ALTER TABLE users ADD COLUMN n int; ALTER TABLE orgs ADD COLUMN n int;", transaction=False),
        Example("ALTER TABLE users ADD COLUMN n int; ALTER TABLE users ADD COLUMN m int;"),
        Example("CREATE TABLE tags (a int); ALTER TABLE tags ADD b int; ALTER TABLE users ADD COLUMN n int;"),
    ),
)
