"""Proof of advisory_lock.py on a real PostgreSQL: rivals, a holder that dies, an index built while others poll."""

from __future__ import annotations

import asyncio
import uuid

import psycopg
import pytest
from psycopg.rows import dict_row

from advisory_lock import Busy, advisory_lock
from pg_proof import schema


def test_rivals_never_overlap() -> None:
    async def run() -> None:
        async with schema() as connect:
            name, inside, most = uuid.uuid4().hex, 0, 0

            async def rival() -> None:
                nonlocal inside, most
                connection = await connect()
                for _ in range(3):
                    async with advisory_lock(connection, name, wait=60):
                        inside += 1
                        most = max(most, inside)
                        await asyncio.sleep(0.002)
                        inside -= 1

            await asyncio.gather(*(rival() for _ in range(15)))
            assert most == 1

    asyncio.run(run())


def test_a_holder_that_dies_frees_the_lock_and_a_held_one_is_refused_at_once() -> None:
    async def run() -> None:
        async with schema() as connect:
            holder, other = await connect(), await connect()
            name = uuid.uuid4().hex
            with pytest.raises(psycopg.OperationalError):
                async with advisory_lock(holder, name):
                    with pytest.raises(Busy):
                        async with advisory_lock(other, name):
                            pass
                    await other.execute("SELECT pg_terminate_backend(%s)", [holder.info.backend_pid])
                    async with advisory_lock(other, name, wait=5):
                        pass
                    await holder.execute("SELECT 1")

    asyncio.run(run())


def test_an_index_is_built_concurrently_while_others_poll() -> None:
    async def run() -> None:
        async with schema("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000);") as connect:
            builder, poller = await connect(), await connect()
            name = uuid.uuid4().hex
            async with asyncio.timeout(20), advisory_lock(builder, name):

                async def poll() -> None:
                    async with advisory_lock(poller, name, wait=10):
                        pass

                polling = asyncio.create_task(poll())
                await asyncio.sleep(0.1)
                await builder.execute("CREATE INDEX CONCURRENTLY ON t (a)")
            await polling

    asyncio.run(run())


def test_a_connection_in_a_transaction_is_refused() -> None:
    async def run() -> None:
        async with schema() as connect:
            connection = await connect()
            await connection.set_autocommit(False)
            with pytest.raises(ValueError, match="autocommit"):
                async with advisory_lock(connection, "x"):
                    pass

    asyncio.run(run())


def test_two_tasks_on_one_connection_do_not_both_hold_it_and_rows_may_be_dictionaries() -> None:
    async def run() -> None:
        async with schema() as connect:
            connection, other = await connect(row_factory=dict_row), await connect()
            name = uuid.uuid4().hex
            async with advisory_lock(connection, name), advisory_lock(connection, "another"):
                with pytest.raises(Busy):
                    async with advisory_lock(connection, name):
                        pass
                with pytest.raises(Busy):
                    async with advisory_lock(other, name):
                        pass
            async with advisory_lock(other, name):
                pass

    asyncio.run(run())


def test_an_open_transaction_is_refused_and_a_failed_one_does_not_keep_the_lock() -> None:
    async def run() -> None:
        async with schema() as connect:
            connection, other = await connect(), await connect()
            name = uuid.uuid4().hex
            with pytest.raises(ValueError, match="transaction"):
                async with connection.transaction(), advisory_lock(connection, name):
                    pass
            with pytest.raises(psycopg.errors.DivisionByZero):
                async with advisory_lock(connection, name):
                    await connection.execute("BEGIN")
                    await connection.execute("SELECT 1 / 0")
            async with advisory_lock(other, name):
                pass

    asyncio.run(run())
