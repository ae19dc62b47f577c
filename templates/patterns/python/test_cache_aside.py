"""Proof of cache_aside.py on a real Redis: stampede, stale store after invalidation, absent things, Redis away."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError

from cache_aside import CacheAside

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")


class Source:
    """The slow truth behind the cache; it counts how often it is asked."""

    def __init__(self, value: Any, delay: float = 0.05) -> None:
        self.value, self.delay, self.loads, self.asked = value, delay, 0, asyncio.Event()

    async def load(self) -> Any:
        self.loads += 1
        value = self.value
        self.asked.set()
        await asyncio.sleep(self.delay)
        return value


def with_redis(body: Callable[[Redis, str], Awaitable[None]]) -> None:
    async def run() -> None:
        async with Redis.from_url(URL) as redis:
            await body(redis, uuid.uuid4().hex)

    asyncio.run(run())


def test_100_concurrent_readers_of_5_processes_load_once() -> None:
    async def body(redis: Redis, key: str) -> None:
        source = Source({"name": "a"})
        caches = [CacheAside(redis, timeout=5) for _ in range(5)]  # no shared memory: like five processes
        values = await asyncio.gather(*(caches[n % 5].get(key, source.load) for n in range(100)))
        assert values == [{"name": "a"}] * 100
        assert source.loads == 1

    with_redis(body)


def test_a_burst_does_not_open_a_connection_for_each_caller() -> None:
    async def body(redis: Redis, key: str) -> None:
        async with Redis.from_url(URL, max_connections=8) as bounded:  # one more than eight raises
            cache, source = CacheAside(bounded, timeout=5), Source(1, delay=0)
            assert await asyncio.gather(*(cache.get(key, source.load) for _ in range(200))) == [1] * 200
            assert source.loads == 1

    with_redis(body)


def test_a_value_read_before_an_invalidation_is_not_stored_after_it() -> None:
    async def body(redis: Redis, key: str) -> None:
        cache, source = CacheAside(redis, timeout=5), Source("old", delay=0.2)
        reader = asyncio.create_task(cache.get(key, source.load))
        await source.asked.wait()
        source.value = "new"  # committed while the reader holds the old value ...
        await CacheAside(redis, timeout=5).invalidate(key)
        assert await reader == "old"  # ... which it may return, having asked before the commit
        assert await CacheAside(redis, timeout=5).get(key, source.load) == "new"

    with_redis(body)


def test_a_caller_that_comes_after_a_change_does_not_join_a_load_from_before_it() -> None:
    async def body(redis: Redis, key: str) -> None:
        cache, source = CacheAside(redis, timeout=5), Source("old", delay=0.3)
        early = asyncio.create_task(cache.get(key, source.load))
        await source.asked.wait()
        source.value = "new"
        await CacheAside(redis, timeout=5).invalidate(key)  # in another process
        late = asyncio.create_task(cache.get(key, source.load))
        assert await late == "new"
        assert await early == "old"
        assert await cache.get(key, source.load) == "new"

    with_redis(body)


def test_a_load_longer_than_the_lease_is_still_the_only_one() -> None:
    async def body(redis: Redis, key: str) -> None:
        source = Source(1, delay=1.0)
        caches = [CacheAside(redis, timeout=5, lease=0.3) for _ in range(4)]
        assert await asyncio.gather(*(cache.get(key, source.load) for cache in caches)) == [1] * 4
        assert source.loads == 1

    with_redis(body)


def test_a_load_that_hangs_fails_and_lets_the_next_one_try() -> None:
    async def body(redis: Redis, key: str) -> None:
        cache = CacheAside(redis, timeout=5, load_timeout=0.2)
        with pytest.raises(TimeoutError):
            await cache.get(key, Source(1, delay=60).load)
        async with asyncio.timeout(2):
            assert await cache.get(key, Source(2, delay=0).load) == 2

    with_redis(body)


def test_callers_do_not_share_an_object() -> None:
    async def body(redis: Redis, key: str) -> None:
        for cache in (CacheAside(redis, timeout=5), CacheAside(Redis.from_url("redis://127.0.0.1:1/0"))):
            source = Source({"tags": []}, delay=0.1)
            one, two = await asyncio.gather(cache.get(key, source.load), cache.get(key, source.load))
            one["tags"].append("mine")
            assert two == {"tags": []}

    with_redis(body)


def test_an_invalidation_goes_on_when_its_caller_is_cancelled() -> None:
    async def body(redis: Redis, key: str) -> None:
        cache = CacheAside(redis, timeout=5)
        await cache.get(key, Source("old", delay=0).load)
        request = asyncio.create_task(cache.invalidate(key))
        await asyncio.sleep(0)
        request.cancel()
        await asyncio.sleep(0.2)
        assert await cache.get(key, Source("new", delay=0).load) == "new"

    with_redis(body)


def test_absent_things_are_cached_for_a_short_time_and_found_once_created() -> None:
    async def body(redis: Redis, key: str) -> None:
        cache, source = CacheAside(redis, timeout=5), Source(None, delay=0)
        assert [await cache.get(key, source.load) for _ in range(3)] == [None] * 3
        assert source.loads == 1
        assert 0 < await redis.pttl(f"cache:{{{key}}}") <= 11_000
        source.value = {"id": 1}
        await cache.invalidate(key)
        assert await cache.get(key, source.load) == {"id": 1}

    with_redis(body)


def test_a_failing_loader_is_not_cached_and_frees_the_key_at_once() -> None:
    async def body(redis: Redis, key: str) -> None:
        cache, source = CacheAside(redis, timeout=5, lease=30), Source(1, delay=0)

        async def broken() -> None:
            raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await cache.get(key, broken)
        async with asyncio.timeout(2):
            assert await cache.get(key, source.load) == 1

    with_redis(body)


def test_a_loader_that_died_delays_others_by_its_lease_at_most() -> None:
    async def body(redis: Redis, key: str) -> None:
        await redis.set(f"cache:{{{key}}}:lease", "dead", px=300)
        source = Source(1, delay=0)
        async with asyncio.timeout(3):
            assert await CacheAside(redis, timeout=5, lease=0.3).get(key, source.load) == 1

    with_redis(body)


def test_a_cancelled_caller_leaves_the_key_to_the_others_at_once() -> None:
    async def body(redis: Redis, key: str) -> None:
        for cache in (CacheAside(redis, timeout=5, lease=30), CacheAside(Redis.from_url("redis://127.0.0.1:1/0"))):
            source = Source(1, delay=0.2)
            first, second = (asyncio.create_task(cache.get(key, source.load)) for _ in range(2))
            await asyncio.sleep(0.05)
            first.cancel()
            async with asyncio.timeout(5):
                assert await second == 1

    with_redis(body)


def test_without_redis_the_source_answers_once_for_a_process() -> None:
    async def run() -> None:
        source = Source(1, delay=0.2)
        cache = CacheAside(Redis.from_url("redis://127.0.0.1:1/0"))
        assert await asyncio.gather(*(cache.get("x", source.load) for _ in range(100))) == [1] * 100
        assert source.loads == 1
        with pytest.raises(RedisError):
            await cache.invalidate("x")

    asyncio.run(run())


def test_a_queue_in_the_process_is_no_outage() -> None:
    class Slow(Redis):
        async def eval(self, *arguments: Any) -> Any:
            await asyncio.sleep(0.05)
            return await super().eval(*arguments)

    async def body(redis: Redis, key: str) -> None:
        async with Slow.from_url(URL) as slow:
            cache, source = CacheAside(slow, timeout=1, connections=1), Source(1, delay=0)
            await cache.get(key, source.load)
            values = await asyncio.gather(*(cache.get(key, source.load) for _ in range(40)))  # two seconds in all
        assert (values, source.loads) == ([1] * 40, 1)

    with_redis(body)


def test_a_hanging_redis_is_waited_for_once_by_a_queue_of_callers() -> None:
    async def run() -> None:
        server = await asyncio.start_server(lambda *_: asyncio.sleep(5), "127.0.0.1", 0)
        source = Source(1, delay=0)
        url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
        cache = CacheAside(Redis.from_url(url), timeout=0.3, connections=1)
        async with asyncio.timeout(2):
            await asyncio.gather(*(cache.get(str(number), source.load) for number in range(40)))
        server.close()

    asyncio.run(run())


def test_a_hanging_redis_costs_its_timeout_only() -> None:
    async def run() -> None:
        server = await asyncio.start_server(lambda *_: asyncio.sleep(5), "127.0.0.1", 0)
        source = Source(1, delay=0)
        cache = CacheAside(Redis.from_url(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"), timeout=0.1)
        async with asyncio.timeout(2):
            assert await cache.get("x", source.load) == 1
        server.close()

    asyncio.run(run())
