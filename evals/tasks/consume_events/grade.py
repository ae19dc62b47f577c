"""Delivers events many times at once, poison among them, and more than there is in stock."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from evals.grading import Check, check_async, module, scalar, schema

if TYPE_CHECKING:
    from pathlib import Path

ROWS = "INSERT INTO stock VALUES ('p1', 100);"


def event(quantity: int = 2, product: str = "p1") -> bytes:
    return json.dumps({"product": product, "quantity": quantity}).encode()


def grade(workspace: Path) -> list[Check]:
    """Return the checks for a workspace with consumer.py and schema.sql."""
    ddl = (workspace / "schema.sql").read_text() + ROWS
    with module(workspace, "consumer") as consumer:

        async def once() -> str:
            async with schema(ddl) as connect:
                connections = [await connect() for _ in range(10)]

                async def deliver(connection: Any) -> list[str]:
                    return [await consumer.handle(connection, f"e{n}", event()) for n in range(10)]

                await asyncio.gather(*map(deliver, connections))
                left = await scalar(connections[0], "SELECT n FROM stock")
                assert left == 80, f"10 events of 2, each delivered 10 times, left {left} of 100 instead of 80"
                return "80 of 100 left"

        async def poison() -> str:
            async with schema(ddl) as connect:
                connection = await connect()
                answers = [await consumer.handle(connection, "bad", b"{not json") for _ in range(4)]
                assert answers[:2] == ["retry", "retry"], f"first deliveries answered {answers[:2]}"
                assert answers[2:] == ["ack", "ack"], f"poison loops: {answers}"
                dead = await scalar(connection, "SELECT count(*) FROM dead_event WHERE event_id = 'bad'")
                assert dead == 1, f"{dead} dead events"
                assert await consumer.handle(connection, "good", event()) == "ack"
                return "set aside after 3 deliveries"

        async def oversold() -> str:
            async with schema(ddl) as connect:
                connection = await connect()
                for _ in range(3):
                    answer = await consumer.handle(connection, "large", event(101))
                assert answer == "ack"
                assert await scalar(connection, "SELECT n FROM stock") == 100, "stock changed though it was not enough"
                assert await scalar(connection, "SELECT count(*) FROM dead_event") == 1
                return "refused without effect"

        return [
            check_async("each event reserves once, whatever is repeated at once", once),
            check_async("an event that cannot be handled is set aside after 3 deliveries", poison),
            check_async("an order larger than the stock changes nothing and is set aside", oversold),
        ]
