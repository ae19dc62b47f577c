"""Data changed in the transaction of a schema change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate import postgres_locks
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_CHANGES = (ops.Update, ops.Delete)


def check(operation: ops.Operation, context: Context) -> Iterator[Hazard]:
    """Report an UPDATE, DELETE or INSERT ... SELECT that runs while the transaction holds a blocking lock."""
    if isinstance(operation, ops.Insert) and not operation.from_query:
        return
    if context.in_transaction is not True or context.is_new(operation.table):  # type: ignore[attr-defined]
        return
    state = context.transaction
    if RULE.id in state.notes:
        return  # one report a transaction is enough
    examined = state.notes.get("examined", 0)
    state.notes["examined"] = len(state.operations)
    for step, parsed in state.operations[examined:]:
        for table, mode in postgres_locks.locks(step, context.catalog):
            if mode != postgres_locks.ACCESS_EXCLUSIVE or context.is_new(table) or context.table(table) is None:
                continue
            state.notes[RULE.id] = True
            yield Hazard(
                f"the change of data runs while the transaction holds the {mode} lock on {table} of line "
                f"{parsed.statement.line}: nobody can read {table} until all of it is done",
                "Put the change of data into the next migration, in batches, without a change of schema beside it.",
                str(table),
            )
            return


RULE = Rule(
    id="pg-data-change-with-schema-change",
    summary="Changing data in the transaction of a schema change holds its lock for the whole time",
    why="ALTER TABLE locks out all readers until the transaction ends, so that a lock of milliseconds becomes one of "
    "minutes.",
    catalogue="B1.37",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="scan",
    on=(ops.Update, ops.Delete, ops.Insert),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD COLUMN n int; UPDATE users SET n = 1 WHERE n IS NULL;"),
        Example(
            "BEGIN; ALTER TABLE users ADD COLUMN n int; UPDATE users SET n = age WHERE age > 1; COMMIT;",
            transaction=False,
            runs=False,
        ),
    ),
    good=(
        Example("ALTER TABLE users ADD COLUMN n int; UPDATE users SET n = 1 WHERE id < 10;", transaction=False),
        Example("CREATE TABLE tags (a int); INSERT INTO tags SELECT id FROM users; UPDATE tags SET a = 2 WHERE a = 1;"),
        Example("CREATE TABLE kinds (id int); INSERT INTO kinds VALUES (1), (2);"),
    ),
)
