"""Proof of etag.py: the header grammar, and 100 writers on a real PostgreSQL that lose no update."""

from __future__ import annotations

import asyncio

import pytest

from etag import (
    BadHeader,
    PreconditionFailed,
    PreconditionRequired,
    conditional_update,
    etag,
    expected_versions,
    not_modified,
)
from pg_proof import other_defaults, schema

DDL = "CREATE TABLE doc (id int PRIMARY KEY, n int NOT NULL, version int NOT NULL); INSERT INTO doc VALUES (1, 0, 1);"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ('"3"', True),
        ('W/"3"', True),
        ('"1", "3"', True),
        (' , "1" ,W/"3",', True),
        ("*", True),
        ('"33"', False),
        ('"a,\\"', False),
        (None, False),
    ],
)
def test_if_none_match_is_weak(header: str | None, expected: bool) -> None:
    assert not_modified(header, 3) is expected


def test_if_match_is_strong_and_can_be_required() -> None:
    assert expected_versions('"3", W/"4", "x", "5"') == [3, 5]
    assert expected_versions("*") is None
    assert expected_versions(None, required=False) is None
    assert expected_versions('"99999999999999999999"') == []
    with pytest.raises(PreconditionRequired):
        expected_versions(None)


@pytest.mark.parametrize("header", ["", "3", '"3', '"3" "4"', 'w/"3"', '"3"; DROP', '"' + "x" * 5000 + '"'])
def test_anything_else_is_refused(header: str) -> None:
    with pytest.raises(BadHeader):
        expected_versions(header)


def test_100_read_modify_write_cycles_lose_no_update() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            conflicts = 0

            async def writer() -> None:
                nonlocal conflicts
                connection = await connect()
                for _ in range(10):
                    while True:
                        row = await (await connection.execute("SELECT n, version FROM doc")).fetchone()
                        assert row
                        try:
                            await conditional_update(
                                connection, "doc", 1, {"n": row[0] + 1}, expected_versions(etag(row[1]))
                            )
                            break
                        except PreconditionFailed:
                            conflicts += 1

            await asyncio.gather(*(writer() for _ in range(10)))
            connection = await connect()
            assert await (await connection.execute("SELECT n, version FROM doc")).fetchone() == (100, 101)
            assert conflicts > 0

    asyncio.run(run())


def test_a_row_that_is_gone_fails_the_precondition() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            with pytest.raises(PreconditionFailed):
                await conditional_update(await connect(), "doc", 2, {"n": 1}, None)

    asyncio.run(run())


def test_writers_in_autocommit_whatever_isolation_level_is_the_default_and_a_table_in_a_schema() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connections = [await other_defaults(connect) for _ in range(10)]
            row = await (await connections[0].execute("SELECT current_schema() AS name")).fetchone()
            assert row
            await connections[0].rollback()
            for connection in connections:
                await connection.set_autocommit(True)
            for version in range(1, 11):
                results = await asyncio.gather(
                    *(conditional_update(one, f"{row['name']}.doc", 1, {"n": 1}, [version]) for one in connections),
                    return_exceptions=True,
                )
                assert results.count(version + 1) == 1
                assert sum(isinstance(result, PreconditionFailed) for result in results) == 9

    asyncio.run(run())


def test_in_a_transaction_of_the_caller_it_stays_there() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connection, other = await other_defaults(connect), await connect()
            assert await conditional_update(connection, "doc", 1, {"n": 7}, [1]) == 2
            await connection.rollback()
            assert await (await other.execute("SELECT n, version FROM doc")).fetchone() == (0, 1)

    asyncio.run(run())
