"""Cache-aside on Redis: single flight, negative caching, jittered expiry, invalidation that late readers cannot undo.

Guarantees: while Redis answers, one loader per key runs at a time across all processes, however long it takes (the
    others wait for its value); a value read before an invalidation is never stored after it, and never given to a
    caller that came after it; each caller gets its own copy; absent things are cached briefly too.
Needs: redis-py >= 5 (`redis.asyncio`), Redis >= 2.6 or Valkey. Values are JSON; put a schema version and the
    tenant into the key (`v3:t42:user:7`). Call `invalidate` after the commit, never before it, at each change and
    creation; `load` reads committed data from the primary.
Fails: a Redis that is slow, hung or gone is bypassed after `timeout`, and one load per key and process runs; a loader
    that dies frees its key after `lease` seconds, one that hangs fails after `load_timeout`; an exception of a loader
    reaches its caller, is not cached, and the next caller loads.
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
RENEW = "if redis.call('GET', KEYS[2]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[2], ARGV[2]) end return 0"
GIVE_UP = "if redis.call('GET', KEYS[2]) == ARGV[1] then return redis.call('DEL', KEYS[2]) end return 0"


class CacheAside:
    """`ttl`, `negative_ttl`, `lease`, `load_timeout` and `timeout` are seconds; expiry is spread by ±10 %.

    At most `connections` questions to Redis run at once: a burst must not open a connection for each caller.
    """

    def __init__(
        self,
        redis: Redis,
        *,
        ttl: float = 300.0,
        negative_ttl: float = 10.0,
        lease: float = 3.0,
        load_timeout: float = 30.0,
        timeout: float = 0.1,
        connections: int = 4,
        prefix: str = "cache",
    ) -> None:
        self._redis, self._questions = redis, asyncio.Semaphore(connections)
        self._ttl, self._negative_ttl, self._timeout, self._prefix = ttl, negative_ttl, timeout, prefix
        self._lease, self._load_timeout = lease, load_timeout
        self._away_until = 0.0
        self._bypasses: dict[str, asyncio.Task[Any]] = {}

    async def get(self, key: str, load: Callable[[], Awaitable[Any]]) -> Any:
        """Return the cached value of `key`, or what `load` returns; None means that the thing does not exist.

        Raises:
            TimeoutError: a loader took more than `load_timeout`.
        """
        names, token = self._names(key), secrets.token_hex(8)
        clock = asyncio.get_running_loop().time
        patience = clock() + self._load_timeout + self._lease
        try:
            # Each caller asks Redis itself: sharing an answer would hand one from before an invalidation to a
            # caller that came after it.
            while True:
                answer = await self._try(READ, names, token, _milliseconds(self._lease))
                if answer is None:
                    return await self._bypass(key, load)
                value, mine = answer
                if value is not None:
                    return json.loads(value)
                if mine in ("1", b"1"):
                    return await self._load_and_store(names, token, load)
                if clock() > patience:
                    raise TimeoutError(f"no value for {key}: its loaders take more than {self._load_timeout:g} s")
                await asyncio.sleep(random.uniform(0.01, 0.05))  # noqa: S311 - jitter
        except BaseException:
            # Also when this caller was cancelled while Redis gave it the lease.
            await self._try(GIVE_UP, names, token)
            raise

    async def invalidate(self, *keys: str) -> None:
        """Forget `keys`, and the right of readers that are loading them now to store what they read.

        It goes on when its caller is cancelled: the change has been committed.

        Raises:
            RedisError, OSError, TimeoutError: it did not happen; the old values live until they expire.
        """
        await asyncio.shield(asyncio.ensure_future(self._forget(keys)))

    async def _forget(self, keys: tuple[str, ...]) -> None:
        async with asyncio.timeout(max(self._timeout, 1.0)):
            await self._redis.unlink(*(name for key in keys for name in self._names(key)))

    def _names(self, key: str) -> tuple[str, str]:
        return f"{self._prefix}:{{{key}}}", f"{self._prefix}:{{{key}}}:lease"

    async def _bypass(self, key: str, load: Callable[[], Awaitable[Any]]) -> Any:
        running = self._bypasses.get(key)
        if running is None:
            running = self._bypasses[key] = asyncio.ensure_future(self._load(load))
            running.add_done_callback(lambda done: self._bypassed(key, done))
        # One caller's cancellation must not take the value from the others, nor their changes to it.
        return json.loads(json.dumps(await asyncio.shield(running)))

    def _bypassed(self, key: str, done: asyncio.Task[Any]) -> None:
        del self._bypasses[key]
        if not done.cancelled():
            done.exception()  # seen here, so that one nobody waits for any more is not reported as lost

    async def _load(self, load: Callable[[], Awaitable[Any]]) -> Any:
        async with asyncio.timeout(self._load_timeout):
            return await load()

    async def _load_and_store(self, names: tuple[str, str], token: str, load: Callable[[], Awaitable[Any]]) -> Any:
        renewal = asyncio.ensure_future(self._renew(names, token))
        try:
            value = await self._load(load)
        finally:
            renewal.cancel()
        text = json.dumps(value)
        seconds = (self._negative_ttl if value is None else self._ttl) * random.uniform(0.9, 1.1)  # noqa: S311
        await self._try(STORE, names, token, text, _milliseconds(seconds))
        return json.loads(text)

    async def _renew(self, names: tuple[str, str], token: str) -> None:
        while True:
            await asyncio.sleep(self._lease / 3)
            await self._try(RENEW, names, token, _milliseconds(self._lease))

    async def _try(self, script: str, names: tuple[str, str], *arguments: object) -> Any:
        async with self._questions:
            # The time-out is Redis's alone: a busy process that queues here must not take that for an outage. Who
            # queued behind one that got no answer does not wait for another.
            now = asyncio.get_running_loop().time
            if now() < self._away_until:
                return None
            try:
                async with asyncio.timeout(self._timeout):
                    return await self._redis.eval(script, 2, *names, *map(str, arguments))
            except (RedisError, OSError, TimeoutError):
                self._away_until = now() + self._timeout
                return None


def _milliseconds(seconds: float) -> int:
    return max(round(seconds * 1000), 1)
