/**
 * Rate limiter: GCRA on Redis, one atomic script, one round trip.
 *
 * Guarantees: over any window of `periodMs` at most `limit` + `burst` permits for a key, whatever the number of
 *   processes and however they race. No key is left without an expiry; clients' clocks do not matter.
 * Needs: ioredis >= 5, Redis >= 5 or Valkey.
 * Fails: when Redis does not answer within `timeoutMs`, `onFailure` decides: "open" lets the call through, "closed"
 *   refuses it (logins, anything that costs money); `degraded` says so.
 * Fit: "n at once, n in each period on average" is limit = n; "never more than n in any period" is limit + burst = n.
 * Prove: npm test   (REDIS_URL, default redis://127.0.0.1:6379/0)
 */
import type { Redis } from "ioredis";

// Numbers go back to Redis through %.0f: Lua's tostring keeps 14 digits, too few for microseconds since 1970.
const SCRIPT = `
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
`;

export interface RateLimiterOptions {
  /** Permits in each period, on average. */
  limit: number;
  periodMs: number;
  /** Permits that may come at once; `limit` by default. */
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
  readonly #interval: number;
  readonly #tolerance: number;

  constructor(
    private readonly redis: Redis,
    private readonly options: RateLimiterOptions,
  ) {
    const { limit, periodMs, burst = limit } = options;
    if (!(limit >= 1 && burst >= 1 && periodMs > 0)) throw new RangeError("limit and burst must be at least 1 and the period positive");
    this.#interval = (periodMs / limit) * 1000;
    this.#tolerance = this.#interval * burst;
  }

  /** Take `cost` permits for `key`, which names the principal and the action (`login:alice`, `ip:192.0.2.1`). */
  async check(key: string, cost = 1): Promise<Decision> {
    const { onFailure, prefix = "rate", timeoutMs = 100 } = this.options;
    let timer: NodeJS.Timeout | undefined;
    try {
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error("timeout")), timeoutMs);
      });
      const answer = this.redis.eval(SCRIPT, 1, `${prefix}:${key}`, this.#interval, this.#tolerance, cost);
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
