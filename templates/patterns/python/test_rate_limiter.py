"""Proof of rate_limiter.py on a real Redis: races, windows, lost answers, old keys, servers that hang or are killed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import pytest
from redis.asyncio import Redis

import rate_limiter
from rate_limiter import RateLimiter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")
Algorithm = Literal["exact", "gcra"]
both = pytest.mark.parametrize("algorithm", ["exact", "gcra"])


def with_redis(body: Callable[[Redis], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Redis.from_url(URL, decode_responses=True) as redis:
            await body(redis)

    asyncio.run(run())


@pytest.mark.parametrize(("algorithm", "longest_wait"), [("exact", 60.0), ("gcra", 6.0)])
def test_100_concurrent_callers_get_exactly_the_limit(algorithm: Algorithm, longest_wait: float) -> None:
    async def body(redis: Redis) -> None:
        key = uuid.uuid4().hex
        limiters = [
            RateLimiter(redis, limit=10, period=60, algorithm=algorithm, on_failure="closed", timeout=5)
            for _ in range(4)
        ]
        decisions = await asyncio.gather(*(limiters[n % 4].check(key) for n in range(100)))
        assert sum(decision.allowed for decision in decisions) == 10
        refused = next(decision for decision in decisions if not decision.allowed)
        assert 0 < refused.retry_after <= longest_wait
        assert 0 < await redis.pttl(f"rate:{key}") <= (60_000 if algorithm == "gcra" else 61_000)

    with_redis(body)


def test_permits_come_back_one_interval_at_a_time() -> None:
    async def body(redis: Redis) -> None:
        limiter = RateLimiter(redis, limit=10, period=1.0, algorithm="gcra", burst=1, on_failure="closed", timeout=5)
        key = uuid.uuid4().hex
        assert (await limiter.check(key)).allowed
        refused = await limiter.check(key)
        assert not refused.allowed
        await asyncio.sleep(refused.retry_after + 0.005)
        assert (await limiter.check(key)).allowed

    with_redis(body)


@both
def test_a_refused_call_costs_nothing_and_a_large_cost_is_refused_whole(algorithm: Algorithm) -> None:
    async def body(redis: Redis) -> None:
        limiter = RateLimiter(redis, limit=5, period=60, algorithm=algorithm, on_failure="closed", timeout=5)
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
    with pytest.raises(ValueError, match="burst is for gcra"):
        RateLimiter(Redis(), limit=1, period=1, burst=1, on_failure="open")
    with pytest.raises(ValueError, match="cost"):
        asyncio.run(RateLimiter(Redis(), limit=1, period=1, on_failure="open").check("x", cost=-1))


def test_any_text_is_a_key() -> None:
    async def run() -> None:
        async with Redis.from_url(URL) as redis:
            limiter = RateLimiter(redis, limit=1, period=5, on_failure="closed", prefix=f"proof:{uuid.uuid4().hex}")
            for key in ("\ud800", "\ud801", "a\0b"):
                assert (await limiter.check(key)).allowed
                assert not (await limiter.check(key)).allowed

    asyncio.run(run())


CALLERS = """
import asyncio, sys, time
from redis.asyncio import Redis
from rate_limiter import RateLimiter

async def main(url, key, limit, period, seconds):
    async with Redis.from_url(url) as redis:
        limiter = RateLimiter(redis, limit=int(limit), period=float(period), on_failure="closed", timeout=5)
        end = time.time() + float(seconds)

        async def caller():
            while time.time() < end:
                start = time.time()
                decision = await limiter.check(key)
                assert not decision.degraded
                if decision.allowed:
                    print(start, time.time())
                await asyncio.sleep(0.01)

        await asyncio.gather(*(caller() for _ in range(30)))

