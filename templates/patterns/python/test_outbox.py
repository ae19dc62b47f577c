"""Proof of outbox.py on a real PostgreSQL: rollbacks, order under four relays, relays that die, a broker that fails."""

from __future__ import annotations

import asyncio
import random
from collections import defaultdict
from typing import Any

import psycopg
import pytest

from outbox import SCHEMA, Event, enqueue, relay_once
from pg_proof import other_defaults, schema

DDL = SCHEMA + "CREATE TABLE account (id text PRIMARY KEY, version int NOT NULL DEFAULT 0);"


async def change(connection: psycopg.AsyncConnection[Any], key: str) -> None:
    async with connection.transaction():
        row = await (
            await connection.execute("UPDATE account SET version = version + 1 WHERE id = %s RETURNING version", [key])
        ).fetchone()
        assert row
        await enqueue(connection, key=key, type="account.changed", payload={"version": row[0]})


def test_a_rolled_back_change_is_never_published() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connection = await connect()
            with pytest.raises(ZeroDivisionError):
                async with connection.transaction():
                    await enqueue(connection, key="a", type="t", payload=1)
                    raise ZeroDivisionError
            assert await relay_once(connection, pytest.fail) == 0  # type: ignore[arg-type]

    asyncio.run(run())


def test_order_per_key_holds_with_writers_four_relays_and_relays_that_die() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            setup = await connect()
            keys = [f"k{n}" for n in range(5)]
            for key in keys:
                await setup.execute("INSERT INTO account (id) VALUES (%s)", [key])
            seen: dict[str, list[int]] = defaultdict(list)
            writing = True

            async def write(seed: int) -> None:
                chance, connection = random.Random(seed), await connect()
                for _ in range(40):
                    await change(connection, chance.choice(keys))

            async def relay(seed: int) -> None:
                chance, connection = random.Random(seed), await connect()

                async def publish(event: Event) -> None:
                    seen[event.key].append(event.payload["version"])
                    if chance.random() < 0.1:  # dies after the broker took it and before the row is gone
                        await setup.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])

                while writing or await waiting():
                    try:
                        await relay_once(connection, publish, batch=10)
                    except psycopg.OperationalError:
                        connection = await connect()
                    await asyncio.sleep(0)

            async def waiting() -> bool:
                row = await (await setup.execute("SELECT EXISTS (SELECT FROM outbox)")).fetchone()
                return bool(row and row[0])

            relays = [asyncio.create_task(relay(seed)) for seed in range(4)]
            await asyncio.gather(*(write(seed) for seed in range(4)))
            writing = False
            await asyncio.gather(*relays)
            assert sum(len(set(versions)) for versions in seen.values()) == 160
            for versions in seen.values():
                first_time = list(dict.fromkeys(versions))
                assert first_time == list(range(1, len(first_time) + 1))

    asyncio.run(run())


def test_a_failing_broker_loses_nothing_and_holds_back_only_its_key() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connection, other = await connect(), await connect()
            for key in ("bad", "bad", "good"):
                async with connection.transaction():
                    await enqueue(connection, key=key, type="t", payload=key, headers={"traceparent": "00-1-2-01"})
            holding, release, got = asyncio.Event(), asyncio.Event(), []

            async def broken(event: Event) -> None:
                holding.set()
                await release.wait()
                raise ConnectionError(event.key)

            async def working(event: Event) -> None:
                got.append((event.key, event.headers["traceparent"]))

            failing = asyncio.create_task(relay_once(connection, broken))
            await holding.wait()
            assert await relay_once(other, working) == 1
            release.set()
            with pytest.raises(ConnectionError):
                await failing
            assert await relay_once(other, working) == 2
            assert [key for key, _ in got] == ["good", "bad", "bad"]

    asyncio.run(run())


def test_relays_whose_connections_have_other_defaults() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            setup, relays = await connect(), [await other_defaults(connect) for _ in range(5)]
            for n in range(100):
                await enqueue(setup, key=f"k{n % 20}", type="t", payload={"n": n, "odd": "\0 \ud800"})
            seen: dict[str, list[int]] = defaultdict(list)

            async def publish(event: Event) -> None:
                assert event.payload["odd"] == "\0 \ud800"
                seen[event.key].append(event.payload["n"])
                await asyncio.sleep(0)

            await asyncio.gather(*(relay_once(one, publish) for one in relays))
            assert await relay_once(relays[0], publish) == 0
            assert all(seen[f"k{k}"] == list(range(k, 100, 20)) for k in range(20))

    asyncio.run(run())


def test_one_relay_alone_sends_the_other_keys_while_one_fails() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connection, got = await connect(), list[str]()
            for key in ("bad", "bad", "good", "fine"):
                await enqueue(connection, key=key, type="t", payload=1)

            async def publish(event: Event) -> None:
                if event.key == "bad":
                    raise ConnectionError(event.key)
                got.append(event.key)

            with pytest.raises(ConnectionError):
                await relay_once(connection, publish)
            assert got == ["good", "fine"]

    asyncio.run(run())


def test_a_relay_that_freezes_does_not_keep_its_key_and_a_transaction_around_it_is_refused() -> None:
    async def freeze(event: Event) -> None:
        await asyncio.sleep(1.5)

    async def run() -> None:
        async with schema(DDL) as connect:
            frozen, other, got = await connect(), await connect(), list[str]()

            async def publish(event: Event) -> None:
                got.append(event.key)

            await enqueue(other, key="k", type="t", payload=1)
            first = asyncio.create_task(relay_once(frozen, freeze, idle=0.3))
            await asyncio.sleep(0.8)
            assert await relay_once(other, publish) == 1
            with pytest.raises(psycopg.Error, match="idle-in-transaction"):
                await first
            async with other.transaction():
                with pytest.raises(RuntimeError, match="in no transaction"):
                    await relay_once(other, publish)

    asyncio.run(run())
