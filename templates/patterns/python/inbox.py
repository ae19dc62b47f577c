"""Idempotent consumer on PostgreSQL: an event's effect and the note that it happened commit together.

Guarantees: for one (consumer, event id) the effect happens once, whatever the broker repeats and whenever a process
    dies or freezes; an event that fails `attempts` times is set aside in `inbox_dead` with its last error, so that it
    cannot block the ones behind it, whatever its id or error holds.
Needs: psycopg >= 3.1, PostgreSQL >= 9.6, the tables of `SCHEMA`; a connection for each call that is in no transaction
    (the count of failures would be rolled back) and that no other task uses meanwhile.
Fails: an exception of the effect is counted and raised as `Retry`: do not acknowledge, let the broker deliver again.
    Effects outside the database (mail, other services) belong into an outbox row written by the effect.
Fit: the effect may call enqueue of outbox.py and on_reply of saga.py on its connection. Tables with other names:
    replace the words `inbox`, `inbox_failure` and `inbox_dead` in the SQL.
Prove: pytest test_inbox.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)

Acknowledge after `consume` returns, also when it says DUPLICATE or DEAD. Delete old rows after the broker's longest
redelivery: DELETE FROM inbox WHERE done_at < now() - interval '14 days'.
"""

from __future__ import annotations

import hashlib
from enum import Enum
from typing import TYPE_CHECKING, Any

from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from psycopg import AsyncConnection

SCHEMA = """
CREATE TABLE inbox (
    consumer text NOT NULL,
    event_id text NOT NULL,
    done_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
CREATE TABLE inbox_failure (
    consumer text NOT NULL,
    event_id text NOT NULL,
    attempts int NOT NULL,
    PRIMARY KEY (consumer, event_id)
);
CREATE TABLE inbox_dead (
    consumer text NOT NULL,
    event_id text NOT NULL,
    body bytea NOT NULL,
    error text NOT NULL,
    failed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (consumer, event_id)
);
"""


LONGEST = 255
READ_COMMITTED = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"


class Result(Enum):
    """What became of a delivery; acknowledge it in each case."""

    DONE = "done"
    DUPLICATE = "duplicate"
    DEAD = "dead"


class Retry(Exception):  # noqa: N818 - an outcome
    """The effect failed and may be tried again; do not acknowledge."""


async def consume(
    connection: AsyncConnection[Any],
    *,
    consumer: str,
    event_id: str,
    body: bytes,
    effect: Callable[[AsyncConnection[Any]], Awaitable[None]],
    attempts: int = 5,
    idle: float = 30.0,
) -> Result:
    """Have the effect of one delivery once.

    An effect that says nothing to the database for `idle` seconds counts as lost: the server ends its connection, and
    another delivery may have the effect.

    Raises:
        Retry: the effect failed for less than the `attempts`-th time; its exception is the cause.
        RuntimeError: the connection is in a transaction, or another task is using it.
    """
    if connection.info.transaction_status.name not in {"IDLE", "UNKNOWN"}:  # unknown: it is closed, and will say so
        raise RuntimeError("consume() needs a connection that is in no transaction and that no other task uses")
    identity = [consumer, _storable(event_id)]
    try:
        async with connection.transaction():
            # Whatever the defaults are: with repeatable read the second of two deliveries would fail.
            await connection.execute(READ_COMMITTED)
            await connection.execute(
                "SELECT set_config('idle_in_transaction_session_timeout', %s, true)", [f"{round(idle * 1000)}ms"]
            )
            # Two deliveries at once: the second waits here until the first commits or rolls back.
            inserted = await connection.execute(
                "INSERT INTO inbox (consumer, event_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", identity
            )
            if inserted.rowcount == 0:
                return Result.DUPLICATE
            await effect(connection)
            await connection.execute("DELETE FROM inbox_failure WHERE consumer = %s AND event_id = %s", identity)
            return Result.DONE
    except Exception as error:
        if connection.closed:
            raise Retry(event_id) from error
        async with connection.transaction():
            await connection.execute(READ_COMMITTED)
            counted = await connection.cursor(row_factory=tuple_row).execute(
                """
                INSERT INTO inbox_failure AS f (consumer, event_id, attempts) VALUES (%s, %s, 1)
                ON CONFLICT (consumer, event_id) DO UPDATE SET attempts = f.attempts + 1 RETURNING attempts
                """,
                identity,
            )
            row = await counted.fetchone()
            dead = row is not None and row[0] >= attempts
            if dead:
                noted = await connection.execute(
                    "INSERT INTO inbox (consumer, event_id) VALUES (%s, %s) ON CONFLICT DO NOTHING", identity
                )
                if noted.rowcount == 0:  # another delivery of it has succeeded meanwhile
                    return Result.DUPLICATE
                await connection.execute(
                    "INSERT INTO inbox_dead (consumer, event_id, body, error) VALUES (%s, %s, %s, %s)",
                    [*identity, body, _readable(f"{type(error).__name__}: {error}"[:1000])],
                )
        if not dead:
            raise Retry(event_id) from error
        return Result.DEAD


def _storable(event_id: str) -> str:
    """Return the id, or its hash where it is longer than an index takes or holds what a text may not."""
    if len(event_id) <= LONGEST and event_id.isprintable():
        return event_id
    return f"sha256:{hashlib.sha256(event_id.encode('utf-8', 'surrogatepass')).hexdigest()}"


def _readable(text: str) -> str:
    return text.replace("\0", "").encode("utf-8", "replace").decode()
