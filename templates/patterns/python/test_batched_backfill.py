"""Proof of batched_backfill.py on a real PostgreSQL: writers beside it, a run that is killed, a row that is locked."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import psycopg
import pytest
from psycopg import sql

from batched_backfill import SCHEMA, backfill
from pg_proof import other_defaults, schema

DDL = (
    SCHEMA
    + """
CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL, email_lower text);
INSERT INTO users (email) SELECT 'User' || n || '@Example.org' FROM generate_series(1, 5000) n;
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN NEW.email_lower := lower(NEW.email); RETURN NEW; END $$;
CREATE TRIGGER keep BEFORE INSERT OR UPDATE OF email ON users FOR EACH ROW EXECUTE FUNCTION keep();
"""
)


async def run(connection: psycopg.AsyncConnection[Any], **options: Any) -> int:
    return await backfill(
        connection,
        "email_lower",
        key="id",
        assignments=sql.SQL("email_lower = lower(email)"),
        condition=sql.SQL("email_lower IS DISTINCT FROM lower(email)"),
        **{"table": "users", "batch": 300, **options},
    )


async def wrong(connection: psycopg.AsyncConnection[Any]) -> int:
    query = "SELECT count(*) FROM users WHERE email_lower IS DISTINCT FROM lower(email)"
    row = await (await connection.execute(query)).fetchone()
    return row[0] if row else -1


def test_all_rows_are_right_with_writers_beside_it() -> None:
    async def body() -> None:
        async with schema(DDL) as connect:
            connection, stop = await connect(), asyncio.Event()

            async def write(seed: int) -> int:
                chance, writer, slowest = random.Random(seed), await connect(), 0.0
                while not stop.is_set():
                    started = asyncio.get_running_loop().time()
                    await writer.execute(
                        "UPDATE users SET email = email || 'X' WHERE id = %s", [chance.randint(1, 5000)]
                    )
                    await writer.execute("INSERT INTO users (email) VALUES ('New@Example.org')")
                    await writer.execute("DELETE FROM users WHERE id = %s", [chance.randint(1, 5000)])
                    slowest = max(slowest, asyncio.get_running_loop().time() - started)
                return round(slowest * 1000)

            writers = [asyncio.create_task(write(seed)) for seed in range(3)]
            await run(connection)
            stop.set()
            await asyncio.gather(*writers)
            assert await wrong(connection) == 0

    asyncio.run(body())


def test_it_ends_where_the_table_ended_when_it_began() -> None:
    async def body() -> None:
        async with schema(DDL) as connect:
            connection, writer = await connect(), await connect()

            async def grow(_: int) -> None:
                await writer.execute("INSERT INTO users (email) SELECT 'New@Example.org' FROM generate_series(1, 400)")

            async with asyncio.timeout(30):
                await run(connection, pause=grow)  # each batch of 300 is followed by 400 new rows
            assert await wrong(connection) == 0

    asyncio.run(body())


def test_a_killed_run_goes_on_behind_its_last_batch() -> None:
    async def body() -> None:
        async with schema(DDL) as connect:
            dying, other = await connect(), await connect()
            batches = 0

            async def kill(_: int) -> None:
                nonlocal batches
                batches += 1
                if batches == 5:
                    await other.execute("SELECT pg_terminate_backend(%s)", [dying.info.backend_pid])

            with pytest.raises(psycopg.OperationalError):
                await run(dying, pause=kill)
            row = await (await other.execute("SELECT last_key, rows_done FROM backfill")).fetchone()
            assert row == (1500, 1500)
            assert await run(other) == 5000
            assert await wrong(other) == 0

    asyncio.run(body())


def test_a_locked_row_is_waited_for_in_short_tries_and_patience_ends() -> None:
    async def body() -> None:
        async with schema(DDL) as connect:
            connection, holder = await connect(), await connect()
            async with holder.transaction():
                await holder.execute("SELECT FROM users WHERE id = 700 FOR UPDATE")
                with pytest.raises(psycopg.errors.LockNotAvailable):
                    await run(connection, lock_timeout=20, patience=3)
            assert await run(connection) == 5000
            assert await wrong(connection) == 0

    asyncio.run(body())


def test_on_a_connection_with_other_defaults_and_a_table_in_a_schema() -> None:
    async def body() -> None:
        async with schema(DDL) as connect:
            connection, other = await other_defaults(connect), await connect()
            row = await (await other.execute("SELECT current_schema()")).fetchone()
            assert row
            busy = 0

            async def meddle(_: int) -> None:
                nonlocal busy
                busy += 1
                done = await (await other.execute("SELECT rows_done FROM backfill")).fetchone()
                assert done == (min(300 * busy, 5000),)  # each batch is committed: others see it

            assert await run(connection, table=f"{row[0]}.users", pause=meddle) == 5000
            assert await wrong(other) == 0

    asyncio.run(body())


def test_in_a_transaction_it_would_lock_every_row_to_the_end() -> None:
    async def body() -> None:
        async with schema(DDL) as connect:
            connection = await connect()
            async with connection.transaction():
                with pytest.raises(RuntimeError, match="in no transaction"):
                    await run(connection)

    asyncio.run(body())
