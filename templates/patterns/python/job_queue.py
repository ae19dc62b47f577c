"""Job queue on PostgreSQL: SKIP LOCKED, leases, attempts, dead jobs.

Guarantees: a job that was enqueued by a committed transaction is run at least once; by one worker at a time while
    its lease holds; a worker that dies loses its job after the lease; a job that failed `max_attempts` times is kept
    as dead, not retried for ever. Finishing needs the lease, so a worker that was too slow cannot overwrite the next.
Needs: psycopg >= 3.1, PostgreSQL >= 13, the table of `SCHEMA`. Jobs must be idempotent (at least once). `claim`
    commits: it wants a connection that is in no transaction and that no other task uses.
Fails: `complete`, `fail` and `extend` return False when the lease was lost: throw the result away.
Fit: a table of yours with another name or more columns: change `SCHEMA` and the SQL, nothing else knows them.
Prove: pytest test_job_queue.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)

Failed jobs come back after base * 2^attempts seconds with full jitter. Watch `SELECT count(*) FROM job WHERE state =
'dead'` (alert above 0) and the age of the oldest ready job.
"""

from __future__ import annotations

import contextlib
import json
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg import errors
from psycopg.rows import tuple_row

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import LiteralString

    from psycopg import AsyncConnection

SCHEMA = """
CREATE TABLE job (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue text NOT NULL,
    payload json NOT NULL, -- jsonb refuses \\u0000
    state text NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'dead')),
    run_at timestamptz NOT NULL DEFAULT now(),
    attempts int NOT NULL DEFAULT 0,
    max_attempts int NOT NULL DEFAULT 5,
    lease_id uuid,
    last_error text,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX job_ready ON job (queue, run_at, id) WHERE state = 'ready';
"""

CLAIM = """
WITH due AS (
    SELECT id FROM job
    WHERE queue = %(queue)s AND state = 'ready' AND run_at <= clock_timestamp()
    ORDER BY run_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE job SET
    attempts = attempts + 1,
    lease_id = gen_random_uuid(),
    run_at = clock_timestamp() + make_interval(secs => %(lease)s),
    state = CASE WHEN attempts >= max_attempts THEN 'dead' ELSE 'ready' END,
    last_error = CASE WHEN attempts >= max_attempts THEN 'its workers died' ELSE last_error END
FROM due WHERE job.id = due.id
RETURNING job.id, payload, attempts, lease_id::text, state
"""


@dataclass(frozen=True, slots=True)
class Job:
    """A job that this worker holds until its lease runs out."""

    id: int
    payload: Any
    attempts: int
    lease_id: str


async def enqueue(
    connection: AsyncConnection[Any], queue: str, payload: object, *, delay: float = 0.0, max_attempts: int = 5
) -> int:
    """Add a job in the caller's transaction, due in `delay` seconds, and return its id."""
    row = await (
        await connection.cursor(row_factory=tuple_row).execute(
            """
            INSERT INTO job (queue, payload, max_attempts, run_at)
            VALUES (%s, %s, %s, now() + make_interval(secs => %s)) RETURNING id
            """,
            [queue, json.dumps(payload), max_attempts, delay],
        )
    ).fetchone()
    assert row is not None
    return int(row[0])


async def claim(connection: AsyncConnection[Any], queue: str, *, lease: float = 60.0) -> Job | None:
    """Take the oldest due job for `lease` seconds, or None; a job whose lease ran out is due again.

    The lease is `run_at` moved into the future, so that one index serves new, delayed and abandoned jobs. A job whose
    workers died `max_attempts` times is dead, not claimed.

    Raises:
        RuntimeError: the connection is in a transaction, or another task is using it.
    """
    if connection.info.transaction_status.name not in {"IDLE", "UNKNOWN"}:  # unknown: it is closed, and will say so
        raise RuntimeError("claim() needs a connection that is in no transaction and that no other task uses")
    cursor = connection.cursor(row_factory=tuple_row)
    while True:
        try:
            async with contextlib.nullcontext() if connection.autocommit else connection.transaction():
                await cursor.execute(CLAIM, {"queue": queue, "lease": lease})
                row = await cursor.fetchone()
        except errors.SerializationFailure:  # repeatable read is the default here, and another worker was first
            continue
        if row is None:
            return None
        if row[4] == "ready":
            return Job(row[0], row[1], row[2], row[3])


async def extend(connection: AsyncConnection[Any], job: Job, *, lease: float = 60.0) -> bool:
    """Keep the job for `lease` more seconds; long work calls it at a third of its lease."""
    return await _changes(
        connection,
        "UPDATE job SET run_at = clock_timestamp() + make_interval(secs => %s) WHERE id = %s AND lease_id = %s",
        [lease, job.id, job.lease_id],
    )


async def complete(connection: AsyncConnection[Any], job: Job) -> bool:
    """Remove the finished job; in one transaction with its effect, if that is in the same database."""
    return await _changes(connection, "DELETE FROM job WHERE id = %s AND lease_id = %s", [job.id, job.lease_id])


async def fail(
    connection: AsyncConnection[Any], job: Job, error: str, *, base: float = 1.0, cap: float = 600.0
) -> bool:
    """Give the job back, due later, or dead when its attempts are used up."""
    delay = random.uniform(0, min(base * 2**job.attempts, cap))  # noqa: S311 - jitter
    readable = error[:1000].replace("\0", "").encode("utf-8", "replace").decode()
    return await _changes(
        connection,
        """
        UPDATE job SET
            state = CASE WHEN attempts >= max_attempts THEN 'dead' ELSE 'ready' END,
            run_at = clock_timestamp() + make_interval(secs => %s),
            lease_id = NULL,
            last_error = %s
        WHERE id = %s AND lease_id = %s
        """,
        [delay, readable, job.id, job.lease_id],
    )


async def _changes(connection: AsyncConnection[Any], query: LiteralString, parameters: Sequence[object]) -> bool:
    """Whether the statement found the job with its lease."""
    while True:
        try:
            return (await connection.execute(query, parameters)).rowcount == 1
        except errors.SerializationFailure:  # repeatable read is the default here, and another one was first
            if connection.info.transaction_status.name != "IDLE":  # in a transaction of the caller's
                raise
