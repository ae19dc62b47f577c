"""Proof of saga.py on a real PostgreSQL: duplicate and late replies at once, failures at every step, time-outs."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from pg_proof import other_defaults, schema
from saga import SCHEMA, Definition, Step, on_reply, on_timeout, start

ORDER = Definition((Step("reserve", "release"), Step("charge", "refund"), Step("ship"), Step("mail")))
DDL = SCHEMA + "CREATE TABLE sent (n bigint GENERATED ALWAYS AS IDENTITY, saga text, message text);"


async def send(connection: psycopg.AsyncConnection[Any], saga_id: str, message: str) -> None:
    await connection.execute("INSERT INTO sent (saga, message) VALUES (%s, %s)", [saga_id, message])


async def sent(connection: psycopg.AsyncConnection[Any]) -> list[str]:
    rows = await (await connection.execute("SELECT message FROM sent ORDER BY n")).fetchall()
    return [row[0] for row in rows]


async def state(connection: psycopg.AsyncConnection[Any]) -> str:
    row = await (await connection.execute("SELECT state FROM saga")).fetchone()
    return str(row[0]) if row else ""


def test_every_reply_delivered_ten_times_at_once_moves_the_saga_once() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connections = [await connect() for _ in range(10)]
            begun = await asyncio.gather(*(start(connection, ORDER, "o1", send) for connection in connections))
            assert sum(begun) == 1
            for message in ("reserve", "charge", "ship", "mail"):
                moved = await asyncio.gather(
                    *(on_reply(connection, ORDER, "o1", message, send, succeeded=True) for connection in connections)
                )
                assert sum(moved) == 1
            assert await sent(connections[0]) == ["reserve", "charge", "ship", "mail"]
            assert await state(connections[0]) == "done"

    asyncio.run(run())


@pytest.mark.parametrize(
    ("failing", "expected"),
    [
        ("reserve", ["reserve", "release"]),
        ("charge", ["reserve", "charge", "refund", "release"]),
        ("ship", ["reserve", "charge", "ship", "refund", "release"]),
        ("mail", ["reserve", "charge", "ship", "mail", "mail"]),
    ],
)
def test_a_failure_is_undone_in_reverse_before_the_pivot_and_retried_after_it(
    failing: str, expected: list[str]
) -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connection = await connect()
            await start(connection, ORDER, "o1", send)
            for message in ("reserve", "charge", "ship", "mail"):
                await on_reply(connection, ORDER, "o1", message, send, succeeded=message != failing)
                if message == failing:
                    break
            if failing == "mail":
                assert await on_reply(connection, ORDER, "o1", "mail", send, succeeded=True)
                assert await state(connection) == "done"
            else:
                for message in ("refund", "release"):
                    await on_reply(connection, ORDER, "o1", message, send, succeeded=True)
                assert await state(connection) == "compensated"
            assert await sent(connection) == expected

    asyncio.run(run())


def test_a_late_success_during_compensation_does_not_run_the_next_step() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connection = await connect()
            await start(connection, ORDER, "o1", send)
            await on_reply(connection, ORDER, "o1", "reserve", send, succeeded=True)
            await asyncio.sleep(0.02)
            assert await on_timeout(connection, ORDER, send, older_than=0.01) == 1
            assert not await on_reply(connection, ORDER, "o1", "charge", send, succeeded=True)
            assert await sent(connection) == ["reserve", "charge", "refund"]

    asyncio.run(run())


def test_a_failing_compensation_is_sent_again_never_skipped() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connection = await connect()
            await start(connection, ORDER, "o1", send)
            await on_reply(connection, ORDER, "o1", "reserve", send, succeeded=False)
            await on_reply(connection, ORDER, "o1", "release", send, succeeded=False)
            assert await state(connection) == "compensating"
            await on_reply(connection, ORDER, "o1", "release", send, succeeded=True)
            assert await state(connection) == "compensated"
            assert await sent(connection) == ["reserve", "release", "release"]

    asyncio.run(run())


def test_a_definition_with_a_compensation_behind_the_pivot_is_refused() -> None:
    with pytest.raises(ValueError, match="pivot"):
        Definition((Step("a"), Step("b", "undo b")))


def test_on_connections_with_other_defaults_and_in_a_transaction_of_the_caller() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connections, other = [await other_defaults(connect) for _ in range(10)], await connect()
            begun = await asyncio.gather(*(start(connection, ORDER, "o1", send) for connection in connections))
            assert sum(begun) == 1
            for message in ("reserve", "charge", "ship"):
                moved = await asyncio.gather(
                    *(on_reply(connection, ORDER, "o1", message, send, succeeded=True) for connection in connections)
                )
                assert sum(moved) == 1
            async with other.transaction():
                assert await on_reply(other, ORDER, "o1", "mail", send, succeeded=True)
            assert await state(other) == "done"
            await start(connections[0], ORDER, "o2", send)
            await asyncio.sleep(0.05)
            timed_out = await asyncio.gather(
                *(on_timeout(connection, ORDER, send, older_than=0.04) for connection in connections)
            )
            assert sum(timed_out) == 1

    asyncio.run(run())
