"""Charges. Clients repeat requests when they do not hear an answer; today that charges twice."""

from __future__ import annotations

import json
from typing import Any

import psycopg


class Conflict(Exception):
    """Answered with 409: a request with this key is still running."""


class KeyReused(Exception):
    """Answered with 422: the key was used with another amount."""


async def charge(
    connection: psycopg.AsyncConnection[Any], account: str, key: str, amount_cents: int
) -> tuple[int, bytes]:
    """Charge the account and return status and body. `connection` is in autocommit mode."""
    row = await (
        await connection.execute(
            "INSERT INTO charge (account, amount_cents) VALUES (%s, %s) RETURNING id", [account, amount_cents]
        )
    ).fetchone()
    assert row is not None
    return 201, json.dumps({"id": row[0], "amountCents": amount_cents}).encode()
