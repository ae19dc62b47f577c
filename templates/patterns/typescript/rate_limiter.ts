/**
 * Rate limiter on Redis: exact sliding window or GCRA, one atomic script, one round trip, the server's clock.
 *
 * Guarantees, whatever the number of processes and however they race:
 *   "exact" (the default): at most `limit` permits for a key in any window of `periodMs`. A log of the tries that were
 *     allowed, at most `limit` entries of 30 to 120 bytes. For logins, and for quotas that are promised.
 *   "gcra": `limit` in each period on average, `burst` at once, and so up to `limit` + `burst` in some windows (19 for
 *     10 a minute). One number for a key. For high limits (thousands), where nobody counts.
 *   Refused tries cost nothing. No key is left without an expiry. What lies under a name and is none of ours, or of a
 *   clock that was ahead, is replaced or cut back: nobody is locked out for longer than `periodMs`.
 * Needs: ioredis >= 5, Redis >= 5 or Valkey, `noeviction`; the names under `prefix` belong to it. With another algorithm
 *   take another prefix, or old and new processes replace each other's counts while you deploy.
 * Fails: when Redis does not answer within `timeoutMs`, `onFailure` decides: "open" lets the call through, "closed"
 *   refuses it (logins, anything that costs money); `degraded` says so. Default 100 open, 1000 closed, where impatience
 *   under load would lock users out. Such a try may be counted later: ioredis keeps commands until it has connected
 *   again (`enableOfflineQueue: false` keeps none).
 *   A command that the client sends again because its answer was lost (ioredis does, node-redis does not) counts once
 *   when exact; GCRA counts it again, which refuses early and never lets more through. A failover may forget the last tries.
 * Prove: npm test   (REDIS_URL, default redis://127.0.0.1:6379/0)
 */
import { randomUUID } from "node:crypto";
import type { Redis } from "ioredis";

// Numbers go back to Redis through %.0f: Lua's tostring keeps 14 digits, too few for microseconds since 1970.
const CLOCK = `
local function text(number) return string.format('%.0f', number) end
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
`;
const EXACT = `${CLOCK}
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
`;
const GCRA = `${CLOCK}
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
`;

export interface RateLimiterOptions {
  /** Permits in any period; with "gcra" on average. */
  limit: number;
  periodMs: number;
  algorithm?: "exact" | "gcra";
  /** Permits that may come at once, with "gcra"; `limit` by default. */
  burst?: number;
  onFailure: "open" | "closed";
  prefix?: string;
  timeoutMs?: number;
}

/** Send `retryAfterMs`, in seconds and rounded up, as Retry-After with a 429. */
export interface Decision {
  allowed: boolean;
  retryAfterMs: number;
  remaining: number;
  degraded: boolean;
}

export class RateLimiter {
  readonly #script: string;
  readonly #numbers: readonly [number, number];

  constructor(
    private readonly redis: Redis,
    private readonly options: RateLimiterOptions,
  ) {
    const { limit, periodMs, algorithm = "exact", burst = limit } = options;
    if (!(limit >= 1 && burst >= 1 && periodMs > 0)) throw new RangeError("limit and burst must be at least 1 and the period positive");
    const exact = algorithm === "exact";
    if (exact && options.burst !== undefined) throw new RangeError("burst is for gcra: the exact window has none");
    const interval = (periodMs / limit) * 1000;
    this.#script = exact ? EXACT : GCRA;
    this.#numbers = exact ? [Math.round(periodMs * 1000), limit] : [interval, interval * burst];
  }

  /** Take `cost` permits for `key`, which names the principal and the action (`login:alice`, `ip:192.0.2.1`). */
  async check(key: string, cost = 1): Promise<Decision> {
    if (!(cost >= 1)) throw new RangeError("cost must be at least 1");
    const { onFailure, prefix = "rate", timeoutMs = onFailure === "open" ? 100 : 1000 } = this.options;
    let timer: NodeJS.Timeout | undefined;
    try {
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error("timeout")), timeoutMs);
      });
      const answer = this.redis.eval(this.#script, 1, `${prefix}:${key}`, ...this.#numbers, cost, randomUUID());
      const [allowed, wait, remaining] = (await Promise.race([answer, late])) as [number, string, number];
      return { allowed: allowed === 1, retryAfterMs: Number(wait) / 1000, remaining: Math.max(remaining, 0), degraded: false };
    } catch {
      const allowed = onFailure === "open";
      return { allowed, retryAfterMs: allowed ? 0 : 1000, remaining: 0, degraded: true };
    } finally {
      clearTimeout(timer);
    }
  }
}
