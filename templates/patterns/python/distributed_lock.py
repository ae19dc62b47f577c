"""Distributed lock on Redis: owner token, renewal, fencing number.

Guarantees: at most one holder while Redis keeps its data and the lease has not run out; only the owner can
    renew or release; every acquisition gets a larger `fence`.
Does not guarantee: exclusion through a Redis failover, or while a holder is paused longer than its lease. So
    the resource must refuse an older fence: UPDATE … SET …, fence = :fence WHERE id = :id AND fence < :fence.
    Where the thing guarded is a PostgreSQL database, use advisory_lock.py or a constraint instead.
Needs: redis-py >= 5 (`redis.asyncio`), Redis >= 2.6 or Valkey.
Fails: `LockNotAcquired` after `wait` seconds; a lease that cannot be renewed cancels the guarded block, which
    then raises `LockLost`. From the acquisition a Redis that is away raises redis.exceptions.RedisError, one that hangs
    TimeoutError after `lease` seconds.
Prove: pytest test_distributed_lock.py   (REDIS_URL, default redis://127.0.0.1:6379/0)

Fencing: M. Kleppmann, "How to do distributed locking" (2016).
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from redis.asyncio import Redis

ACQUIRE = """
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return redis.call('INCR', KEYS[2]) end
return 0
"""
RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0"
RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class LockNotAcquired(Exception):  # noqa: N818 - it is an outcome, not a fault
    """Somebody else holds the lock."""


class LockLost(Exception):  # noqa: N818
    """The lease ran out before the work was done; what was written must have been fenced."""


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that is held; pass `fence` to every write that it guards."""

    name: str
    token: str
    fence: int


@contextlib.asynccontextmanager
async def lock(redis: Redis, name: str, *, lease: float = 10.0, wait: float = 0.0) -> AsyncIterator[Held]:
    """Hold the lock `name` for the block; `lease` and `wait` are seconds.

    Both keys carry the hash tag {name}, so that they share a slot of a cluster.

    Raises:
        LockNotAcquired: it was not free within `wait`.
        LockLost: it could not be kept; the block was cancelled.
        RedisError, OSError, TimeoutError: Redis is away or hangs.
    """
    keys = [f"lock:{{{name}}}", f"lock:{{{name}}}:fence"]
    token, milliseconds = secrets.token_hex(16), round(lease * 1000)
    fence, since = await _acquire(redis, keys, token, lease, wait)
    task = asyncio.current_task()
    assert task is not None
    lost = asyncio.Event()

    async def keep() -> None:
        clock = asyncio.get_running_loop().time
        valid_until, pause = since + lease, max(since + lease / 3 - clock(), 0.0)
        while True:
            await asyncio.sleep(pause)
            pause = lease / 3
            asked = clock()
            try:
                # A Redis that hangs must not keep us believing: give up before the lease ends.
                async with asyncio.timeout(max(valid_until - asked, 0.001)):
                    kept = await redis.eval(RENEW, 1, keys[0], token, str(milliseconds))
            except (RedisError, OSError, TimeoutError):
                kept = None
            if kept == 1:
                valid_until = asked + lease
            elif kept == 0 or clock() + lease / 3 >= valid_until:
                lost.set()
                task.cancel()
                return

    renewal = asyncio.create_task(keep())
    try:
        yield Held(name, token, fence)
    except asyncio.CancelledError:
        if lost.is_set() and task.uncancel() == 0:
            raise LockLost(name) from None
        raise
    finally:
        renewal.cancel()
        with contextlib.suppress(RedisError, OSError, TimeoutError):
            async with asyncio.timeout(1):
                await redis.eval(RELEASE, 1, keys[0], token)


async def _acquire(redis: Redis, keys: list[str], token: str, lease: float, wait: float) -> tuple[int, float]:
    """Return the fence and when it was asked for: the lease may have begun then, however late the answer is."""
    clock = asyncio.get_running_loop().time
    deadline = clock() + wait
    while True:
        asked = clock()
        async with asyncio.timeout(lease):
            fence = int(await redis.eval(ACQUIRE, 2, *keys, token, str(round(lease * 1000))))
        if fence:
            return fence, asked
        if clock() >= deadline:
            raise LockNotAcquired(keys[0])
        await asyncio.sleep(min(random.uniform(0.01, 0.1), max(deadline - clock(), 0)))  # noqa: S311 - jitter
