"""Proof of refresh_tokens.py on a real PostgreSQL: 100 uses at once, revocations beside rotations, theft, expiry.

Races are forced by locks, under every isolation level and with every way to join.
"""

from __future__ import annotations

import asyncio
import re
from functools import partial
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.rows import dict_row

import refresh_tokens
from pg_proof import schema
from refresh_tokens import SCHEMA, Invalid, Issued, Reused, Superseded, exchange, issue, revoke, revoke_all, rotate

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Connect = Callable[..., Awaitable[psycopg.AsyncConnection[Any]]]

SETTINGS = (
    "SET plan_cache_mode = auto",
    "SET default_transaction_isolation = 'repeatable read'",
    "SET default_transaction_isolation = 'serializable'",
    "SET enable_nestloop = off; SET enable_mergejoin = off; SET enable_seqscan = off",
    "SET enable_nestloop = off; SET enable_hashjoin = off; SET enable_seqscan = off",
    "SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_indexscan = off; SET enable_bitmapscan = off",
    "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off",
)


async def _pair(connect: Connect, settings: str) -> list[psycopg.AsyncConnection[Any]]:
    pair = [await connect(), await connect()]
    for connection in pair:
        await connection.execute(settings.encode())
        await connection.execute("SET jit = off")  # it takes longer than the races for plans that are priced out
        connection.prepare_threshold = 0
    return pair


async def _under_every_setting(race: Callable[[Connect, str], Awaitable[None]], ddl: str = SCHEMA) -> None:
    async with schema(ddl) as connect:
        await asyncio.gather(*(race(connect, settings) for settings in SETTINGS))


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
            left = await connections[0].execute("SELECT count(*) FROM refresh_token")
            assert await left.fetchone() == (2,)
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


ROW = "refresh_token WHERE hash = sha256(convert_to(%s, 'UTF8'))"


async def _meanwhile(
    connect: Connect,
    token: str,
    *calls: Callable[[], Awaitable[object]],
    hold: float = 0,
    by: str = f"SELECT FROM {ROW} FOR UPDATE",
) -> list[object]:
    """Hold the row of `token`, begin `calls` 0.2 s apart, let go `hold` seconds later, and return what came of each."""
    holder = await connect()
    async with holder.transaction():
        held = await holder.execute(by.encode(), [token])
        assert held.rowcount == 1
        running = []
        for call in calls:
            running.append(asyncio.ensure_future(call()))
            await asyncio.sleep(0.2)
        await asyncio.sleep(hold)
    return await asyncio.gather(*running, return_exceptions=True)


@pytest.mark.parametrize("ending", ["logout", "every session", "reuse"])
def test_a_revocation_beside_a_rotation_ends_the_successor_too(ending: str) -> None:
    async def race(connect: Connect, settings: str) -> None:
        first, second = await _pair(connect, settings)

        async def end(old: str, current: str) -> None:
            if ending == "logout":
                await revoke(second, current)
            elif ending == "every session":
                await revoke_all(second, settings)
            else:
                with pytest.raises(Reused):
                    await rotate(second, old, grace=0)

        async def beside(*, rotation_first: bool) -> None:
            old = (await issue(first, settings)).token
            current = (await rotate(first, old)).token
            calls = [partial(rotate, first, current), partial(end, old, current)]
            results = await _meanwhile(connect, current, *(calls if rotation_first else reversed(calls)))
            rotated, ended = results if rotation_first else reversed(results)
            assert ended is None, (settings, rotation_first)
            assert isinstance(rotated, Issued if rotation_first else Invalid), (settings, rotation_first, rotated)
            for token in (current, rotated.token if isinstance(rotated, Issued) else "unknown"):
                with pytest.raises(Invalid):
                    await rotate(first, token)

        await beside(rotation_first=True)
        await beside(rotation_first=False)

    asyncio.run(_under_every_setting(race))


SLOW = """
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(current_setting('proof.slow', true)::float8); RETURN NULL; END $$;
CREATE TRIGGER slow AFTER INSERT ON refresh_token EXECUTE FUNCTION slow();
"""


