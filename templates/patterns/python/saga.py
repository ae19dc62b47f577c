"""Saga step guard on PostgreSQL: replies move a persisted saga by compare-and-set, forward or back.

Guarantees: a duplicate, late or out-of-order reply changes nothing; commands leave through the outbox in the
    transaction that moves the saga; compensation runs in reverse order and covers every step that may have
    happened, a step whose outcome is unknown (timeout) included; after the pivot a saga only goes forward.
Needs: psycopg >= 3.1, PostgreSQL >= 11, the table of `SCHEMA`, and `outbox.py` (or your own `send`). Commands and
    compensations must be idempotent, and a compensation must do nothing where its step did not happen.
Fails: a compensation that fails is sent again until it succeeds (`on_timeout` re-sends); it is never skipped.
Prove: pytest test_saga.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)

H. Garcia-Molina, K. Salem, "Sagas", SIGMOD 1987; C. Richardson's pivot and retriable transactions.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from psycopg import AsyncConnection, AsyncCursor

    Send = Callable[[AsyncConnection[Any], str, str], Awaitable[None]]

SCHEMA = """
CREATE TABLE saga (
    id text PRIMARY KEY,
    step int NOT NULL DEFAULT 0,
    state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'compensating', 'done', 'compensated')),
    step_started_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX saga_open ON saga (step_started_at) WHERE state IN ('running', 'compensating');
"""

State = Literal["running", "compensating", "done", "compensated"]


@dataclass(frozen=True, slots=True)
class Step:
    """`compensation` is None for the pivot and the steps behind it, which are retried until they succeed."""

    command: str
    compensation: str | None = None


@dataclass(frozen=True, slots=True)
class Definition:
    """The steps in order. From the first step without compensation (the pivot) on, none has one."""

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        undoable = [step.compensation is not None for step in self.steps]
        if not self.steps or undoable != sorted(undoable, reverse=True):
            raise ValueError("steps with compensation come first, the pivot and retriable steps after them")


async def start(connection: AsyncConnection[Any], definition: Definition, saga_id: str, send: Send) -> bool:
    """Begin the saga; False where it had begun before."""
    async with _transaction(connection) as cursor:
        begun = await cursor.execute("INSERT INTO saga (id) VALUES (%s) ON CONFLICT DO NOTHING", [saga_id])
        if begun.rowcount:
            await send(connection, saga_id, definition.steps[0].command)
        return begun.rowcount == 1


async def on_reply(
    connection: AsyncConnection[Any],
    definition: Definition,
    saga_id: str,
    message: str,
    send: Send,
    *,
    succeeded: bool,
) -> bool:
    """Take the reply to `message` (a command or a compensation); False where the saga does not wait for it."""
    async with _transaction(connection) as cursor:
        found = await cursor.execute("SELECT step, state FROM saga WHERE id = %s FOR UPDATE", [saga_id])
        row = await found.fetchone()
        if row is None or message != _awaited(definition, row[0], row[1]):
            return False
        index, state = row
        if state == "running":
            if succeeded:
                index, state = index + 1, "running" if index + 1 < len(definition.steps) else "done"
            elif definition.steps[index].compensation is not None:
                state = "compensating"  # this step too: a refusal may have come after a partial effect
            elif index > 0 and definition.steps[index - 1].compensation is not None:
                index, state = index - 1, "compensating"  # the pivot itself refused
            elif index == 0:
                state = "compensated"
        elif succeeded:
            index, state = index - 1, "compensating" if index > 0 else "compensated"
        await cursor.execute(
            "UPDATE saga SET step = %s, state = %s, step_started_at = clock_timestamp() WHERE id = %s",
            [max(index, 0), state, saga_id],
        )
        awaited = _awaited(definition, index, state)
        if awaited is not None:
            await send(connection, saga_id, awaited)
        return True


async def on_timeout(
    connection: AsyncConnection[Any], definition: Definition, send: Send, *, older_than: float = 60.0
) -> int:
    """Deal with sagas whose step has had no reply for `older_than` seconds; return how many.

    Before the pivot the outcome is unknown, so the step is compensated; a pivot, a retriable step or a compensation
    is sent again.
    """
    async with _transaction(connection) as cursor:
        found = await cursor.execute(
            """
            SELECT id, step, state FROM saga
            WHERE state IN ('running', 'compensating')
              AND step_started_at < clock_timestamp() - make_interval(secs => %s)
            ORDER BY step_started_at LIMIT 100 FOR UPDATE SKIP LOCKED
            """,
            [older_than],
        )
        rows = await found.fetchall()
        for saga_id, index, state in rows:
            undo = state == "running" and definition.steps[index].compensation is not None
            new_state = "compensating" if undo else state
            await cursor.execute(
                "UPDATE saga SET state = %s, step_started_at = clock_timestamp() WHERE id = %s", [new_state, saga_id]
            )
            awaited = _awaited(definition, index, new_state)
            assert awaited is not None
            await send(connection, saga_id, awaited)
        return len(rows)


@contextlib.asynccontextmanager
async def _transaction(connection: AsyncConnection[Any]) -> AsyncIterator[AsyncCursor[tuple[Any, ...]]]:
    """Begin a transaction, or a savepoint in the caller's (the inbox's, for instance).

    Whatever the defaults are: with repeatable read, replies at once would fail instead of waiting for each other.
    """
    outermost = connection.info.transaction_status.name == "IDLE"
    async with connection.transaction():
        cursor = connection.cursor(row_factory=tuple_row)
        if outermost:
            await cursor.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            await cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '30s'")  # a frozen process
        yield cursor


def _awaited(definition: Definition, index: int, state: str) -> str | None:
    """Return the message whose reply moves a saga in this position, or None where it has ended."""
    if state == "running":
        return definition.steps[index].command
    return definition.steps[index].compensation if state == "compensating" else None
