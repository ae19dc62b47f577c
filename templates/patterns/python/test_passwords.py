"""Proof of passwords.py: right and wrong, rehash, unknown users, a free event loop."""

from __future__ import annotations

import asyncio
import statistics
import time

import pytest
from argon2 import PasswordHasher

from passwords import Passwords, TooLong


def test_right_wrong_unknown_and_broken() -> None:
    async def run() -> None:
        passwords = Passwords()
        stored = await passwords.hash("pässword ✓")
        assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
        assert (await passwords.verify(stored, "pässword ✓")).ok
        assert not (await passwords.verify(stored, "password")).ok
        assert not (await passwords.verify(None, "no user has this one")).ok
        assert not (await passwords.verify("not a hash", "x")).ok
        assert await passwords.hash("same") != await passwords.hash("same")

    asyncio.run(run())


def test_a_hash_with_weaker_parameters_is_replaced_at_login() -> None:
    async def run() -> None:
        weak = PasswordHasher(time_cost=1, memory_cost=1024, parallelism=1).hash("secret")
        passwords = Passwords()
        verified = await passwords.verify(weak, "secret")
        assert verified.ok
        assert verified.new_hash is not None
        assert await passwords.verify(verified.new_hash, "secret") == type(verified)(ok=True, new_hash=None)

    asyncio.run(run())


def test_an_unknown_user_costs_what_a_wrong_password_costs() -> None:
    async def run() -> None:
        passwords = Passwords()
        stored = await passwords.hash("right")

        async def cost(target: str | None) -> float:
            started = time.thread_time(), time.perf_counter()
            await passwords.verify(target, "wrong")
            return time.perf_counter() - started[1]

        pairs = [(await cost(stored), await cost(None)) for _ in range(9)]
        known, unknown = (statistics.median(column) for column in zip(*pairs, strict=True))
        assert 0.4 < unknown / known < 2.5  # without the decoy it is below 0.01

    asyncio.run(run())


def test_the_event_loop_stays_free_and_work_is_bounded() -> None:
    async def run() -> None:
        passwords, ticks = Passwords(parallel=2), 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        await asyncio.gather(*(passwords.hash("x") for _ in range(6)))
        ticking.cancel()
        assert ticks > 20

    asyncio.run(run())


def test_very_long_passwords_are_refused_and_72_bytes_are_not_a_limit() -> None:
    async def run() -> None:
        passwords = Passwords()
        with pytest.raises(TooLong):
            await passwords.hash("ä" * 513)
        stored = await passwords.hash("a" * 100)
        assert not (await passwords.verify(stored, "a" * 99)).ok

    asyncio.run(run())


def test_any_text_is_a_password() -> None:
    async def run() -> None:
        passwords = Passwords()
        stored = await passwords.hash("a\0b \ud800")
        assert (await passwords.verify(stored, "a\0b \ud800")).ok
        for wrong in ("a\0b \ud801", "a", "\ud800"):
            assert not (await passwords.verify(stored, wrong)).ok
        assert not (await passwords.verify("", "no user has this one")).ok

    asyncio.run(run())
