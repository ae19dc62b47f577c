"""Rate limits by the generic cell rate algorithm: in Redis where it is configured, else in this process.

When Redis cannot be reached the process counts for itself: a limit per process is better than none, and better than
an outage.
"""

import time
from typing import Any

import redis.asyncio
import structlog
from redis.exceptions import RedisError

MINUTE = 60.0
MAX_KEYS = 100_000
_SCRIPT = """
local now = redis.call('TIME')
now = now[1] + now[2] / 1000000
local interval, tolerance = tonumber(ARGV[1]), tonumber(ARGV[2])
local due = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
if due - now > tolerance then return tostring(due - now - tolerance) end
redis.call('SET', KEYS[1], string.format('%.6f', due + interval), 'PX', math.ceil((due + interval - now) * 1000) + 1)
return '0'
"""
log = structlog.get_logger()


class Limiter:
    """Counts calls by key."""

    def __init__(self, redis_url: str | None) -> None:
        self._due: dict[str, float] = {}
        self._redis: Any = None
        if redis_url:
            self._redis = redis.asyncio.from_url(redis_url, socket_timeout=0.2, socket_connect_timeout=0.2)
            self._script = self._redis.register_script(_SCRIPT)

    async def wait(self, key: str, per_minute: int) -> float:
        """Count one call; return 0 when it is allowed, else the seconds until the next one is."""
        if self._redis is None:
            return self._wait(key, per_minute, time.monotonic())
        interval = MINUTE / per_minute
        try:
            return float(await self._script(keys=[f"ratelimit:{key}"], args=[interval, MINUTE - interval]))
        except RedisError as error:
            log.warning("rate limits are counted per process", reason=str(error))
            return self._wait(key, per_minute, time.monotonic())

    def _wait(self, key: str, per_minute: int, now: float) -> float:
        interval = MINUTE / per_minute
        due = max(self._due.get(key, now), now)
        if due - now > MINUTE - interval:
            return due - now - (MINUTE - interval)
        if len(self._due) >= MAX_KEYS:
            self._due = {known: time_due for known, time_due in self._due.items() if time_due > now}
            if len(self._due) >= MAX_KEYS:
                self._due.clear()
        self._due[key] = due + interval
        return 0.0

    async def close(self) -> None:
        """Close the connection to Redis."""
        if self._redis is not None:
            await self._redis.aclose()
