"""Rate limits: in Redis where it is configured, else in this process.

When Redis cannot be reached the process counts for itself: a limit per process is better than none, and better than
an outage. It asks Redis again after a second, so that not every call waits for a server that hangs.

Where calls are counted in one place, a low limit (logins) holds exactly in any minute. A high one lets the rate
through on average: up to twice as many in some minutes, for one number a key.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

import structlog
from redis.asyncio import Redis

from app.patterns.rate_limiter import RateLimiter

MINUTE = 60.0
MAX_KEYS = 100_000
EXACT_UP_TO = 1_000
EXACT_ALONE_UP_TO = 100
TIMEOUT_SECONDS = 1.0
RETRY_SECONDS = 1.0
log = structlog.get_logger()
State = TypeVar("State")


def _bounded(known: dict[str, State], counts: Callable[[State], bool]) -> dict[str, State]:
    """Return room for one more key: those that no longer count go, and if that is not enough, all."""
    if len(known) < MAX_KEYS:
        return known
    kept = {key: state for key, state in known.items() if counts(state)}
    return kept if len(kept) < MAX_KEYS else {}


class Limiter:
    """Counts calls by key."""

    def __init__(self, redis_url: str | None) -> None:
        self._due: dict[str, float] = {}
        self._calls: dict[str, deque[float]] = {}
        self._shared: dict[int, RateLimiter] = {}
        self._away_until = 0.0
        self._redis = Redis.from_url(redis_url, socket_connect_timeout=TIMEOUT_SECONDS) if redis_url else None

    async def wait(self, key: str, per_minute: int) -> float:
        """Count one call; return 0 when it is allowed, else the seconds until the next one is."""
        if self._redis is None or time.monotonic() < self._away_until:
            return self._wait(key, per_minute, time.monotonic())
        if per_minute not in self._shared:
            exact = per_minute <= EXACT_UP_TO
            self._shared[per_minute] = RateLimiter(
                self._redis,
                limit=per_minute,
                period=MINUTE,
                algorithm="exact" if exact else "gcra",
                on_failure="open",
                prefix="ratelimit:exact" if exact else "ratelimit",
                timeout=TIMEOUT_SECONDS,
            )
        decision = await self._shared[per_minute].check(key)
        if decision.degraded:
            self._away_until = time.monotonic() + RETRY_SECONDS
            log.warning("rate limits are counted per process: Redis does not answer")
            return self._wait(key, per_minute, time.monotonic())
        return decision.retry_after

    def _wait(self, key: str, per_minute: int, now: float) -> float:
        if per_minute <= EXACT_ALONE_UP_TO:
            return self._wait_exactly(key, per_minute, now)
        return self._wait_on_average(key, per_minute, now)

    def _wait_exactly(self, key: str, per_minute: int, now: float) -> float:
        calls = self._calls.get(key, deque())
        while calls and calls[0] <= now - MINUTE:
            calls.popleft()
        if len(calls) >= per_minute:
            return calls[0] + MINUTE - now
        self._calls = _bounded(self._calls, lambda times: times[-1] > now - MINUTE)
        calls.append(now)
        self._calls[key] = calls
        return 0.0

    def _wait_on_average(self, key: str, per_minute: int, now: float) -> float:
        interval = MINUTE / per_minute
        due = max(self._due.get(key, now), now)
        if due - now > MINUTE - interval:
            return due - now - (MINUTE - interval)
        self._due = _bounded(self._due, lambda time_due: time_due > now)
        self._due[key] = due + interval
        return 0.0

    async def close(self) -> None:
        """Close the connection to Redis."""
        if self._redis is not None:
            await self._redis.aclose()
