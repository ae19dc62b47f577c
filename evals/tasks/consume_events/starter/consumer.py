"""Reserves stock for order events. The broker delivers at least once; stock drifts."""

from __future__ import annotations

import json
from typing import Any

import psycopg


async def handle(connection: psycopg.AsyncConnection[Any], event_id: str, body: bytes) -> str:
    """Handle one delivery: return "ack" when the broker may forget it, "retry" when it shall deliver it again.

    An event that cannot be handled after 3 deliveries is kept in a table `dead_event (event_id, body, error)` and
    acknowledged. `connection` is in autocommit mode. Body: {"product": "p1", "quantity": 2}.
    """
    event = json.loads(body)
    await connection.execute(
        "UPDATE stock SET n = n - %s WHERE product = %s", [event["quantity"], event["product"]]
    )
    return "ack"
