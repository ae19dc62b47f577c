/**
 * Distributed lock on Redis: owner token, renewal, fencing number.
 *
 * Guarantees: at most one holder while Redis keeps its data and the lease has not run out; only the owner can renew or
 *   release; every acquisition gets a larger `fence`.
 * Does not guarantee: exclusion through a Redis failover, or while a holder is paused longer than its lease. So the
 *   resource must refuse an older fence: UPDATE ... SET ..., fence = $1 WHERE id = $2 AND fence < $1.
 *   Where the thing guarded is a PostgreSQL database, use advisory_lock.ts or a constraint instead.
 * Needs: ioredis >= 5, Redis >= 2.6 or Valkey.
 * Fails: `LockNotAcquired` after `waitMs`; when the lease cannot be kept `held.signal` aborts (pass it to what you
 *   call) and `withLock` rejects with `LockLost` as soon as the work settles or ignores the signal. A Redis that is away or
 *   hangs rejects the acquisition, after `leaseMs` at the latest.
 * Prove: npm test   (REDIS_URL, default redis://127.0.0.1:6379/0)
 */
import { randomBytes } from "node:crypto";
import type { Redis } from "ioredis";

const ACQUIRE = `
if redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return redis.call('INCR', KEYS[2]) end
return 0
`;
const RENEW = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[1], ARGV[2]) end return 0";
const RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

export class LockNotAcquired extends Error {}
export class LockLost extends Error {}

/** Pass `fence` to every write that the lock guards and `signal` to every call. */
export interface Held {
  fence: number;
  signal: AbortSignal;
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function within<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error("timeout")), Math.max(ms, 1));
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

/** Hold the lock `name` while `work` runs. Both keys carry the hash tag {name}: they share a slot of a cluster. */
export async function withLock<T>(
  redis: Redis,
  name: string,
  work: (held: Held) => Promise<T>,
  { leaseMs = 10_000, waitMs = 0 }: { leaseMs?: number; waitMs?: number } = {},
): Promise<T> {
  const key = `lock:{${name}}`;
  const token = randomBytes(16).toString("hex");
  const { fence, since } = await acquire(redis, key, token, leaseMs, waitMs);
  const abort = new AbortController();
  let done = false;

  const keep = async (): Promise<never> => {
    let validUntil = since + leaseMs;
    for (let pause = since + leaseMs / 3 - performance.now(); ; pause = leaseMs / 3) {
      await sleep(pause);
      if (done) return new Promise<never>(() => undefined);
      const asked = performance.now();
      // A Redis that hangs must not keep us believing: give up before the lease ends.
      const kept = await within(redis.eval(RENEW, 1, key, token, leaseMs), validUntil - asked).catch(() => undefined);
      if (kept === 1) validUntil = asked + leaseMs;
      else if (kept === 0 || performance.now() + leaseMs / 3 >= validUntil) {
        const lost = new LockLost(name);
        abort.abort(lost);
        throw lost;
      }
    }
  };

  try {
    return await Promise.race([work({ fence, signal: abort.signal }), keep()]);
  } finally {
    done = true;
    await within(redis.eval(RELEASE, 1, key, token), 1000).catch(() => undefined);
  }
}

/** The fence, and when it was asked for: the lease may have begun then, however late the answer is. */
async function acquire(redis: Redis, key: string, token: string, leaseMs: number, waitMs: number): Promise<{ fence: number; since: number }> {
  const deadline = performance.now() + waitMs;
  for (;;) {
    const since = performance.now();
    const fence = (await within(redis.eval(ACQUIRE, 2, key, `${key}:fence`, token, leaseMs), leaseMs)) as number;
    if (fence) return { fence, since };
    const left = deadline - performance.now();
    if (left <= 0) throw new LockNotAcquired(key);
    await sleep(Math.min(10 + Math.random() * 90, left));
  }
}
