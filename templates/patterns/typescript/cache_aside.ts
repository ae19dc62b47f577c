/**
 * Cache-aside on Redis: single flight, negative caching, jittered expiry, invalidation that late readers cannot undo.
 *
 * Guarantees: while Redis answers, one loader per key runs at a time across all processes, however long it takes (the others
 *   wait for its value); a value read before an invalidation is never stored after it, and never given to a caller that came
 *   after it; each caller gets its own copy; absent things are cached briefly too.
 * Needs: ioredis >= 5, Redis >= 2.6 or Valkey. Values are JSON (a Date comes back as a string: cache a DTO); put a
 *   schema version and the tenant into the key (`v3:t42:user:7`). Call `invalidate` after the commit, never before it, at each
 *   change and creation; `load` reads committed data from the primary.
 * Fails: a Redis that is slow, hung or gone is bypassed after `timeoutMs`, and one load per key and process runs; a loader
 *   that dies frees its key after `leaseMs`, one that hangs fails after `loadTimeoutMs`; an error of a loader reaches its caller,
 *   is not cached, and the next caller loads.
 * Prove: npm test   (REDIS_URL, default redis://127.0.0.1:6379/0)
 */
import { randomBytes } from "node:crypto";
import type { Redis } from "ioredis";

const READ = `
local value = redis.call('GET', KEYS[1])
if value then return {value, '0'} end
if redis.call('SET', KEYS[2], ARGV[1], 'NX', 'PX', ARGV[2]) then return {false, '1'} end
return {false, '0'}
`;
const STORE = `
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return redis.call('DEL', KEYS[2])
`;
const RENEW = "if redis.call('GET', KEYS[2]) == ARGV[1] then return redis.call('PEXPIRE', KEYS[2], ARGV[2]) end return 0";
const GIVE_UP = "if redis.call('GET', KEYS[2]) == ARGV[1] then return redis.call('DEL', KEYS[2]) end return 0";

export interface CacheOptions {
  ttlMs?: number;
  negativeTtlMs?: number;
  leaseMs?: number;
  loadTimeoutMs?: number;
  timeoutMs?: number;
  prefix?: string;
}

export class CacheAside {
  readonly #bypasses = new Map<string, Promise<unknown>>();
  readonly #options: Required<CacheOptions>;

  constructor(
    private readonly redis: Redis,
    options: CacheOptions = {},
  ) {
    const defaults = { ttlMs: 300_000, negativeTtlMs: 10_000, leaseMs: 3000, loadTimeoutMs: 30_000, timeoutMs: 100, prefix: "cache" };
    this.#options = { ...defaults, ...options };
  }

  /** Return the cached value of `key`, or what `load` returns; null means that the thing does not exist. */
  async get<T>(key: string, load: () => Promise<T | null>): Promise<T | null> {
    const names = this.#names(key);
    const token = randomBytes(8).toString("hex");
    const { leaseMs, loadTimeoutMs } = this.#options;
    const patience = performance.now() + loadTimeoutMs + leaseMs;
    // Each caller asks Redis itself: sharing an answer would hand one from before an invalidation to a caller that came after it.
    for (;;) {
      const answer = (await this.#try(READ, names, token, leaseMs)) as [string | null, string] | undefined;
      if (!answer) return this.#bypass(key, load);
      if (answer[0] !== null) return JSON.parse(answer[0]) as T | null;
      if (answer[1] === "1") return this.#loadAndStore(names, token, load);
      if (performance.now() > patience) throw new Error(`no value for ${key}: its loaders take more than ${loadTimeoutMs} ms`);
      await new Promise((resolve) => setTimeout(resolve, 10 + Math.random() * 40));
    }
  }

  /** Forget `keys`, and the right of readers that are loading them now to store what they read. Rejects if it did not happen. */
  async invalidate(...keys: string[]): Promise<void> {
    const names = keys.flatMap((key) => this.#names(key));
    await within(this.redis.unlink(...names), Math.max(this.#options.timeoutMs, 1000), LATE);
  }

  #names(key: string): [string, string] {
    const name = `${this.#options.prefix}:{${key}}`;
    return [name, `${name}:lease`];
  }

  async #bypass<T>(key: string, load: () => Promise<T | null>): Promise<T | null> {
    let running = this.#bypasses.get(key) as Promise<T | null> | undefined;
    if (!running) {
      running = this.#load(load).finally(() => this.#bypasses.delete(key));
      this.#bypasses.set(key, running);
    }
    return copy(await running);
  }

  #load<T>(load: () => Promise<T | null>): Promise<T | null> {
    return within(load(), this.#options.loadTimeoutMs, "the loader took too long");
  }

  async #loadAndStore<T>(names: [string, string], token: string, load: () => Promise<T | null>): Promise<T | null> {
    const { ttlMs, negativeTtlMs, leaseMs } = this.#options;
    const renewal = setInterval(() => void this.#try(RENEW, names, token, leaseMs), leaseMs / 3);
    let value: T | null;
    try {
      value = await this.#load(load);
    } catch (error) {
      await this.#try(GIVE_UP, names, token);
      throw error;
    } finally {
      clearInterval(renewal);
    }
    const expiry = Math.max(Math.round((value === null ? negativeTtlMs : ttlMs) * (0.9 + Math.random() * 0.2)), 1);
    await this.#try(STORE, names, token, JSON.stringify(value), expiry);
    return copy(value);
  }

  async #try(script: string, names: [string, string], ...args: (string | number)[]): Promise<unknown> {
    return within(this.redis.eval(script, 2, ...names, ...args), this.#options.timeoutMs, LATE).catch(() => undefined);
  }
}

const LATE = "Redis did not answer in time";
const copy = <T>(value: T): T => JSON.parse(JSON.stringify(value)) as T;

function within<T>(promise: Promise<T>, ms: number, message: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(message)), ms);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}
