/**
 * Cache-aside on Redis: single flight, negative caching, jittered expiry, invalidation that late readers cannot undo.
 *
 * Guarantees: while Redis answers, one loader per key runs at a time across all processes (the others wait for its
 *   value); a value read before an invalidation is never stored after it; absent things are cached briefly too.
 * Needs: ioredis >= 5, Redis >= 2.6 or Valkey. Values are JSON (a Date comes back as a string: cache a DTO); put a
 *   schema version and the tenant into the key (`v3:t42:user:7`). Call `invalidate` after the commit, never before it.
 * Fails: a Redis that is slow, hung or gone is bypassed after `timeoutMs` and the loader answers; a loader that dies frees
 *   its key after `leaseMs`; a loader's error reaches every waiter of this process and is not cached.
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
const GIVE_UP = "if redis.call('GET', KEYS[2]) == ARGV[1] then return redis.call('DEL', KEYS[2]) end return 0";

export interface CacheOptions {
  ttlMs?: number;
  negativeTtlMs?: number;
  leaseMs?: number;
  timeoutMs?: number;
  prefix?: string;
}

export class CacheAside {
  readonly #flights = new Map<string, Promise<unknown>>();
  readonly #options: Required<CacheOptions>;

  constructor(
    private readonly redis: Redis,
    options: CacheOptions = {},
  ) {
    this.#options = { ttlMs: 300_000, negativeTtlMs: 10_000, leaseMs: 5000, timeoutMs: 100, prefix: "cache", ...options };
  }

  /** Return the cached value of `key`, or what `load` returns; null means that the thing does not exist. */
  get<T>(key: string, load: () => Promise<T | null>): Promise<T | null> {
    const flying = this.#flights.get(key) as Promise<T | null> | undefined;
    if (flying) return flying;
    const flight = this.#fly(key, load).finally(() => this.#flights.delete(key));
    this.#flights.set(key, flight);
    return flight;
  }

  /** Forget `keys`, and the right of readers that are loading them now to store what they read. Rejects if it did not happen. */
  async invalidate(...keys: string[]): Promise<void> {
    const names = keys.flatMap((key) => this.#names(key));
    await this.#within(this.redis.unlink(...names), Math.max(this.#options.timeoutMs, 1000));
  }

  #names(key: string): [string, string] {
    const name = `${this.#options.prefix}:{${key}}`;
    return [name, `${name}:lease`];
  }

  async #fly<T>(key: string, load: () => Promise<T | null>): Promise<T | null> {
    const names = this.#names(key);
    const token = randomBytes(8).toString("hex");
    const patience = performance.now() + this.#options.leaseMs;
    for (;;) {
      const answer = (await this.#try(READ, names, token, this.#options.leaseMs)) as [string | null, string] | undefined;
      if (!answer) return load();
      if (answer[0] !== null) return JSON.parse(answer[0]) as T | null;
      if (answer[1] === "1") return this.#loadAndStore(names, token, load);
      if (performance.now() > patience) return load();
      await new Promise((resolve) => setTimeout(resolve, 10 + Math.random() * 40));
    }
  }

  async #loadAndStore<T>(names: [string, string], token: string, load: () => Promise<T | null>): Promise<T | null> {
    let value: T | null;
    try {
      value = await load();
    } catch (error) {
      await this.#try(GIVE_UP, names, token);
      throw error;
    }
    const { ttlMs, negativeTtlMs } = this.#options;
    const expiry = Math.max(Math.round((value === null ? negativeTtlMs : ttlMs) * (0.9 + Math.random() * 0.2)), 1);
    await this.#try(STORE, names, token, JSON.stringify(value), expiry);
    return value;
  }

  async #try(script: string, names: [string, string], ...args: (string | number)[]): Promise<unknown> {
    return this.#within(this.redis.eval(script, 2, ...names, ...args), this.#options.timeoutMs).catch(() => undefined);
  }

  #within<T>(promise: Promise<T>, ms: number): Promise<T> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error("Redis did not answer in time")), ms);
    });
    return Promise.race([promise, late]).finally(() => clearTimeout(timer));
  }
}
