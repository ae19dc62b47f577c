"""Advisory lock on PostgreSQL for one job at a time (migrations, schedulers), polled, never waited for.

Guarantees: at most one holder for a name in the database; the lock ends with its connection, so a holder that dies
    frees it at once. Polling instead of waiting cannot deadlock with CREATE INDEX CONCURRENTLY, which waits for every
    open transaction, the waiting one included.
Needs: psycopg >= 3.1, PostgreSQL >= 11, a direct connection in autocommit mode and in no transaction: a session lock
    does not survive a pooler in transaction mode.
Fails: `Busy` after `wait` seconds, also where another task on the same connection holds it; a connection that breaks
    makes the block's next statement fail. A holder that freezes keeps the lock as long as its connection lives: alert
    on it, and let the server notice lost hosts (tcp_keepalives_idle = 30).
Prove: pytest test_advisory_lock.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# hashtextextended: 64 bits; hashtext's 32 collide among some ten thousand names.
# PostgreSQL gives a session the lock that it holds again: two tasks on one connection would both have it.
TRY_LOCK = """
SELECT pg_try_advisory_lock(name) FROM (SELECT hashtextextended(%s, 0) AS name) AS key WHERE NOT EXISTS (
    SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND objsubid = 1
    AND (classid::bigint << 32 | objid::bigint) = name
)
"""
UNLOCK = "SELECT pg_advisory_unlock(hashtextextended(%s, 0))"


class Busy(Exception):  # noqa: N818 - an outcome
    """Somebody else holds the lock."""


@contextlib.asynccontextmanager
async def advisory_lock(
    connection: psycopg.AsyncConnection[Any], name: str, *, wait: float = 0.0
) -> AsyncIterator[None]:
    """Hold `name` for the block; `wait` is in seconds.

    Raises:
        Busy: it was not free within `wait`.
        ValueError: the connection is not in autocommit mode, or in a transaction, which polling would keep open.
    """
    if not connection.autocommit or connection.info.transaction_status.name in {"INTRANS", "INERROR"}:
        raise ValueError("the connection must be in autocommit mode and in no transaction")
    clock = asyncio.get_running_loop().time
    deadline = clock() + wait
    while True:
        row = await (await connection.cursor(row_factory=tuple_row).execute(TRY_LOCK, [name])).fetchone()
        if row and row[0]:
            break
        if clock() >= deadline:
            raise Busy(name)
        await asyncio.sleep(min(random.uniform(0.05, 0.2), max(deadline - clock(), 0)))  # noqa: S311 - jitter
    try:
        yield
    finally:
        with contextlib.suppress(psycopg.OperationalError):  # a dead connection has freed it already
            if connection.info.transaction_status.name == "INERROR":  # the block left a failed transaction behind
                await connection.rollback()
            await connection.execute(UNLOCK, [name])
