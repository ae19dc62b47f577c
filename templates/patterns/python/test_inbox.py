"""Proof of inbox.py on a real PostgreSQL: 100 repeats at once, a crash in the effect, a poisonous event."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from inbox import SCHEMA, Result, Retry, consume
from pg_proof import other_defaults, schema

DDL = SCHEMA + "CREATE TABLE stock (id int PRIMARY KEY, n int NOT NULL); INSERT INTO stock VALUES (1, 100);"


async def reserve(connection: psycopg.AsyncConnection[Any]) -> None:
    await connection.execute("UPDATE stock SET n = n - 1 WHERE id = 1")


async def poison(connection: psycopg.AsyncConnection[Any]) -> None:
    await reserve(connection)
    raise ValueError("cannot parse")


async def stock(connection: psycopg.AsyncConnection[Any]) -> int:
    row = await (await connection.execute("SELECT n FROM stock")).fetchone()
    return row[0] if row else -1


def test_100_concurrent_deliveries_have_one_effect() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connections = [await connect() for _ in range(20)]

            async def deliver(connection: psycopg.AsyncConnection[Any]) -> list[Result]:
                return [
                    await consume(connection, consumer="c", event_id="e1", body=b"", effect=reserve) for _ in range(5)
                ]

            results = [result for some in await asyncio.gather(*map(deliver, connections)) for result in some]
            assert results.count(Result.DONE) == 1
            assert results.count(Result.DUPLICATE) == 99
            assert await stock(connections[0]) == 99

    asyncio.run(run())


def test_a_crash_in_the_effect_is_retried_and_counted_once() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            dying, other = await connect(), await connect()

            async def die(connection: psycopg.AsyncConnection[Any]) -> None:
                await reserve(connection)
                await other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
                await reserve(connection)

            with pytest.raises(Retry):
                await consume(dying, consumer="c", event_id="e", body=b"", effect=die)
            assert await consume(other, consumer="c", event_id="e", body=b"", effect=reserve) is Result.DONE
            assert await stock(other) == 99

    asyncio.run(run())


def test_a_poisonous_event_is_set_aside_after_its_attempts_and_has_no_effect() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connection = await connect()
            for _ in range(2):
                with pytest.raises(Retry):
                    await consume(connection, consumer="c", event_id="p", body=b"x", effect=poison, attempts=3)
            last = await consume(connection, consumer="c", event_id="p", body=b"x", effect=poison, attempts=3)
            assert last is Result.DEAD
            row = await (await connection.execute("SELECT body, error FROM inbox_dead")).fetchone()
            assert row
            assert (bytes(row[0]), row[1]) == (b"x", "ValueError: cannot parse")
            again = await consume(connection, consumer="c", event_id="p", body=b"x", effect=poison)
            assert again is Result.DUPLICATE
            assert await stock(connection) == 100

    asyncio.run(run())


def test_consumers_do_not_share_their_notes() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connection = await connect()
            for consumer in ("billing", "mail"):
                done = await consume(connection, consumer=consumer, event_id="e", body=b"", effect=reserve)
                assert done is Result.DONE

    asyncio.run(run())


def test_deliveries_at_once_on_connections_with_other_defaults() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connections, other = [await other_defaults(connect) for _ in range(10)], await connect()
            results = await asyncio.gather(
                *(consume(one, consumer="c", event_id="e", body=b"", effect=reserve) for one in connections)
            )
            assert sorted(result.value for result in results) == ["done", *["duplicate"] * 9]
            for _ in range(2):
                with pytest.raises(Retry):
                    await consume(connections[0], consumer="c", event_id="p", body=b"", effect=poison, attempts=3)
            dead = await consume(connections[0], consumer="c", event_id="p", body=b"", effect=poison, attempts=3)
            assert dead is Result.DEAD
            assert await stock(other) == 99

    asyncio.run(run())


def test_a_consumer_that_freezes_does_not_keep_the_event() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            frozen, other, half_way = await connect(), await connect(), asyncio.Event()

            async def freeze(connection: psycopg.AsyncConnection[Any]) -> None:
                await reserve(connection)
                half_way.set()
                await asyncio.sleep(2)
                await reserve(connection)

            first = asyncio.create_task(consume(frozen, consumer="c", event_id="e", body=b"", effect=freeze, idle=0.3))
            await half_way.wait()
            began = asyncio.get_running_loop().time()
            assert await consume(other, consumer="c", event_id="e", body=b"", effect=reserve) is Result.DONE
            assert asyncio.get_running_loop().time() - began < 1.5
            with pytest.raises(Retry):
                await first
            assert await stock(other) == 99

    asyncio.run(run())


@pytest.mark.parametrize("event_id", ["a\0b", "\ud800", "long" * 1000])
def test_odd_ids_and_errors_cannot_block_the_events_behind_them(event_id: str) -> None:
    async def odd(connection: psycopg.AsyncConnection[Any]) -> None:
        await reserve(connection)
        raise ValueError("bad \0 and \ud800")

    async def run() -> None:
        async with schema(DDL) as connect:
            connection = await connect()
            with pytest.raises(Retry):
                await consume(connection, consumer="c", event_id=event_id, body=b"", effect=odd, attempts=2)
            for expected in (Result.DEAD, Result.DUPLICATE):
                last = await consume(connection, consumer="c", event_id=event_id, body=b"", effect=odd, attempts=2)
                assert last is expected
            for other in (f"{event_id}x", "plain"):
                done = await consume(connection, consumer="c", event_id=other, body=b"", effect=reserve)
                assert done is Result.DONE
            row = await (await connection.execute("SELECT event_id FROM inbox ORDER BY done_at DESC")).fetchone()
            assert row == ("plain",)

    asyncio.run(run())


def test_in_a_transaction_its_count_of_failures_would_be_rolled_back() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connection = await connect()
            async with connection.transaction():
                with pytest.raises(RuntimeError, match="in no transaction"):
                    await consume(connection, consumer="c", event_id="e", body=b"", effect=reserve)

    asyncio.run(run())
