import assert from "node:assert/strict";
import { test } from "node:test";
import { CacheAside } from "./cache_aside.js";
import { Signal, sleep, unique, withHangingRedis, withRedis } from "./proof.js";

class Source {
  loads = 0;
  readonly asked = new Signal();
  constructor(public value: unknown, private readonly delayMs = 50) {}
  load = async (): Promise<unknown> => {
    this.loads++;
    const value = this.value;
    this.asked.set();
    await sleep(this.delayMs);
    return value;
  };
}

test("100 concurrent readers of 5 processes load once", () =>
  withRedis(async (redis) => {
    const source = new Source({ name: "a" });
    const key = unique();
    const caches = Array.from({ length: 5 }, () => new CacheAside(redis, { timeoutMs: 5000 }));
    const values = await Promise.all(Array.from({ length: 100 }, (_, n) => caches[n % 5]!.get(key, source.load)));
    assert.deepEqual(values, Array(100).fill({ name: "a" }));
    assert.equal(source.loads, 1);
  }));

test("a value read before an invalidation is not stored after it", () =>
  withRedis(async (redis) => {
    const source = new Source("old", 200);
    const key = unique();
    const reader = new CacheAside(redis, { timeoutMs: 5000 }).get(key, source.load);
    await source.asked.wait;
    source.value = "new";
    await new CacheAside(redis, { timeoutMs: 5000 }).invalidate(key);
    assert.equal(await reader, "old");
    assert.equal(await new CacheAside(redis, { timeoutMs: 5000 }).get(key, source.load), "new");
  }));

test("a caller that comes after a change does not join a load from before it", () =>
  withRedis(async (redis) => {
    const source = new Source("old", 300);
    const key = unique();
    const cache = new CacheAside(redis, { timeoutMs: 5000 });
    const early = cache.get(key, source.load);
    await source.asked.wait;
    source.value = "new";
    await new CacheAside(redis, { timeoutMs: 5000 }).invalidate(key); // in another process
    assert.equal(await cache.get(key, source.load), "new");
    assert.equal(await early, "old");
    assert.equal(await cache.get(key, source.load), "new");
  }));

test("a load longer than the lease is still the only one", () =>
  withRedis(async (redis) => {
    const source = new Source(1, 1000);
    const key = unique();
    const caches = Array.from({ length: 4 }, () => new CacheAside(redis, { timeoutMs: 5000, leaseMs: 300 }));
    assert.deepEqual(await Promise.all(caches.map((cache) => cache.get(key, source.load))), [1, 1, 1, 1]);
    assert.equal(source.loads, 1);
  }));

test("a load that hangs fails and lets the next one try", () =>
  withRedis(async (redis) => {
    const key = unique();
    const cache = new CacheAside(redis, { timeoutMs: 5000, loadTimeoutMs: 200 });
    await assert.rejects(cache.get(key, new Source(1, 1000).load), /too long/);
    assert.equal(await cache.get(key, new Source(2, 0).load), 2);
  }));

test("callers do not share an object, and a Redis that is away is one load", () =>
  withHangingRedis(async (redis) => {
    const source = new Source({ tags: [] }, 300);
    const cache = new CacheAside(redis, { timeoutMs: 50 });
    const [one, two] = (await Promise.all([cache.get("x", source.load), cache.get("x", source.load)])) as { tags: string[] }[];
    one!.tags.push("mine");
    assert.deepEqual(two, { tags: [] });
    assert.equal(source.loads, 1);
  }));

test("absent things are cached for a short time and found once created", () =>
  withRedis(async (redis) => {
    const source = new Source(null, 0);
    const key = unique();
    const cache = new CacheAside(redis, { timeoutMs: 5000 });
    for (let n = 0; n < 3; n++) assert.equal(await cache.get(key, source.load), null);
    assert.equal(source.loads, 1);
    const ttl = await redis.pttl(`cache:{${key}}`);
    assert.ok(ttl > 0 && ttl <= 11_000);
    source.value = { id: 1 };
    await cache.invalidate(key);
    assert.deepEqual(await cache.get(key, source.load), { id: 1 });
  }));

test("a failing loader is not cached and frees the key at once", () =>
  withRedis(async (redis) => {
    const key = unique();
    const cache = new CacheAside(redis, { timeoutMs: 5000, leaseMs: 30_000 });
    await assert.rejects(cache.get(key, () => Promise.reject(new Error("boom"))), /boom/);
    const started = performance.now();
    assert.equal(await cache.get(key, new Source(1, 0).load), 1);
    assert.ok(performance.now() - started < 2000);
  }));

test("a hanging Redis costs its timeout only", () =>
  withHangingRedis(async (redis) => {
    const started = performance.now();
    assert.equal(await new CacheAside(redis, { timeoutMs: 100 }).get("x", new Source(1, 0).load), 1);
    assert.ok(performance.now() - started < 2000);
  }));
