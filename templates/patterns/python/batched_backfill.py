"""Batched backfill on PostgreSQL: by key, in short transactions, resumable.

Guarantees: every row that exists when it starts and still needs the change gets it once, whatever else is written
    meanwhile; each transaction touches at most `batch` rows, in key order (so that two backfills cannot deadlock);
    a run that died goes on behind its last committed batch.
Needs: psycopg >= 3.1, PostgreSQL >= 11, the table of `SCHEMA`, a connection that is in no transaction, an integer key
    with a unique index, and a trigger or code that already writes the new form, or rows behind the cursor go stale.
Fails: a lock that is not had within `lock_timeout` milliseconds ends the batch, not the run: it waits and repeats,
    `patience` times in a row at most, then raises psycopg.errors.LockNotAvailable. The locks of a run that freezes in a
    batch are free after ten seconds.
Prove: pytest test_batched_backfill.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Any

from psycopg import errors, sql
from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from psycopg import AsyncConnection

SCHEMA = """
CREATE TABLE backfill (name text PRIMARY KEY, last_key bigint, end_key bigint, rows_done bigint NOT NULL DEFAULT 0);
"""
READ_COMMITTED = "SET TRANSACTION ISOLATION LEVEL READ COMMITTED"
"""Whatever the defaults are: a snapshot from before a writer's change would fail the batch instead of seeing it."""
LIMITS = "SELECT set_config('lock_timeout', %s, true), set_config('idle_in_transaction_session_timeout', '10s', true)"


async def backfill(
    connection: AsyncConnection[Any],
    name: str,
    *,
    table: str,
    key: str,
    assignments: sql.Composable,
    condition: sql.Composable,
    batch: int = 1000,
    pause: Callable[[int], Awaitable[None]] | None = None,
    lock_timeout: int = 500,
    patience: int = 20,
) -> int:
    """Set `assignments` on the rows of `table` where `condition` holds and return how many were changed in all.

    `name` identifies the run for resuming. `table` may be `schema.table`. `pause(rows)` is awaited after each batch:
    sleep there, or wait for the replicas.

    Raises:
        RuntimeError: the connection is in a transaction, which would keep every lock to its end.
        psycopg.errors.LockNotAvailable: see above.
    """
    if connection.info.transaction_status.name not in {"IDLE", "UNKNOWN"}:  # unknown: it is closed, and will say so
        raise RuntimeError("backfill() needs a connection that is in no transaction and that no other task uses")
    # The walk ends where the table ended when it began: with busy writers it would never catch up otherwise.
    begin = sql.SQL(
        "INSERT INTO backfill (name, end_key) SELECT %s, max({key}) FROM {table} ON CONFLICT (name) DO NOTHING"
    )
    names = {"key": sql.Identifier(key), "table": sql.Identifier(*table.split("."))}
    async with connection.transaction():
        await connection.execute(READ_COMMITTED)
        await connection.execute(begin.format(**names), [name])
    query = sql.SQL(
        """
        WITH batch AS (
            SELECT {key} FROM {table}
            WHERE (%(last)s::bigint IS NULL OR {key} > %(last)s) AND {key} <= %(end)s ORDER BY {key} LIMIT %(batch)s
        ), locked AS (
            SELECT {key} FROM {table} WHERE {key} IN (SELECT {key} FROM batch) AND {condition} ORDER BY {key} FOR UPDATE
        ), changed AS (
            UPDATE {table} SET {assignments} WHERE {key} IN (SELECT {key} FROM locked) RETURNING 1
        )
        SELECT (SELECT max({key}) FROM batch), (SELECT count(*) FROM changed)
        """
    ).format(**names, assignments=assignments, condition=condition)
    cursor = connection.cursor(row_factory=tuple_row)
    failures = 0
    while True:
        try:
            async with connection.transaction():
                await cursor.execute(READ_COMMITTED)
                await cursor.execute(LIMITS, [f"{lock_timeout}ms"])
                await cursor.execute(
                    "SELECT last_key, end_key, rows_done FROM backfill WHERE name = %s FOR UPDATE", [name]
                )
                row = await cursor.fetchone()
                assert row is not None
                last, end, done = row
                await cursor.execute(query, {"last": last, "end": end, "batch": batch})
                found = await cursor.fetchone()
                assert found is not None
                if found[0] is None:
                    return int(done)
                await cursor.execute(
                    "UPDATE backfill SET last_key = %s, rows_done = rows_done + %s WHERE name = %s",
                    [found[0], found[1], name],
                )
        except (errors.LockNotAvailable, errors.DeadlockDetected, errors.SerializationFailure):
            failures += 1
            if failures >= patience:
                raise
            await asyncio.sleep(random.uniform(0.05, 0.2) * min(failures, 10))  # noqa: S311 - jitter
            continue
        failures = 0
        if pause is not None:
            await pause(int(found[1]))
