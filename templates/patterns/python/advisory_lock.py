"""Advisory lock on PostgreSQL for one job at a time (migrations, schedulers), polled, never waited for.

Guarantees: at most one holder for a name in the database; the lock ends with its connection, so a holder that dies
    frees it at once. Polling instead of waiting cannot deadlock with CREATE INDEX CONCURRENTLY, which waits for every
    open transaction, the waiting one included.
Needs: psycopg >= 3.1, PostgreSQL >= 11, a direct connection in autocommit mode: a session lock does not survive a
    pooler in transaction mode.
Fails: `Busy` after `wait` seconds; a connection that breaks makes the block's next statement fail.
Prove: pytest test_advisory_lock.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING, Any

import psycopg

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

# hashtextextended: 64 bits; hashtext's 32 collide among some ten thousand names.
TRY_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"
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
        ValueError: the connection is not in autocommit mode, so that polling would keep a transaction open.
    """
    if not connection.autocommit:
        raise ValueError("the connection must be in autocommit mode")
    clock = asyncio.get_running_loop().time
    deadline = clock() + wait
    while True:
        row = await (await connection.execute(TRY_LOCK, [name])).fetchone()
        if row and row[0]:
            break
        if clock() >= deadline:
            raise Busy(name)
        await asyncio.sleep(min(random.uniform(0.05, 0.2), max(deadline - clock(), 0)))  # noqa: S311 - jitter
    try:
        yield
    finally:
        with contextlib.suppress(psycopg.OperationalError):  # a dead connection has freed it already
            await connection.execute(UNLOCK, [name])
