"""Rate limiter on Redis: exact sliding window or GCRA, one atomic script, one round trip, the server's clock.

Guarantees, whatever the number of processes and however they race:
    "exact" (the default): at most `limit` permits for a key in any window of `period`. A log of the tries that were
        allowed, at most `limit` entries of 30 to 120 bytes. For logins, and for quotas that are promised.
    "gcra": `limit` in each period on average, `burst` at once, and so up to `limit` + `burst` in some windows (19 for
        10 a minute). One number for a key. For high limits (thousands), where nobody counts.
    Refused tries cost nothing. No key is left without an expiry. What lies under a name and is none of ours, or of a
    clock that was ahead, is replaced or cut back: nobody is locked out for longer than `period`.
Needs: redis-py >= 5 (`redis.asyncio`), Redis >= 5 or Valkey, `noeviction`; the names under `prefix` belong to it. With
    another algorithm take another prefix, or old and new processes replace each other's counts while you deploy.
Fails: when Redis does not answer within `timeout`, the call is decided by `on_failure`: "open" lets it through
    (availability first), "closed" refuses it (logins, anything that costs money). `Decision.degraded` says so. Default
    0.1 s open, 1 s closed, where impatience under load would lock users out. Such a try may have been counted.
    A command that the client sends again because its answer was lost (redis-py from 6 on does) counts once when
    exact; GCRA counts it again, which refuses early and never lets more through. A failover may forget the last tries.
Fit: a project's `allow(account) -> bool` is `(await limiter.check(f"login:{account}")).allowed`.
Prove: pytest test_rate_limiter.py   (REDIS_URL, default redis://127.0.0.1:6379/0)

Generic cell rate algorithm: ITU-T I.371; one stored number per key, the theoretical arrival time (TAT).
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from redis.exceptions import RedisError

if TYPE_CHECKING:
    from redis.asyncio import Redis

# Numbers go back to Redis through %.0f: Lua's tostring keeps 14 digits, too few for microseconds since 1970.
CLOCK = """
local function text(number) return string.format('%.0f', number) end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
"""
EXACT = (
    CLOCK
    + """
local key, period, limit, cost, try = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), ARGV[4]
local expiry = math.ceil(period / 1000) + 1000
if redis.call('TYPE', key)['ok'] ~= 'zset' then redis.call('DEL', key) end
redis.call('ZREMRANGEBYSCORE', key, '-inf', text(now - period))
-- Tries from the future are from before the clock was set back: they count from now.
for _, ahead in ipairs(redis.call('ZRANGEBYSCORE', key, '(' .. text(now), '+inf', 'LIMIT', 0, limit)) do
  redis.call('ZADD', key, text(now), ahead)
end
redis.call('ZREMRANGEBYSCORE', key, '(' .. text(now), '+inf')
local count = redis.call('ZCARD', key)
if redis.call('ZSCORE', key, try .. ':1') then return {1, '0', limit - count} end
if count + cost > limit then
  local last = redis.call('ZRANGE', key, count + cost - limit - 1, count + cost - limit - 1, 'WITHSCORES')[2]
  if redis.call('PTTL', key) == -1 then redis.call('PEXPIRE', key, expiry) end
  return {0, text((last or now) + period - now), limit - count}
end
for n = 1, cost do redis.call('ZADD', key, text(now), try .. ':' .. n) end
redis.call('PEXPIRE', key, expiry)
return {1, '0', limit - count - cost}
"""
)
GCRA = (
    CLOCK
    + """
local key, interval, tolerance, cost = KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local stored = redis.call('TYPE', key)['ok'] == 'string' and tonumber(redis.call('GET', key)) or 0
local tat = stored > now and stored or now
-- More than a full burst ahead: the clock was set back, or it is no number of ours.
if tat > now + tolerance then
  tat = now + tolerance
  redis.call('SET', key, text(tat), 'PX', math.ceil(tolerance / 1000))
end
local next_tat = tat + interval * cost
local wait = next_tat - tolerance - now
if wait > 0 then return {0, text(wait), math.floor((tolerance - (tat - now)) / interval)} end
redis.call('SET', key, text(next_tat), 'PX', math.ceil((next_tat - now) / 1000))
return {1, '0', math.floor((tolerance - (next_tat - now)) / interval)}
"""
)


@dataclass(frozen=True, slots=True)
class Decision:
    """`retry_after` is in seconds and 0 when allowed; send it, rounded up, as `Retry-After` with a 429."""

    allowed: bool
    retry_after: float
    remaining: int
    degraded: bool = False


class RateLimiter:
    """`limit` permits in any `period` of seconds; with "gcra" on average, of which `burst` (default: all) at once."""

    def __init__(
        self,
        redis: Redis,
        *,
        limit: int,
        period: float,
        algorithm: Literal["exact", "gcra"] = "exact",
        burst: int | None = None,
        on_failure: Literal["open", "closed"],
        prefix: str = "rate",
        timeout: float | None = None,
    ) -> None:
        if limit < 1 or period <= 0 or (burst is not None and burst < 1):
            raise ValueError("limit and burst must be at least 1 and period positive")
        if algorithm == "exact" and burst is not None:
            raise ValueError("burst is for gcra: the exact window has none")
        microseconds, interval = round(period * 1_000_000), period * 1_000_000 / limit
        self._script: Any = redis.register_script(EXACT if algorithm == "exact" else GCRA)
        self._numbers = (microseconds, limit) if algorithm == "exact" else (interval, interval * (burst or limit))
        self._on_failure = on_failure
        self._prefix = prefix
        self._timeout = timeout if timeout is not None else 0.1 if on_failure == "open" else 1.0

    async def check(self, key: str, cost: int = 1) -> Decision:
        """Take `cost` permits for `key`, which names the principal and the action (`login:alice`, `ip:192.0.2.1`)."""
        if cost < 1:
            raise ValueError("cost must be at least 1")
        # Who is limited chooses its name, lone surrogates too: that is another name and no crash.
        name = f"{self._prefix}:{key}".encode("utf-8", "surrogatepass")
        try:
            async with asyncio.timeout(self._timeout):
                arguments = [*self._numbers, cost, secrets.token_hex(8)]
                allowed, wait, remaining = await self._script(keys=[name], args=arguments)
        except (RedisError, OSError, TimeoutError):
            return Decision(self._on_failure == "open", 0.0 if self._on_failure == "open" else 1.0, 0, degraded=True)
        return Decision(allowed == 1, int(wait) / 1_000_000, max(int(remaining), 0))
