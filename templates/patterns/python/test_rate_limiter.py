"""Proof of rate_limiter.py on a real Redis: races, expiry, refill, and a server that hangs or is gone."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import TYPE_CHECKING

import pytest
from redis.asyncio import Redis

from rate_limiter import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")


def with_redis(body: Callable[[Redis], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Redis.from_url(URL, decode_responses=True) as redis:
            await body(redis)

    asyncio.run(run())


def test_100_concurrent_callers_get_exactly_the_limit() -> None:
    async def body(redis: Redis) -> None:
        key = uuid.uuid4().hex
        limiters = [RateLimiter(redis, limit=10, period=60, on_failure="closed", timeout=5) for _ in range(4)]
        decisions = await asyncio.gather(*(limiters[n % 4].check(key) for n in range(100)))
        assert sum(decision.allowed for decision in decisions) == 10
        refused = next(decision for decision in decisions if not decision.allowed)
        assert 0 < refused.retry_after <= 6.0
        assert 0 < await redis.pttl(f"rate:{key}") <= 60_000

    with_redis(body)


def test_permits_come_back_one_interval_at_a_time() -> None:
    async def body(redis: Redis) -> None:
        limiter = RateLimiter(redis, limit=10, period=1.0, burst=1, on_failure="closed", timeout=5)
        key = uuid.uuid4().hex
        assert (await limiter.check(key)).allowed
        refused = await limiter.check(key)
        assert not refused.allowed
        await asyncio.sleep(refused.retry_after + 0.005)
        assert (await limiter.check(key)).allowed

    with_redis(body)


def test_a_refused_call_costs_nothing_and_a_large_cost_is_refused_whole() -> None:
    async def body(redis: Redis) -> None:
        limiter = RateLimiter(redis, limit=5, period=60, on_failure="closed", timeout=5)
        key = uuid.uuid4().hex
        assert not (await limiter.check(key, cost=6)).allowed
        assert (await limiter.check(key, cost=5)).remaining == 0

    with_redis(body)


@pytest.mark.parametrize(("policy", "allowed"), [("open", True), ("closed", False)])
def test_a_hanging_server_is_decided_by_the_policy(policy: str, allowed: bool) -> None:
    async def run() -> None:
        server = await asyncio.start_server(lambda *_: asyncio.sleep(5), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        redis = Redis.from_url(f"redis://127.0.0.1:{port}/0")
        limiter = RateLimiter(redis, limit=1, period=1, on_failure=policy, timeout=0.05)  # type: ignore[arg-type]
        started = asyncio.get_running_loop().time()
        decision = await limiter.check("x")
        assert asyncio.get_running_loop().time() - started < 2
        assert (decision.allowed, decision.degraded) == (allowed, True)
        server.close()

    asyncio.run(run())


def test_no_server_is_decided_by_the_policy() -> None:
    async def run() -> None:
        limiter = RateLimiter(Redis.from_url("redis://127.0.0.1:1/0"), limit=1, period=1, on_failure="closed")
        decision = await limiter.check("x")
        assert (decision.allowed, decision.degraded) == (False, True)

    asyncio.run(run())


def test_nonsense_limits_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        RateLimiter(Redis(), limit=0, period=1, on_failure="open")


def test_any_text_is_a_key() -> None:
    async def run() -> None:
        async with Redis.from_url(URL) as redis:
            limiter = RateLimiter(redis, limit=1, period=5, on_failure="closed", prefix=f"proof:{uuid.uuid4().hex}")
            for key in ("\ud800", "\ud801", "a\0b"):
                assert (await limiter.check(key)).allowed
                assert not (await limiter.check(key)).allowed

    asyncio.run(run())