def test_who_waited_for_a_slow_rotation_is_no_thief() -> None:
    async def race(connect: Connect, settings: str) -> None:
        first, second = await _pair(connect, settings)
        token = (await issue(first, "alice")).token
        rotated, beside = await _meanwhile(
            connect, token, lambda: rotate(first, token), lambda: rotate(second, token, grace=1), hold=1.2
        )
        assert isinstance(rotated, Issued), settings
        assert isinstance(beside, Superseded), settings
        token = rotated.token
        await first.execute("SET proof.slow = 1.5")
        rotated, beside = await _meanwhile(
            connect, token, lambda: rotate(first, token), lambda: rotate(second, token, grace=1)
        )
        assert isinstance(rotated, Issued), settings
        assert isinstance(beside, Superseded), settings
        assert await rotate(second, rotated.token)

    asyncio.run(_under_every_setting(race, SCHEMA + SLOW))


def test_the_grace_begins_when_the_winner_has_got_its_lock() -> None:
    async def race(connect: Connect, settings: str) -> None:
        first, second = await _pair(connect, settings)
        token = (await issue(first, "alice")).token

        async def late() -> Issued:
            await asyncio.sleep(0.6)
            return await rotate(second, token, grace=0.5)

        rotated, beside = await _meanwhile(connect, token, lambda: rotate(first, token), late, hold=1)
        assert isinstance(rotated, Issued), settings
        assert isinstance(beside, Superseded), settings

    asyncio.run(_under_every_setting(race))


def test_a_replay_that_waited_sees_what_was_committed_meanwhile() -> None:
    async def race(connect: Connect, settings: str) -> None:
        first, _ = await _pair(connect, settings)
        for change, outcome in (
            ("expires_at = now()", Invalid),
            ("expires_at = 'infinity'", Issued),
            ("used_at = now()", Superseded),
            ("used_at = now() - interval '1 minute'", Reused),
        ):
            token = (await issue(first, "alice")).token
            by = f"UPDATE {ROW}".replace(" WHERE", f" SET {change} WHERE")
            [result] = await _meanwhile(connect, token, partial(rotate, first, token), by=by)
            assert type(result) is outcome, (settings, change)

    asyncio.run(_under_every_setting(race))


def test_the_family_is_locked_before_its_tokens() -> None:
    async def race(connect: Connect, settings: str) -> None:
        first, second = await _pair(connect, settings)
        token = (await issue(first, settings)).token

        async def look() -> None:
            with pytest.raises(psycopg.errors.LockNotAvailable):
                await second.execute("SELECT FROM refresh_family WHERE subject = %s FOR UPDATE NOWAIT", [settings])

        rotated, looked = await _meanwhile(connect, token, lambda: rotate(first, token), look)
        assert isinstance(rotated, Issued), settings
        assert looked is None, settings

    asyncio.run(_under_every_setting(race))


def test_the_last_moment_of_the_grace_belongs_to_it() -> None:
    class Store:
        def __init__(self, seconds: float) -> None:
            self.seconds, self.ended = seconds, False

        async def rotate(self, used: bytes, issued: bytes) -> tuple[str, float | None]:
            del used, issued
            return "alice", self.seconds

        async def end_family(self, used: bytes) -> None:
            del used
            self.ended = True

    for seconds, outcome in ((-1.0, Superseded), (2.0, Superseded), (2.000001, Reused)):
        store = Store(seconds)
        assert type(asyncio.run(exchange(store, "token", grace=2.0))) is outcome
        assert store.ended is (outcome is Reused)


def test_tasks_may_share_a_connection() -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            connection = await connect()
            tokens = [(await issue(connection, f"user {number}")).token for number in range(20)]
            results = await asyncio.gather(
                *(rotate(connection, token) for token in tokens for _ in range(5)), return_exceptions=True
            )
            winners = [result for result in results if isinstance(result, Issued)]
            assert [winner.subject for winner in winners] == [f"user {number}" for number in range(20)]
            assert sum(isinstance(result, Superseded) for result in results) == 80

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