asyncio.run(main(*sys.argv[1:]))
"""


def test_no_window_holds_more_than_the_limit_over_four_processes_with_120_callers() -> None:
    key, limit, period = uuid.uuid4().hex, 10, 1.0
    environment = {**os.environ, "PYTHONPATH": str(Path(rate_limiter.__file__).parent)}
    command = [sys.executable, "-c", CALLERS, URL, key, str(limit), str(period), "4"]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    outputs = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, outputs
    spans = [[float(word) for word in line.split()] for out, _ in outputs for line in out.splitlines()]
    starts, ends = sorted(start for start, _ in spans), sorted(end for _, end in spans)
    # The server decided between start and end; so from the first to the one too many, at most this long went by.
    assert all(ends[n + limit] - starts[n] >= period for n in range(len(spans) - limit))
    assert len(spans) >= 3 * limit


def test_the_exact_window_is_whole_where_gcra_lets_twice_as_many_through() -> None:
    async def body(redis: Redis) -> None:
        async def hammer(algorithm: Algorithm) -> int:
            limiter = RateLimiter(redis, limit=10, period=2, algorithm=algorithm, on_failure="closed", timeout=5)
            key, allowed, end = uuid.uuid4().hex, 0, time.monotonic() + 1.9
            while time.monotonic() < end:
                allowed += (await limiter.check(key)).allowed
                await asyncio.sleep(0.01)
            return allowed

        exact, gcra = await asyncio.gather(hammer("exact"), hammer("gcra"))
        assert exact == 10
        assert 15 <= gcra <= 20

    with_redis(body)


def test_exact_permits_come_back_when_the_oldest_leaves_the_window_and_memory_is_bounded() -> None:
    async def body(redis: Redis) -> None:
        limiter = RateLimiter(redis, limit=3, period=1.0, on_failure="closed", timeout=5)
        key = uuid.uuid4().hex
        assert [(await limiter.check(key)).remaining for _ in range(3)] == [2, 1, 0]
        for _ in range(200):
            refused = await limiter.check(key)
            assert not refused.allowed
        assert await redis.zcard(f"rate:{key}") == 3
        for_two = await limiter.check(key, cost=2)
        assert 0 < refused.retry_after <= 1.0
        assert 0 < for_two.retry_after <= 1.0
        assert (await limiter.check(key, cost=4)).retry_after == 1.0
        await asyncio.sleep(for_two.retry_after + 0.005)
        assert (await limiter.check(key, cost=2)).allowed
        await asyncio.sleep(2.2)
        assert not await redis.exists(f"rate:{key}")

    with_redis(body)


@contextlib.asynccontextmanager
async def losing_answers() -> AsyncIterator[Redis]:
    """A client of a proxy that hands each second script to the server, and hangs up instead of handing back."""
    parts = urlsplit(URL)
    scripts = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal scripts
        up_reader, up_writer = await asyncio.open_connection(parts.hostname, parts.port)
        with contextlib.suppress(OSError):
            while request := await reader.read(65536):
                up_writer.write(request)
                answer = await up_reader.read(65536)
                scripts += b"EVAL" in request
                if b"EVAL" in request and scripts % 2:
                    break
                writer.write(answer)
        up_writer.close()
        writer.close()

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    async with proxy, Redis.from_url(URL) as direct, Redis(port=port, db=int(parts.path[1:] or 0)) as redis:
        for script in (rate_limiter.EXACT, rate_limiter.GCRA):
            await direct.script_load(script)
        yield redis


@pytest.mark.parametrize(("algorithm", "counted"), [("exact", [1, 2, 3]), ("gcra", [2, 4, 6])])
def test_a_command_sent_again_after_a_lost_answer_counts_once_when_exact(
    algorithm: Algorithm, counted: list[int]
) -> None:
    async def run() -> None:
        async with losing_answers() as redis:
            limiter = RateLimiter(redis, limit=10, period=60, algorithm=algorithm, on_failure="closed", timeout=5)
            key = uuid.uuid4().hex
            decisions = [await limiter.check(key) for _ in counted]
            assert all(decision.allowed and not decision.degraded for decision in decisions)
            assert [10 - decision.remaining for decision in decisions] == counted

    asyncio.run(run())


OLD_KEYS: dict[str, Callable[[Redis, str], Any]] = {
    "a classic counter that never expires": lambda redis, key: redis.set(key, 999),
    "words": lambda redis, key: redis.set(key, "words"),
    "nan": lambda redis, key: redis.set(key, "nan"),
    "inf": lambda redis, key: redis.set(key, "inf"),
    "a counter of microseconds": lambda redis, key: redis.set(key, 10**17),
    "a hash": lambda redis, key: redis.hset(key, "count", "999"),
    "a list": lambda redis, key: redis.rpush(key, *range(99)),
    "a log in seconds": lambda redis, key: redis.zadd(key, {str(n): time.time() + n / 10 for n in range(99)}),
    "a log in nanoseconds": lambda redis, key: redis.zadd(key, {str(n): time.time_ns() + n for n in range(99)}),
}


@both
@pytest.mark.parametrize("old", OLD_KEYS)
def test_a_key_that_an_older_release_left_locks_nobody_out(algorithm: Algorithm, old: str) -> None:
    async def body(redis: Redis) -> None:
        key = uuid.uuid4().hex
        await OLD_KEYS[old](redis, f"rate:{key}")
        limiter = RateLimiter(redis, limit=5, period=0.5, algorithm=algorithm, on_failure="closed", timeout=5)
        assert not (await limiter.check(key)).degraded
        assert 0 < await redis.pttl(f"rate:{key}") <= 1500
        await asyncio.sleep(0.51)
        assert [(await limiter.check(key)).allowed for _ in range(6)] == [True] * 5 + [False]
        assert 0 < await redis.pttl(f"rate:{key}") <= 1500

    with_redis(body)


@both
def test_a_key_whose_expiry_was_taken_away_gets_one(algorithm: Algorithm) -> None:
    async def body(redis: Redis) -> None:
        key = uuid.uuid4().hex
        limiter = RateLimiter(redis, limit=2, period=0.5, algorithm=algorithm, on_failure="closed", timeout=5)
        await limiter.check(key, cost=2)
        await redis.persist(f"rate:{key}")
        assert not (await limiter.check(key)).allowed
        await asyncio.sleep(0.51)
        assert (await limiter.check(key)).allowed
        assert await redis.pttl(f"rate:{key}") > 0

    with_redis(body)


@both
def test_a_clock_set_back_locks_out_for_a_period_at_most_and_lets_nothing_extra_through(algorithm: Algorithm) -> None:
    async def body(redis: Redis) -> None:
        key = uuid.uuid4().hex
        limiter = RateLimiter(redis, limit=5, period=0.5, algorithm=algorithm, on_failure="closed", timeout=5)
        assert [(await limiter.check(key)).allowed for _ in range(6)] == [True] * 5 + [False]
        hour, name = 3_600_000_000, f"rate:{key}"  # set back by an hour, what is stored lies an hour ahead
        if algorithm == "exact":
            tries: Any = await redis.zrange(name, 0, -1, withscores=True)
            await redis.zadd(name, {member: score + hour for member, score in tries})
        else:
            await redis.incrby(name, hour)
        await redis.persist(name)
        refused = await limiter.check(key)
        assert not refused.allowed
        assert refused.retry_after <= 0.5
        await asyncio.sleep(0.51)
        assert [(await limiter.check(key)).allowed for _ in range(6)] == [True] * 5 + [False]

    with_redis(body)


class OwnRedis:
    """A redis-server on a free port, to be stopped and killed."""

    def __init__(self, folder: Path) -> None:
        self._program = shutil.which("redis-server") or pytest.skip("redis-server is not installed")
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.start()

    def start(self) -> None:
        options = ["--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", str(self._folder)]
        self.process = subprocess.Popen([self._program, *options], stdout=subprocess.DEVNULL)
        for _ in range(200):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            time.sleep(0.05)
        raise AssertionError("redis-server does not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@both
def test_a_server_that_hangs_or_is_killed_and_comes_back(algorithm: Algorithm, tmp_path: Path) -> None:
    server = OwnRedis(tmp_path)

    async def run() -> None:
        async with Redis(port=server.port) as redis:
            limiter = RateLimiter(redis, limit=100, period=60, algorithm=algorithm, on_failure="closed", timeout=0.3)

            async def crowd() -> tuple[int, int]:
                decisions = await asyncio.gather(*(limiter.check("x") for _ in range(20)))
                return sum(one.allowed for one in decisions), sum(one.degraded for one in decisions)

            async def first_decision() -> None:
                for _ in range(50):
                    if not (await limiter.check("other")).degraded:
                        return
                raise AssertionError("the limiter does not come back")

            await first_decision()
            assert await crowd() == (20, 0)
            server.process.send_signal(signal.SIGSTOP)
            assert await crowd() == (0, 20)
            server.process.send_signal(signal.SIGCONT)
            await first_decision()
            allowed, degraded = await crowd()  # those that hung may have been counted
            assert (allowed, degraded) == (20, 0)
            server.kill()
            assert await crowd() == (0, 20)
            server.start()  # empty, without the script
            await first_decision()
            assert await crowd() == (20, 0)
            assert await redis.pttl("rate:x") > 0

    try:
        asyncio.run(run())
    finally:
        server.kill()


def test_the_default_timeout_of_a_closed_limiter_survives_a_crowd_on_cold_connections() -> None:
    """A machine whose other work takes the second away is no fault of the default: one crowd of three is let in."""

    async def body(redis: Redis) -> None:
        limiter = RateLimiter(redis, limit=200, period=60, on_failure="closed")
        for _ in range(3):
            decisions = await asyncio.gather(*(limiter.check(uuid.uuid4().hex) for _ in range(100)))
            if all(decision.allowed and not decision.degraded for decision in decisions):
                return
            await redis.connection_pool.disconnect()
        raise AssertionError([decision for decision in decisions if decision.degraded])

    with_redis(body)
