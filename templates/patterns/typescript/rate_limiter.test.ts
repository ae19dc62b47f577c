import assert from "node:assert/strict";
import { test } from "node:test";
import { Redis } from "ioredis";
import { sleep, unique, withHangingRedis, withRedis } from "./proof.js";
import { RateLimiter } from "./rate_limiter.js";

test("100 concurrent callers get exactly the limit", () =>
  withRedis(async (redis) => {
    const key = unique();
    const limiters = [1, 2, 3, 4].map(() => new RateLimiter(redis, { limit: 10, periodMs: 60_000, onFailure: "closed", timeoutMs: 5000 }));
    const decisions = await Promise.all(Array.from({ length: 100 }, (_, n) => limiters[n % 4]!.check(key)));
    assert.equal(decisions.filter((decision) => decision.allowed).length, 10);
    const refused = decisions.find((decision) => !decision.allowed)!;
    assert.ok(refused.retryAfterMs > 0 && refused.retryAfterMs <= 6000);
    const ttl = await redis.pttl(`rate:${key}`);
    assert.ok(ttl > 0 && ttl <= 60_000);
  }));

test("permits come back one interval at a time", () =>
  withRedis(async (redis) => {
    const limiter = new RateLimiter(redis, { limit: 10, periodMs: 1000, burst: 1, onFailure: "closed", timeoutMs: 5000 });
    const key = unique();
    assert.ok((await limiter.check(key)).allowed);
    const refused = await limiter.check(key);
    assert.ok(!refused.allowed);
    await sleep(refused.retryAfterMs + 5);
    assert.ok((await limiter.check(key)).allowed);
  }));

for (const onFailure of ["open", "closed"] as const) {
  test(`a hanging server is decided by the policy: ${onFailure}`, () =>
    withHangingRedis(async (redis) => {
      const started = performance.now();
      const decision = await new RateLimiter(redis, { limit: 1, periodMs: 1000, onFailure, timeoutMs: 50 }).check("x");
      assert.ok(performance.now() - started < 2000);
      assert.deepEqual([decision.allowed, decision.degraded], [onFailure === "open", true]);
    }));
}

test("nonsense limits are refused", () => {
  const redis = new Redis({ lazyConnect: true });
  assert.throws(() => new RateLimiter(redis, { limit: 0, periodMs: 1, onFailure: "open" }), RangeError);
});