def test_tokens_that_never_expire() -> None:
    async def run() -> None:
        async with schema(SCHEMA) as connect:
            connection = await connect()

            async def expiries(**times: float | None) -> list[str]:
                token = (await issue(connection, "alice", **times)).token
                await rotate(connection, token, idle=times.get("idle", 1.0))
                found = await connection.execute(
                    "DELETE FROM refresh_token RETURNING CASE expires_at WHEN 'infinity' THEN 'never'"
                    " ELSE round(extract(epoch FROM expires_at - now()))::text END"
                )
                return [row[0] for row in await found.fetchall()]

            assert await expiries(idle=None, absolute=None) == ["never", "never"]
            assert await expiries(idle=60, absolute=None) == ["60", "60"]
            assert await expiries(idle=None, absolute=90) == ["90", "90"]
            assert await expiries(absolute=60) == ["60", "1"]

    asyncio.run(run())


def test_the_header_takes_over_tokens_that_are_stored_as_they_are_and_purges_what_has_expired() -> None:
    async def run() -> None:
        takeover = re.search(r"WITH old .*?;", str(refresh_tokens.__doc__), re.DOTALL)
        purge = re.search(r"DELETE FROM refresh_family AS .*?;", str(refresh_tokens.__doc__), re.DOTALL)
        assert takeover
        assert purge
        async with schema(SCHEMA) as connect:
            connection = await connect()
            await connection.execute(
                "CREATE TABLE session (id bigint GENERATED ALWAYS AS IDENTITY, token text PRIMARY KEY, user_id text)"
            )
            rows = [("one", "alice"), ("two", "alice"), ("dr\u00e9i\\7", "bob")]
            await connection.cursor().executemany("INSERT INTO session (token, user_id) VALUES (%s, %s)", rows)
            await connection.execute(takeover[0].encode())
            await issue(connection, "carol", idle=-90000)
            await issue(connection, "dave", idle=-80000)
            for token, subject in rows:
                issued = await rotate(connection, token)
                assert issued.subject == subject
            with pytest.raises(Reused):
                await rotate(connection, "one", grace=0)
            await connection.execute(purge[0].encode())
            left = await connection.execute("SELECT string_agg(subject, ' ' ORDER BY id) FROM refresh_family")
            assert await left.fetchone() == ("alice bob dave",)

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
            for token in (first.token, second.token, "unknown", "", "\x00", "\ud800"):
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


@pytest.mark.parametrize("autocommit", [True, False])
@pytest.mark.parametrize("answered", [False, True])
def test_a_process_that_freezes_half_way_does_not_keep_the_family(answered: bool, autocommit: bool) -> None:
    class Frozen(psycopg.AsyncCursor[Any]):
        half_way: asyncio.Event

        async def execute(self, query: Any, *args: Any, **options: Any) -> Any:
            if "SET used_at" in str(query) and not answered:
                self.half_way.set()
                await asyncio.sleep(1.5)
            result = await super().execute(query, *args, **options)
            if answered:
                self.half_way.set()
                await asyncio.sleep(1.5)
            return result

    async def run() -> None:
        async with schema(SCHEMA) as connect:
            connection, frozen = await connect(), await connect(cursor_factory=Frozen)
            await frozen.set_autocommit(autocommit)
            token = (await issue(connection, "alice")).token
            Frozen.half_way = asyncio.Event()
            first = asyncio.create_task(rotate(frozen, token))
            await Frozen.half_way.wait()
            began = asyncio.get_running_loop().time()
            [beside] = await asyncio.gather(rotate(connection, token), return_exceptions=True)
            [late] = await asyncio.gather(rotate(connection, token, grace=0), return_exceptions=True)
            assert asyncio.get_running_loop().time() - began < 1
            [thawed] = await asyncio.gather(first, return_exceptions=True)
            assert isinstance(beside, Superseded if answered else Issued)
            assert isinstance(late, Reused)
            assert isinstance(thawed, Issued if answered else Invalid)
            assert frozen.autocommit is autocommit

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
