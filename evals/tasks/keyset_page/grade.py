"""Walks pages over equal timestamps while rows come and go, and plays with cursors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from evals.grading import Check, check_async, module, schema

if TYPE_CHECKING:
    from pathlib import Path

DDL = """
CREATE TABLE orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, status text NOT NULL, created_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO orders (status) SELECT 'open' FROM generate_series(1, 200);
INSERT INTO orders (status) SELECT 'paid' FROM generate_series(1, 50);
"""


def grade(workspace: Path) -> list[Check]:
    """Return the checks for a workspace with pages.py."""
    with module(workspace, "pages") as pages:

        async def whole() -> str:
            async with schema(DDL) as connect:
                connection, other = await connect(), await connect()
                seen: list[int] = []
                cursor = None
                for _ in range(500):
                    ids, cursor = await pages.page(connection, "open", cursor, 7)
                    seen += ids
                    await other.execute(b"INSERT INTO orders (status) VALUES ('open')")
                    if cursor is None:
                        break
                first = [order for order in seen if order <= 200]
                assert sorted(set(first)) == list(range(1, 201)), (
                    f"{200 - len(set(first))} of 200 orders were never shown"
                )
                assert len(seen) == len(set(seen)), "orders were shown twice"
                return "200 of 200, once each"

        async def last() -> str:
            async with schema(DDL) as connect:
                connection = await connect()
                ids, cursor = await pages.page(connection, "paid", None, 50)
                assert (len(ids), cursor) == (50, None), "a full last page promises another one"
                return "the last page has no cursor"

        async def bound() -> str:
            async with schema(DDL) as connect:
                connection = await connect()
                _, cursor = await pages.page(connection, "open", None, 7)
                for status, wrong in (("paid", cursor), ("open", "garbage"), ("open", cursor[:-3] + "abc")):
                    try:
                        await pages.page(connection, status, wrong, 7)
                    except pages.BadCursor:
                        continue
                    raise AssertionError(f"the cursor {wrong!r} was accepted for status {status}")
                return "refused"

        return [
            check_async("every row is shown once, also among equal timestamps", whole),
            check_async("a last page that is full has no next cursor", last),
            check_async("cursors of another filter and altered ones are refused", bound),
        ]
