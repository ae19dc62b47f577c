"""Proof of refresh_tokens.py on a real PostgreSQL: 100 uses at once, revocations beside rotations, theft, expiry."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

import refresh_tokens
from pg_proof import schema
from refresh_tokens import SCHEMA, Invalid, Issued, Reused, Superseded, issue, revoke, revoke_all, rotate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


def test_of_100_concurrent_uses_one_gets_the_successor() -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            connections = [await connect() for _ in range(20)]
            first = await issue(connections[0], "alice")

            async def use(connection: psycopg.AsyncConnection[Any]) -> list[object]:
                results: list[object] = []
                for _ in range(5):
                    try:
                        results.append(await rotate(connection, first.token))
                    except Superseded as error:
                        results.append(error)
                return results

            results = [result for some in await asyncio.gather(*map(use, connections)) for result in some]
            winners = [result for result in results if isinstance(result, Issued)]
            assert len(winners) == 1
            assert len(results) == 100
            assert (await rotate(connections[0], winners[0].token)).subject == "alice"

    asyncio.run(run())


def test_reuse_after_the_grace_revokes_thief_and_victim_but_not_other_logins() -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            connection = await connect()
            stolen, other_device = await issue(connection, "alice"), await issue(connection, "alice")
            victim = await rotate(connection, stolen.token)
            with pytest.raises(Reused):
                await rotate(connection, stolen.token, grace=0)
            with pytest.raises(Invalid):
                await rotate(connection, victim.token)
            assert await rotate(connection, other_device.token)

    asyncio.run(run())


async def _meanwhile(
    connect: Callable[..., Awaitable[psycopg.AsyncConnection[Any]]],
    token: str,
    *calls: Callable[[], Awaitable[object]],
    hold: float = 0,
) -> list[object]:
    """Hold the row of `token`, begin `calls` 0.2 s apart, let go `hold` seconds later, and return what came of each."""
    holder = await connect()
    async with holder.transaction():
        held = await holder.execute(
            "SELECT 1 FROM refresh_token WHERE hash = sha256(convert_to(%s, 'UTF8')) FOR UPDATE", [token]
        )
        assert await held.fetchone()
        running = []
        for call in calls:
            running.append(asyncio.ensure_future(call()))
            await asyncio.sleep(0.2)
        await asyncio.sleep(hold)
    return await asyncio.gather(*running, return_exceptions=True)


@pytest.mark.parametrize("ending", ["logout", "every session", "reuse"])
def test_a_revocation_beside_a_rotation_ends_the_successor_too(ending: str) -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            first, second = await connect(), await connect()
            old = await issue(first, "alice")
            current = await rotate(first, old.token)

            async def end() -> None:
                if ending == "logout":
                    await revoke(second, current.token)
                elif ending == "every session":
                    await revoke_all(second, "alice")
                else:
                    with pytest.raises(Reused):
                        await rotate(second, old.token, grace=0)

            rotated, ended = await _meanwhile(connect, current.token, lambda: rotate(first, current.token), end)
            assert isinstance(rotated, Issued)
            assert ended is None
            with pytest.raises(Invalid):
                await rotate(first, rotated.token)

    asyncio.run(run())


def test_who_waited_for_a_slow_rotation_is_no_thief() -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            first, second = await connect(), await connect()
            token = (await issue(first, "alice")).token
            rotated, beside = await _meanwhile(
                connect, token, lambda: rotate(first, token), lambda: rotate(second, token, grace=1), hold=1.2
            )
            assert isinstance(rotated, Issued)
            assert isinstance(beside, Superseded)
            assert await rotate(first, rotated.token)

    asyncio.run(run())


def test_not_inside_a_transaction_that_would_undo_the_revocation() -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            connection = await connect()
            token = (await issue(connection, "alice")).token
            with pytest.raises(RuntimeError, match="roll the revocation back"):
                async with connection.transaction():
                    await rotate(connection, token)

    asyncio.run(run())


def test_idle_and_absolute_expiry() -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            connection = await connect()
            idle = await issue(connection, "a", idle=0.05)
            short = await issue(connection, "a", absolute=0.3)
            await asyncio.sleep(0.1)
            with pytest.raises(Invalid):
                await rotate(connection, idle.token)
            successor = await rotate(connection, short.token)
            await asyncio.sleep(0.3)
            with pytest.raises(Invalid):  # rotating does not lengthen the family's life
                await rotate(connection, successor.token)

    asyncio.run(run())


def test_logout_ends_the_family_and_revoke_all_every_one() -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            connection = await connect()
            first = await issue(connection, "alice")
            second = await rotate(connection, first.token)
            third = await issue(connection, "alice")
            await revoke(connection, second.token)
            await revoke(connection, "unknown")
            for token in (first.token, second.token, "unknown", "", "\ud800"):
                with pytest.raises(Invalid):
                    await rotate(connection, token)
            await revoke_all(connection, "alice")
            with pytest.raises(Invalid):
                await rotate(connection, third.token)

    asyncio.run(run())


def test_tokens_are_not_stored() -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            connection = await connect()
            issued = await issue(connection, "alice")
            row = await (await connection.execute("SELECT refresh_token::text FROM refresh_token")).fetchone()
            assert row
            assert issued.token not in row[0]
            assert issued.token.encode().hex() not in row[0]

    asyncio.run(run())


@pytest.mark.parametrize("level", ["repeatable read", "serializable"])
def test_whatever_isolation_level_is_the_default(level: str) -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            connections = [await connect() for _ in range(10)]
            for connection in connections:
                await connection.execute(f"SET default_transaction_isolation = '{level}'".encode())
            first, second = connections[:2]
            token = (await issue(first, "alice")).token
            results = await asyncio.gather(*(rotate(one, token) for one in connections), return_exceptions=True)
            winners = [result for result in results if isinstance(result, Issued)]
            assert len(winners) == 1
            assert sum(isinstance(result, Superseded) for result in results) == 9
            token = winners[0].token
            rotated, ended = await _meanwhile(
                connect, token, lambda: rotate(first, token), lambda: revoke(second, token)
            )
            assert isinstance(rotated, Issued)
            assert ended is None
            with pytest.raises(Invalid):
                await rotate(first, rotated.token)

    asyncio.run(run())


def test_a_process_that_freezes_half_way_does_not_keep_the_family(monkeypatch: pytest.MonkeyPatch) -> None:
    class Frozen(psycopg.AsyncCursor[Any]):
        async def execute(self, query: Any, *args: Any, **options: Any) -> Any:
            if "SET used_at" in str(query):
                await asyncio.sleep(1.5)
            return await super().execute(query, *args, **options)

    async def run() -> None:
        async with schema(SCHEMA) as connect:
            connection, frozen = await connect(), await connect(cursor_factory=Frozen)
            token = (await issue(connection, "alice")).token
            first = asyncio.create_task(rotate(frozen, token))
            await asyncio.sleep(0.1)
            began = asyncio.get_running_loop().time()
            assert await rotate(connection, token)
            assert asyncio.get_running_loop().time() - began < 1
            with pytest.raises(psycopg.Error, match="idle-in-transaction"):
                await first

    monkeypatch.setattr(refresh_tokens, "FROZEN", "300ms")
    asyncio.run(run())


def test_for_a_project_with_one_exception_dictionaries_and_transactions_by_itself() -> None:
    class Denied(Exception):  # noqa: N818
        pass

    async def refresh(connection: psycopg.AsyncConnection[Any], token: str) -> tuple[str, str]:
        try:
            issued = await rotate(connection, token, grace=0.2)
        except (Invalid, Superseded) as error:
            raise Denied from error
        return issued.subject, issued.token

    async def run() -> None:
        async with schema(SCHEMA) as connect:
            connection, other = await connect(row_factory=dict_row), await connect()
            await connection.set_autocommit(False)
            first = (await issue(connection, "alice")).token
            await connection.commit()
            subject, second = await refresh(connection, first)
            assert subject == "alice"
            with pytest.raises(Denied):
                await refresh(connection, first)
            _, third = await refresh(other, second)  # within the grace nobody is a thief
            await asyncio.sleep(0.3)
            for token in (second, third, "unknown"):
                with pytest.raises(Denied):
                    await refresh(connection, token)
            await connection.close()
            with pytest.raises(psycopg.OperationalError):
                await refresh(connection, first)

    asyncio.run(run())
