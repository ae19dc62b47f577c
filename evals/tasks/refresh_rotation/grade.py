"""Races refreshes, replays a stolen token, reads the table as a thief would."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from evals.grading import Check, check_async, module, schema, slow_cursor

if TYPE_CHECKING:
    from pathlib import Path

STEPS = 12
"""Moments, 30 ms apart, at which a session ends beside a refresh whose statements are slow."""


def grade(workspace: Path) -> list[Check]:
    """Return the checks for a workspace with sessions.py and schema.sql."""
    ddl = (workspace / "schema.sql").read_text()
    with module(workspace, "sessions") as sessions:

        async def denied(connection: Any, token: str) -> bool:
            try:
                await sessions.refresh(connection, token)
            except sessions.Denied:
                return True
            return False

        async def race() -> str:
            async with schema(ddl) as connect:
                connections = [await connect() for _ in range(20)]
                token = await sessions.login(connections[0], "alice")
                results = await asyncio.gather(
                    *(sessions.refresh(connection, token) for connection in connections), return_exceptions=True
                )
                winners = [result for result in results if isinstance(result, tuple)]
                assert len(winners) == 1, f"{len(winners)} of 20 concurrent uses got a new token"
                others = [r for r in results if not isinstance(r, (tuple, sessions.Denied))]
                assert not others, f"unexpected: {others[0]!r}"
                user, successor = winners[0]
                assert user == "alice"
                assert (await sessions.refresh(connections[0], successor))[0] == "alice", "the race ended the session"
                return "one winner, and its session lives"

        async def theft() -> str:
            async with schema(ddl) as connect:
                connection = await connect()
                stolen = await sessions.login(connection, "alice")
                other = await sessions.login(connection, "alice")
                _, second = await sessions.refresh(connection, stolen)
                await asyncio.sleep(2.3)
                assert await denied(connection, stolen), "a used token works again"
                assert await denied(connection, second), "the session of a replayed token lives on"
                assert not await denied(connection, other), "another login of the user was ended too"
                return "the session ended, the other one did not"

        async def out() -> str:
            async with schema(ddl) as connect:
                connection = await connect()
                first = await sessions.login(connection, "alice")
                _, second = await sessions.refresh(connection, first)
                await sessions.logout(connection, second)
                assert await denied(connection, second)
                assert await denied(connection, first)
                await sessions.logout(connection, "unknown")
                return "ended"

        async def stored() -> str:
            async with schema(ddl) as connect:
                connection = await connect()
                token = await sessions.login(connection, "alice")
                tables = await (
                    await connection.execute(
                        b"SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()"
                    )
                ).fetchall()
                for (table,) in tables:
                    rows = await (await connection.execute(f"SELECT t::text FROM {table} t".encode())).fetchall()
                    assert all(token not in row[0] for row in rows), f"the token stands in {table} as it is"
                return "only a hash is stored"

        async def beside() -> str:
            async with schema(ddl) as connect:
                slow, fast = await connect(cursor_factory=slow_cursor(0.05)), await connect()
                begun = []
                for _ in range(2 * STEPS):
                    first = await sessions.login(fast, "alice")
                    begun.append((first, (await sessions.refresh(fast, first))[1]))
                await asyncio.sleep(2.3)
                for number, (first, current) in enumerate(begun):
                    rotation = asyncio.create_task(sessions.refresh(slow, current))
                    await asyncio.sleep(number // 2 * 0.03)
                    if number % 2:
                        await sessions.logout(fast, current)
                    else:
                        assert await denied(fast, first)
                    with contextlib.suppress(sessions.Denied):
                        _, successor = await rotation
                        assert await denied(fast, successor), (
                            f"a token issued beside a {'logout' if number % 2 else 'replay'} still works"
                        )
                return f"{2 * STEPS} sessions ended beside a refresh, and nothing outlived them"

        return [
            check_async("of 20 concurrent uses exactly one gets the next token", race),
            check_async("a replayed token ends its session and no other", theft),
            check_async("logout ends the whole session", out),
            check_async("the end of a session beside a refresh ends the next token too", beside),
            check_async("tokens are not stored as they are", stored),
        ]
