"""Refresh tokens. A stolen one works for ever."""

from __future__ import annotations

import secrets
from typing import Any

import psycopg


class Denied(Exception):
    """Answered with 401."""


async def login(connection: psycopg.AsyncConnection[Any], user_id: str) -> str:
    """Begin a session and return its first refresh token. `connection` is in autocommit mode."""
    token = secrets.token_urlsafe(32)
    await connection.execute("INSERT INTO session VALUES (%s, %s)", [token, user_id])
    return token


async def refresh(connection: psycopg.AsyncConnection[Any], token: str) -> tuple[str, str]:
    """Return the user and the next refresh token; a token works once. Using one again later than 2 s ends its session."""
    row = await (await connection.execute("SELECT user_id FROM session WHERE token = %s", [token])).fetchone()
    if row is None:
        raise Denied
    return row[0], token


async def logout(connection: psycopg.AsyncConnection[Any], token: str) -> None:
    """End the session that the token belongs to."""
    await connection.execute("DELETE FROM session WHERE token = %s", [token])
