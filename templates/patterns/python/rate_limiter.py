"""Rate limiter: GCRA on Redis, one atomic script, one round trip.

Guarantees: over any window of `period` at most `limit` + `burst` permits for a key, whatever the number of
    processes and however they race. No key is ever left without an expiry, and clients' clocks do not matter
    (time is the server's).
Needs: redis-py >= 5 (`redis.asyncio`), Redis >= 5 or Valkey.
Fails: when Redis does not answer within `timeout`, the call is decided by `on_failure`: "open" lets it through
    (availability first), "closed" refuses it (logins, anything that costs money). `Decision.degraded` says so.
Fit: a project's `allow(account) -> bool` is `(await limiter.check(f"login:{account}")).allowed`. "n at once, n in each
    period on average" is limit=n; "never more than n in any period" is limit + burst = n.
Prove: pytest test_rate_limiter.py   (REDIS_URL, default redis://127.0.0.1:6379/0)

Generic cell rate algorithm: ITU-T I.371; one stored number per key, the theoretical arrival time (TAT).
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from redis.asyncio import Redis

# Numbers go back to Redis through %.0f: Lua's tostring keeps 14 digits, too few for microseconds since 1970.
SCRIPT = """
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local interval, tolerance, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or now), now)
local next_tat = tat + interval * cost
local wait = next_tat - tolerance - now
if wait > 0 then
  return {0, string.format('%.0f', wait), math.floor((tolerance - (tat - now)) / interval)}
end
redis.call('SET', KEYS[1], string.format('%.0f', next_tat), 'PX', math.ceil((next_tat - now) / 1000))
return {1, '0', math.floor((tolerance - (next_tat - now)) / interval)}
"""


@dataclass(frozen=True, slots=True)
class Decision:
    """`retry_after` is in seconds and 0 when allowed; send it, rounded up, as `Retry-After` with a 429."""

    allowed: bool
    retry_after: float
    remaining: int
    degraded: bool = False


class RateLimiter:
    """`limit` permits per `period` seconds on average, of which `burst` (default: all) may come at once."""

    def __init__(
        self,
        redis: Redis,
        *,
        limit: int,
        period: float,
        burst: int | None = None,
        on_failure: Literal["open", "closed"],
        prefix: str = "rate",
        timeout: float = 0.1,
    ) -> None:
        if limit < 1 or period <= 0 or (burst is not None and burst < 1):
            raise ValueError("limit and burst must be at least 1 and period positive")
        self._script: Any = redis.register_script(SCRIPT)
        self._interval = period / limit * 1_000_000
        self._tolerance = self._interval * (limit if burst is None else burst)
        self._on_failure = on_failure
        self._prefix = prefix
        self._timeout = timeout

    async def check(self, key: str, cost: int = 1) -> Decision:
        """Take `cost` permits for `key`, which names the principal and the action (`login:alice`, `ip:192.0.2.1`)."""
        # Who is limited chooses its name, lone surrogates too: that is another name and no crash.
        name = f"{self._prefix}:{key}".encode("utf-8", "surrogatepass")
        try:
            async with asyncio.timeout(self._timeout):
                allowed, wait, remaining = await self._script(keys=[name], args=[self._interval, self._tolerance, cost])
        except (RedisError, OSError, TimeoutError):
            return Decision(self._on_failure == "open", 0.0 if self._on_failure == "open" else 1.0, 0, degraded=True)
        return Decision(allowed == 1, int(wait) / 1_000_000, max(int(remaining), 0))
