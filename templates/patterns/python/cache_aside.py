"""Cache-aside on Redis: single flight, negative caching, jittered expiry, invalidation that late readers cannot undo.

Guarantees: while Redis answers, one loader per key runs at a time across all processes (the others wait for its
    value); a value read before an invalidation is never stored after it; absent things are cached briefly too.
Needs: redis-py >= 5 (`redis.asyncio`), Redis >= 2.6 or Valkey. Values are JSON; put a schema version and the
    tenant into the key (`v3:t42:user:7`). Call `invalidate` after the commit, never before it.
Fails: a Redis that is slow, hung or gone is bypassed after `timeout` and the loader answers; a loader that dies
    frees its key after `lease` seconds; a loader's exception reaches every waiter of this process and is not cached.
Prove: pytest test_cache_aside.py   (REDIS_URL, default redis://127.0.0.1:6379/0)

Leases: R. Nishtala et al., "Scaling Memcache at Facebook", NSDI 2013, section 3.2.1.
"""

from __future__ import annotations

import asyncio
import json
import random
import secrets
from typing import TYPE_CHECKING, Any

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from redis.asyncio import Redis

# Value, or the right to load it: {value}, {false, '1'} for the caller who got the lease, {false, '0'} for the others.
READ = """
local value = redis.call('GET', KEYS[1])
if value then return {value, '0'} end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {false, '1'} end
return {false, '0'}
"""
STORE = """
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return redis.call('DEL', KEYS[2])
"""
GIVE_UP = "if redis.call('GET', KEYS[2]) == ARGV[1] then return redis.call('DEL', KEYS[2]) end return 0"


class CacheAside:
    """`ttl`, `negative_ttl`, `lease` and `timeout` are seconds; expiry is spread by ±10 %."""

    def __init__(
        self,
        redis: Redis,
        *,
        ttl: float = 300.0,
        negative_ttl: float = 10.0,
        lease: float = 5.0,
        timeout: float = 0.1,
        prefix: str = "cache",
    ) -> None:
        self._redis = redis
        self._ttl, self._negative_ttl, self._lease, self._timeout = ttl, negative_ttl, lease, timeout
        self._prefix = prefix
        self._flights: dict[str, asyncio.Task[Any]] = {}

    async def get(self, key: str, load: Callable[[], Awaitable[Any]]) -> Any:
        """Return the cached value of `key`, or what `load` returns; None means that the thing does not exist."""
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._fly(key, load))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        # One caller's cancellation must not take the value from the others.
        return await asyncio.shield(flight)

    async def invalidate(self, *keys: str) -> None:
        """Forget `keys`, and the right of readers that are loading them now to store what they read.

        Raises:
            RedisError, OSError, TimeoutError: it did not happen; the old values live until they expire.
        """
        async with asyncio.timeout(max(self._timeout, 1.0)):
            await self._redis.unlink(*(name for key in keys for name in self._names(key)))

    def _names(self, key: str) -> tuple[str, str]:
        return f"{self._prefix}:{{{key}}}", f"{self._prefix}:{{{key}}}:lease"

    def _land(self, key: str, flight: asyncio.Task[Any]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not flight.cancelled():
            flight.exception()  # seen here, so that a flight nobody waits for any more is not reported as lost

    async def _fly(self, key: str, load: Callable[[], Awaitable[Any]]) -> Any:
        names, token = self._names(key), secrets.token_hex(8)
        clock = asyncio.get_running_loop().time
        patience = clock() + self._lease
        while True:
            answer = await self._try(READ, names, token, round(self._lease * 1000))
            if answer is None:
                return await load()
            if answer[0] is not None:
                return json.loads(answer[0])
            if answer[1] in ("1", b"1"):
                return await self._load_and_store(names, token, load)
            if clock() > patience:
                return await load()
            await asyncio.sleep(random.uniform(0.01, 0.05))  # noqa: S311 - jitter

    async def _load_and_store(self, names: tuple[str, str], token: str, load: Callable[[], Awaitable[Any]]) -> Any:
        try:
            value = await load()
        except BaseException:
            await self._try(GIVE_UP, names, token)
            raise
        seconds = (self._negative_ttl if value is None else self._ttl) * random.uniform(0.9, 1.1)  # noqa: S311
        await self._try(STORE, names, token, json.dumps(value), max(round(seconds * 1000), 1))
        return value

    async def _try(self, script: str, names: tuple[str, str], *arguments: object) -> Any:
        try:
            async with asyncio.timeout(self._timeout):
                return await self._redis.eval(script, 2, *names, *map(str, arguments))
        except (RedisError, OSError, TimeoutError):
            return None
