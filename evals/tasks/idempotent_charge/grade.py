"""Races repeats of a charge, kills a connection half-way, and reuses a key."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from evals.grading import Check, check_async, module, scalar, schema

if TYPE_CHECKING:
    from pathlib import Path


def grade(workspace: Path) -> list[Check]:
    """Return the checks for a workspace with charges.py and schema.sql."""
    ddl = (workspace / "schema.sql").read_text()
    with module(workspace, "charges") as charges:

        async def repeats() -> str:
            async with schema(ddl) as connect:
                connections = [await connect() for _ in range(20)]
                answers: list[Any] = []
                busy = 0

                async def caller(connection: Any) -> None:
                    nonlocal busy
                    for _ in range(5):
                        try:
                            answers.append(await charges.charge(connection, "a", "k1", 500))
                        except charges.Conflict:
                            busy += 1

                await asyncio.gather(*map(caller, connections))
                rows = await scalar(connections[0], "SELECT count(*) FROM charge")
                assert rows == 1, f"{rows} charges for one key"
                assert len({tuple(answer) for answer in answers}) == 1, "repeats got different answers"
                return f"1 charge, {len(answers)} answers, {busy} conflicts"

        async def scoped() -> str:
            async with schema(ddl) as connect:
                connection = await connect()
                for account in ("a", "b"):
                    await charges.charge(connection, account, "k1", 500)
                assert await scalar(connection, "SELECT count(*) FROM charge") == 2, "accounts share keys"
                return "each account has its keys"

        async def reused() -> str:
            async with schema(ddl) as connect:
                connection = await connect()
                await charges.charge(connection, "a", "k1", 500)
                try:
                    await charges.charge(connection, "a", "k1", 900)
                except charges.KeyReused:
                    return "refused"
                raise AssertionError("another amount was taken under the same key")

        async def killed() -> str:
            async with schema(ddl) as connect:
                dying, other = await connect(), await connect()
                # The trigger ends the connection after the row is written and before the transaction commits.
                await other.execute(
                    b"CREATE FUNCTION die() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
                    b" PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$;"
                    b"CREATE TRIGGER die AFTER INSERT ON charge FOR EACH ROW EXECUTE FUNCTION die();"
                )
                with contextlib.suppress(Exception):
                    await charges.charge(dying, "a", "k1", 500)
                await other.execute(b"DROP TRIGGER die ON charge")
                status, _ = await charges.charge(other, "a", "k1", 500)
                rows = await scalar(other, "SELECT count(*) FROM charge")
                assert (status, rows) == (201, 1), f"after a crash: status {status}, {rows} charges"
                return "the retry after a crash charges once"

        return [
            check_async("100 concurrent repeats make one charge and one answer", repeats),
            check_async("keys belong to an account", scoped),
            check_async("a key with another amount is refused", reused),
            check_async("a crash half-way leaves nothing behind that blocks the retry", killed),
        ]
