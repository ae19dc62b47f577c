"""Proof of job_queue.py on a real PostgreSQL: 20 workers, workers that die, leases that run out, dead jobs."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import psycopg
import pytest

from job_queue import SCHEMA, Job, claim, complete, enqueue, extend, fail
from pg_proof import other_defaults, schema


async def worked_off(connections: list[psycopg.AsyncConnection[Any]]) -> Counter[int]:
    runs: Counter[int] = Counter()

    async def work(connection: psycopg.AsyncConnection[Any]) -> None:
        while job := await claim(connection, "q"):
            runs[job.payload] += 1
            assert await complete(connection, job)

    await asyncio.gather(*map(work, connections))
    return runs


def test_20_workers_run_500_jobs_once_each() -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            connections = [await connect() for _ in range(20)]
            for n in range(500):
                await enqueue(connections[0], "q", n)
            assert await worked_off(connections) == Counter(range(500))

    asyncio.run(run())


def test_a_job_comes_back_when_its_lease_runs_out_and_the_slow_worker_cannot_finish_it() -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            slow, fast = await connect(), await connect()
            await enqueue(slow, "q", "x")
            first = await claim(slow, "q", lease=0.2)
            assert first
            assert await claim(fast, "q") is None
            await asyncio.sleep(0.3)
            second = await claim(fast, "q")
            assert second
            assert (second.id, second.attempts) == (first.id, 2)
            assert not await extend(slow, first)
            assert not await fail(slow, first, "late")
            assert not await complete(slow, first)
            assert await complete(fast, second)

    asyncio.run(run())


def test_extending_keeps_the_job() -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            worker, rival = await connect(), await connect()
            await enqueue(worker, "q", "x")
            job = await claim(worker, "q", lease=0.3)
            assert job
            for _ in range(4):
                await asyncio.sleep(0.15)
                assert await extend(worker, job, lease=0.3)
                assert await claim(rival, "q") is None

    asyncio.run(run())


def test_a_job_that_fails_or_kills_its_workers_ends_dead() -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            connection = await connect()
            await enqueue(connection, "fails", "x", max_attempts=3)
            for _ in range(3):
                job = await until_claimed(connection, "fails")
                assert await fail(connection, job, "boom", base=0.001)
            await enqueue(connection, "kills", "x", max_attempts=2)
            for _ in range(2):
                assert await claim(connection, "kills", lease=0.01)
                await asyncio.sleep(0.05)
            assert await claim(connection, "kills") is None
            rows = await (await connection.execute("SELECT queue, state, last_error FROM job ORDER BY id")).fetchall()
            assert rows == [("fails", "dead", "boom"), ("kills", "dead", "its workers died")]

    asyncio.run(run())


def test_a_job_of_a_rolled_back_transaction_does_not_exist_and_a_delayed_one_waits() -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            connection = await connect()
            async with connection.transaction(force_rollback=True):
                await enqueue(connection, "q", "never")
            await enqueue(connection, "q", "later", delay=0.3)
            assert await claim(connection, "q") is None
            assert (await until_claimed(connection, "q")).payload == "later"

    asyncio.run(run())


async def until_claimed(connection: psycopg.AsyncConnection[Any], queue: str) -> Job:
    async with asyncio.timeout(5):
        while True:
            if job := await claim(connection, queue):
                return job
            await asyncio.sleep(0.01)


def test_workers_whose_connections_have_other_defaults() -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            setup, connections = await connect(), [await other_defaults(connect) for _ in range(10)]
            for connection in connections:
                await connection.set_autocommit(True)
            for n in range(100):
                await enqueue(setup, "q", n)
            assert await worked_off(connections) == Counter(range(100))

    asyncio.run(run())


def test_without_autocommit_a_claim_is_committed_and_the_end_of_a_job_is_the_callers() -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            connection, other = await other_defaults(connect), await connect()
            await enqueue(other, "q", "x")
            job = await claim(connection, "q")
            assert job
            states = "SELECT attempts FROM job"
            assert await (await other.execute(states)).fetchall() == [(1,)]  # a worker that dies now is counted
            assert await complete(connection, job)
            assert await (await other.execute(states)).fetchall() == [(1,)]
            with pytest.raises(RuntimeError, match="in no transaction"):
                await claim(connection, "q")
            await connection.commit()
            assert await (await other.execute(states)).fetchall() == []

    asyncio.run(run())


def test_odd_payloads_and_errors() -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            connection = await connect()
            await enqueue(connection, "q", {"a\0": "\0 \ud800"}, max_attempts=1)
            job = await claim(connection, "q")
            assert job
            assert job.payload == {"a\0": "\0 \ud800"}
            assert await fail(connection, job, "bad \0 and \ud800")
            row = await (await connection.execute("SELECT state FROM job")).fetchone()
            assert row == ("dead",)

    asyncio.run(run())
