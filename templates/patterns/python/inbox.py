"""Idempotent consumer on PostgreSQL: an event's effect and the note that it happened commit together.

Guarantees: for one (consumer, event id) the effect happens once, whatever the broker repeats and whenever a process
    dies; an event that fails `attempts` times is set aside in `inbox_dead` with its last error, so that it cannot
    block the ones behind it.
Needs: psycopg >= 3.1, PostgreSQL >= 9.5, the tables of `SCHEMA`.
Fails: an exception of the effect is counted and raised as `Retry`: do not acknowledge, let the broker deliver again.
    Effects outside the database (mail, other services) belong into an outbox row written by the effect.
Prove: pytest test_inbox.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)

Acknowledge after `consume` returns, also when it says DUPLICATE or DEAD. Delete old rows after the broker's longest
redelivery: DELETE FROM inbox WHERE done_at < now() - interval '14 days'.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any

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
) -> Result:
    """Have the effect of one delivery once; `connection` must be in autocommit mode.

    Raises:
        Retry: the effect failed for less than the `attempts`-th time; its exception is the cause.
    """
    identity = [consumer, event_id]
    try:
        async with connection.transaction():
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
            counted = await connection.execute(
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
                    [*identity, body, f"{type(error).__name__}: {error}"[:1000]],
                )
        if not dead:
            raise Retry(event_id) from error
        return Result.DEAD
