"""Proof of keyset_cursor.py: forged cursors, and a walk on a real PostgreSQL over 300 rows with one timestamp."""

from __future__ import annotations

import asyncio
import base64
import random
from typing import Any

import psycopg
import pytest

from keyset_cursor import BadCursor, Position, decode, encode
from pg_proof import schema

SECRET = b"s" * 32
DDL = """
CREATE TABLE item (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON item (created_at, id);
"""


async def page(
    connection: psycopg.AsyncConnection[Any], cursor: str | None, limit: int
) -> tuple[list[int], str | None]:
    parameters: dict[str, Any] = {"limit": limit + 1}
    condition = b""
    if cursor:
        position = decode(SECRET, "-created_at", {}, cursor)
        parameters |= {"value": position.value, "id": position.id}
        condition = b"WHERE (created_at, id) < (%(value)s::timestamptz, %(id)s::bigint)"
    query = b"SELECT id, created_at::text FROM item %b ORDER BY created_at DESC, id DESC LIMIT %%(limit)s" % condition
    rows = await (await connection.execute(query, parameters)).fetchall()
    last = rows[limit - 1] if len(rows) > limit else None
    following = encode(SECRET, "-created_at", {}, Position(last[1], str(last[0]))) if last else None
    return [row[0] for row in rows[:limit]], following


def test_rows_of_one_transaction_are_each_seen_once_while_others_come_and_go() -> None:
    async def run() -> None:
        async with schema(DDL) as connect:
            connection, other = await connect(), await connect()
            await connection.execute("INSERT INTO item (created_at) SELECT now() FROM generate_series(1, 300)")
            seen: list[int] = []
            cursor: str | None = None
            while True:
                ids, cursor = await page(connection, cursor, 7)
                seen += ids
                await other.execute("INSERT INTO item DEFAULT VALUES")
                await other.execute("DELETE FROM item WHERE id = %s", [ids[0]])  # of a page that is read
                if cursor is None:
                    break
            assert seen == list(range(300, 0, -1))

    asyncio.run(run())


def test_a_cursor_of_another_sort_filter_or_secret_is_refused() -> None:
    cursor = encode(SECRET, "name", {"role": "admin"}, Position("a", "1"))
    assert decode(SECRET, "name", {"role": "admin"}, cursor) == Position("a", "1")
    for secret, sort, filters in (
        (SECRET, "-name", {"role": "admin"}),
        (SECRET, "name", {}),
        (SECRET, "name", {"role": "user"}),
        (b"t" * 32, "name", {"role": "admin"}),
    ):
        with pytest.raises(BadCursor):
            decode(secret, sort, filters, cursor)


def test_every_altered_byte_is_refused() -> None:
    cursor = encode(SECRET, "name", {}, Position("value", "17"))
    raw = bytearray(base64.urlsafe_b64decode(cursor + "=="))
    for index in range(len(raw)):
        changed = bytearray(raw)
        changed[index] ^= 1
        with pytest.raises(BadCursor):
            decode(SECRET, "name", {}, base64.urlsafe_b64encode(bytes(changed)).decode().rstrip("="))


def test_garbage_is_refused() -> None:
    chance = random.Random(7)
    for garbage in (
        "",
        "a",
        "%%%",
        "ü",
        "A" * 5000,
        *("".join(chance.choices("abc-_=/+\n", k=40)) for _ in range(200)),
    ):
        with pytest.raises(BadCursor):
            decode(SECRET, "name", {}, garbage)


@pytest.mark.parametrize("value", ["x" * 2900, "\u540d" * 950, 'a"b\\' * 500])
def test_long_values_come_back_and_longer_ones_are_refused_where_they_are_made(value: str) -> None:
    position = Position(value, "1")
    assert decode(SECRET, "name", {}, encode(SECRET, "name", {}, position)) == position
    with pytest.raises(ValueError, match="something shorter"):
        encode(SECRET, "name", {}, Position(value * 2, "1"))
