"""Proof of idempotency.py on a real PostgreSQL: 100 repeats at once, a killed process, another body, a failed try."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from idempotency import SCHEMA, Answer, InProgress, Mismatch, run_once
from pg_proof import schema

DDL = SCHEMA + "CREATE TABLE charge (id bigint GENERATED ALWAYS AS IDENTITY, amount int);"


async def charge(connection: psycopg.AsyncConnection[Any]) -> Answer:
    row = await (await connection.execute("INSERT INTO charge (amount) VALUES (5) RETURNING id")).fetchone()
    assert row
    await asyncio.sleep(0.01)
    return Answer(201, f'{{"id": {row[0]}}}'.encode())


async def count(connection: psycopg.AsyncConnection[Any]) -> int:
    row = await (await connection.execute("SELECT count(*) FROM charge")).fetchone()
    return row[0] if row else -1


def test_100_concurrent_repeats_charge_once() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connections = [await connect() for _ in range(20)]
            answers, busy = [], 0

            async def caller(connection: psycopg.AsyncConnection[Any]) -> None:
                nonlocal busy
                for _ in range(5):
                    try:
                        answers.append(
                            await run_once(
                                connection, scope="alice POST /charges", key="k", request=b"5", effect=charge
                            )
                        )
                    except InProgress:
                        busy += 1

            await asyncio.gather(*map(caller, connections))
            assert await count(connections[0]) == 1
            assert len(answers) + busy == 100
            assert sum(not answer.replayed for answer in answers) == 1
            assert {answer.body for answer in answers} == {b'{"id": 1}'}

    asyncio.run(run())


def test_scopes_do_not_share_keys() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connection = await connect()
            for scope in ("alice", "bob"):
                answer = await run_once(connection, scope=scope, key="k", request=b"5", effect=charge)
                assert not answer.replayed
            assert await count(connection) == 2

    asyncio.run(run())


def test_another_request_with_the_same_key_is_refused() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connection = await connect()
            await run_once(connection, scope="s", key="k", request=b"5", effect=charge)
            with pytest.raises(Mismatch):
                await run_once(connection, scope="s", key="k", request=b"6", effect=charge)

    asyncio.run(run())


def test_a_failed_effect_leaves_nothing_and_the_retry_succeeds() -> None:
    async def broken(connection: psycopg.AsyncConnection[Any]) -> Answer:
        await charge(connection)
        raise ZeroDivisionError

    async def run() -> None:
        async with schema(DDL) as connect:
            connection = await connect()
            with pytest.raises(ZeroDivisionError):
                await run_once(connection, scope="s", key="k", request=b"5", effect=broken)
            assert await count(connection) == 0
            assert not (await run_once(connection, scope="s", key="k", request=b"5", effect=charge)).replayed

    asyncio.run(run())


def test_a_process_that_dies_half_way_leaves_nothing_in_progress() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            dying, other = await connect(), await connect()

            async def die(connection: psycopg.AsyncConnection[Any]) -> Answer:
                await charge(connection)
                await other.execute("SELECT pg_terminate_backend(%s)", [connection.info.backend_pid])
                return await charge(connection)

            with pytest.raises(psycopg.OperationalError):
                await run_once(dying, scope="s", key="k", request=b"5", effect=die)
            await asyncio.sleep(0.1)
            assert not (await run_once(other, scope="s", key="k", request=b"5", effect=charge)).replayed
            assert await count(other) == 1

    asyncio.run(run())
