"""Order list. Customers report orders missing between pages."""

from __future__ import annotations

from typing import Any

import psycopg


class BadCursor(Exception):
    """Answered with 400."""


async def page(
    connection: psycopg.AsyncConnection[Any], status: str, cursor: str | None, limit: int
) -> tuple[list[int], str | None]:
    """Return the ids of one page of orders in `status`, newest first, and the cursor of the next page or None."""
    condition = "AND created_at < %s::timestamptz" if cursor else ""
    rows = await (
        await connection.execute(
            f"SELECT id, created_at::text FROM orders WHERE status = %s {condition} ORDER BY created_at DESC LIMIT %s",
            [status, *([cursor] if cursor else []), limit],
        )
    ).fetchall()
    return [row[0] for row in rows], rows[-1][1] if len(rows) == limit else None
