"""Proof of idempotency.py on a real PostgreSQL: 100 repeats at once, killed and frozen processes, each isolation level.

And the proof of `charge_in_one_insert`, the form that needs no module.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import psycopg
import pytest
from psycopg import errors
from psycopg.rows import dict_row, tuple_row

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


async def slow_charge(connection: psycopg.AsyncConnection[Any]) -> Answer:
    answer = await charge(connection)
    await asyncio.sleep(0.5)
    return answer


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_repeats_that_come_meanwhile_get_the_first_answer(level: str) -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connections = [await connect() for _ in range(20)]
            for connection in connections:
                await connection.execute(f"SET default_transaction_isolation = '{level}'".encode())
            began = asyncio.get_running_loop().time()
            answers = await asyncio.gather(
                *(run_once(one, scope="s", key="k", request=b"5", effect=slow_charge) for one in connections)
            )
            assert asyncio.get_running_loop().time() - began < 2
            assert {answer.body for answer in answers} == {b'{"id": 1}'}
            assert sum(not answer.replayed for answer in answers) == 1
            assert await count(connections[0]) == 1

    asyncio.run(run())


def test_a_repeat_waits_no_longer_than_it_says() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            one, other, begun = await connect(), await connect(), asyncio.Event()

            async def effect(connection: psycopg.AsyncConnection[Any]) -> Answer:
                begun.set()
                return await slow_charge(connection)

            first = asyncio.create_task(run_once(one, scope="s", key="k", request=b"5", effect=effect))
            await begun.wait()
            began = asyncio.get_running_loop().time()
            with pytest.raises(InProgress):
                await run_once(other, scope="s", key="k", request=b"5", effect=charge, wait=0.1)
            assert 0.1 <= asyncio.get_running_loop().time() - began < 0.4
            assert not (await first).replayed

    asyncio.run(run())


def test_a_process_that_freezes_half_way_does_not_keep_the_key() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            frozen, other, half_way = await connect(), await connect(), asyncio.Event()

            async def freeze(connection: psycopg.AsyncConnection[Any]) -> Answer:
                await charge(connection)
                half_way.set()
                await asyncio.sleep(2)
                return await charge(connection)

            first = asyncio.create_task(run_once(frozen, scope="s", key="k", request=b"5", effect=freeze, idle=0.3))
            await half_way.wait()
            began = asyncio.get_running_loop().time()
            assert not (await run_once(other, scope="s", key="k", request=b"5", effect=charge)).replayed
            assert asyncio.get_running_loop().time() - began < 1.5
            with pytest.raises(psycopg.Error, match="idle-in-transaction"):
                await first
            assert await count(other) == 1
            shown = await (await other.execute("SHOW idle_in_transaction_session_timeout")).fetchone()
            assert shown == ("0",)  # and what comes later on the connection is not limited

    asyncio.run(run())


def test_keys_are_any_text_of_any_length() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connection = await connect()
            names = [("s", "k" * 10_000), ("s", "k" * 10_001), ("s", "a\0b"), ("s", "\ud800"), ("sk", "k"), ("s", "kk")]
            for scope, key in names:
                for replayed in (False, True):
                    answer = await run_once(connection, scope=scope, key=key, request=b"5", effect=charge)
                    assert answer.replayed is replayed
            assert await count(connection) == len(names)
            for scope, key in (("", "k"), ("s", "")):
                with pytest.raises(ValueError, match="empty"):
                    await run_once(connection, scope=scope, key=key, request=b"5", effect=charge)

    asyncio.run(run())


def test_a_connection_that_is_shared_or_in_a_transaction_is_refused_before_anything_is_done() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connection = await connect()
            results = await asyncio.gather(
                *(run_once(connection, scope="s", key=f"k{n}", request=b"5", effect=slow_charge) for n in range(5)),
                return_exceptions=True,
            )
            assert [type(result) for result in results] == [Answer, *[RuntimeError] * 4]
            assert await count(connection) == 1
            with pytest.raises(RuntimeError, match="in no transaction"):
                async with connection.transaction():
                    await run_once(connection, scope="s", key="new", request=b"5", effect=charge)
            await connection.close()
            with pytest.raises(psycopg.OperationalError):
                await run_once(connection, scope="s", key="new", request=b"5", effect=charge)

    asyncio.run(run())


def test_on_a_connection_that_makes_dictionaries_and_opens_transactions_by_itself() -> None:
    async def effect(connection: psycopg.AsyncConnection[Any]) -> Answer:
        row = await (await connection.execute("INSERT INTO charge (amount) VALUES (5) RETURNING id")).fetchone()
        assert row
        return Answer(201, str(row["id"]).encode())

    async def run() -> None:
        async with schema(DDL) as connect:
            connection, other = await connect(row_factory=dict_row), await connect()
            await connection.set_autocommit(False)
            for replayed in (False, True):
                answer = await run_once(connection, scope="s", key="k", request=b"5", effect=effect)
                assert (answer.body, answer.replayed) == (b"1", replayed)
                assert await count(other) == 1

    asyncio.run(run())


ONE_TABLE = """
CREATE TABLE payment (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account text NOT NULL,
    amount int NOT NULL,
    key text,
    UNIQUE (account, key)
);
"""


async def charge_in_one_insert(connection: psycopg.AsyncConnection[Any], account: str, key: str, amount: int) -> int:
    """Charge once for the key and return the payment's id; `connection` is in autocommit and has a lock_timeout.

    The statement commits by itself, so a crash leaves the row or nothing; ON CONFLICT waits for an insert of the same
    key that has not ended. An index entry has at most some 2,700 bytes and text no NUL: refuse such keys at the door.

    Raises:
        Mismatch: the key was used for another amount.
        psycopg.errors.LockNotAvailable: another insert of it has not ended within lock_timeout (answer 409).
    """
    cursor, row = connection.cursor(row_factory=tuple_row), None
    while row is None:
        with contextlib.suppress(errors.SerializationFailure):  # the defaults may be repeatable read: look again
            await cursor.execute(
                "INSERT INTO payment (account, key, amount) VALUES (%s, %s, %s)"
                " ON CONFLICT (account, key) DO NOTHING RETURNING id, amount",
                [account, key, amount],
            )
            row = await cursor.fetchone()
            if row is None:
                await cursor.execute("SELECT id, amount FROM payment WHERE account = %s AND key = %s", [account, key])
                row = await cursor.fetchone()
    if row[1] != amount:
        raise Mismatch("the key was used for another amount")
    return int(row[0])


@pytest.mark.parametrize("level", ["read committed", "repeatable read", "serializable"])
def test_one_insert_needs_no_module(level: str) -> None:
    async def run() -> None:
        async with schema(ONE_TABLE) as connect:
            connections = [await connect() for _ in range(20)]
            for connection in connections:
                await connection.execute(f"SET default_transaction_isolation = '{level}'".encode())
                await connection.execute("SET lock_timeout = '300ms'")
            for key in "abcde":
                ids = await asyncio.gather(*(charge_in_one_insert(one, "alice", key, 5) for one in connections))
                assert len(set(ids)) == 1
            with pytest.raises(Mismatch):
                await charge_in_one_insert(connections[0], "alice", "a", 6)
            assert await charge_in_one_insert(connections[0], "bob", "a", 6)
            async with connections[0].transaction():
                await connections[0].execute("INSERT INTO payment (account, key, amount) VALUES ('alice', 'f', 5)")
                with pytest.raises(errors.LockNotAvailable):
                    await charge_in_one_insert(connections[1], "alice", "f", 5)
            row = await (await connections[0].execute("SELECT count(*), count(DISTINCT key) FROM payment")).fetchone()
            assert row == (7, 6)

    asyncio.run(run())


def test_one_insert_that_is_killed_leaves_the_row_or_nothing() -> None:
    dies = """
        CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS
            $$ BEGIN PERFORM pg_sleep(0.1); PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;
        CREATE TRIGGER die AFTER INSERT ON payment FOR EACH ROW EXECUTE FUNCTION die();
    """

    async def run() -> None:
        async with schema(ONE_TABLE + dies) as connect:
            other, dying = await connect(), [await connect() for _ in range(5)]
            results = await asyncio.gather(
                *(charge_in_one_insert(one, "alice", "k", 5) for one in dying), return_exceptions=True
            )
            assert all(isinstance(result, psycopg.OperationalError) for result in results)
            await other.execute("DROP TRIGGER die ON payment")
            first = await charge_in_one_insert(other, "alice", "k", 5)
            assert await charge_in_one_insert(other, "alice", "k", 5) == first
            row = await (await other.execute("SELECT count(*) FROM payment")).fetchone()
            assert row == (1,)

    asyncio.run(run())
