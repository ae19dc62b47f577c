import assert from "node:assert/strict";
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { connect, createServer, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { Redis } from "ioredis";
import { REDIS_URL, sleep, unique, withHangingRedis, withRedis } from "./proof.js";
import { RateLimiter, type RateLimiterOptions } from "./rate_limiter.js";

const ALGORITHMS = ["exact", "gcra"] as const;
const patient = { onFailure: "closed", timeoutMs: 5000 } as const;
const allowedOf = async (limiter: RateLimiter, key: string, tries: number): Promise<number> => {
  let allowed = 0;
  for (let n = 0; n < tries; n++) allowed += Number((await limiter.check(key)).allowed);
  return allowed;
};

for (const [algorithm, longestWait, longestLife] of [["exact", 60_000, 61_000], ["gcra", 6000, 60_000]] as const) test(`100 concurrent callers get exactly the limit: ${algorithm}`, () =>
  withRedis(async (redis) => {
    const key = unique();
    const limiters = [1, 2, 3, 4].map(() => new RateLimiter(redis, { limit: 10, periodMs: 60_000, algorithm, ...patient }));
    const decisions = await Promise.all(Array.from({ length: 100 }, (_, n) => limiters[n % 4]!.check(key)));
    assert.equal(decisions.filter((decision) => decision.allowed).length, 10);
    const refused = decisions.find((decision) => !decision.allowed)!;
    assert.ok(refused.retryAfterMs > 0 && refused.retryAfterMs <= longestWait);
    const ttl = await redis.pttl(`rate:${key}`);
    assert.ok(ttl > 0 && ttl <= longestLife);
  }));

test("permits come back one interval at a time", () =>
  withRedis(async (redis) => {
    const limiter = new RateLimiter(redis, { limit: 10, periodMs: 1000, algorithm: "gcra", burst: 1, onFailure: "closed", timeoutMs: 5000 });
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
  assert.throws(() => new RateLimiter(redis, { limit: 1, periodMs: 1, burst: 1, onFailure: "open" }), /burst is for gcra/);
  return assert.rejects(new RateLimiter(redis, { limit: 1, periodMs: 1, onFailure: "open" }).check("x", -1), /cost/);
});

const CALLERS = `
import { Redis } from "ioredis";
import { RateLimiter } from "./rate_limiter.js";
const [url, key, limit, periodMs, ms] = process.argv.slice(2);
const redis = new Redis(url);
const limiter = new RateLimiter(redis, { limit: Number(limit), periodMs: Number(periodMs), onFailure: "closed", timeoutMs: 5000 });
const end = Date.now() + Number(ms);
await Promise.all(Array.from({ length: 30 }, async () => {
  while (Date.now() < end) {
    const start = Date.now();
    const decision = await limiter.check(key);
    if (decision.degraded) throw new Error("degraded");
    if (decision.allowed) console.log(start, Date.now());
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}));
redis.disconnect();
`;

test("no window holds more than the limit, over four processes with 120 callers", async () => {
  const [key, limit, periodMs] = [unique(), 10, 1000];
  const outputs = await Promise.all(Array.from({ length: 4 }, async () => {
    const program = spawn(process.execPath, ["--input-type=module", "-", REDIS_URL, key, String(limit), String(periodMs), "4000"], {
      cwd: import.meta.dirname, stdio: ["pipe", "pipe", "inherit"],
    });
    let output = "";
    program.stdout.on("data", (data: Buffer) => (output += data.toString()));
    program.stdin.end(CALLERS);
    const [code] = (await once(program, "close")) as [number];
    assert.equal(code, 0);
    return output;
  }));
  const spans = outputs.flatMap((output) => output.split("\n").filter(Boolean).map((line) => line.split(" ").map(Number)));
  const [starts, ends] = [0, 1].map((side) => spans.map((span) => span[side]!).sort((a, b) => a - b)) as [number[], number[]];
  // The server decided between start and end; so from the first to the one too many, at most this long went by (in whole ms).
  for (let n = 0; n + limit < spans.length; n++) assert.ok(ends[n + limit]! - starts[n]! >= periodMs - 1);
  assert.ok(spans.length >= 3 * limit, String(spans.length));
});

test("the exact window is whole where GCRA lets twice as many through", () =>
  withRedis(async (redis) => {
    const hammer = async (algorithm: "exact" | "gcra"): Promise<number> => {
      const limiter = new RateLimiter(redis, { limit: 10, periodMs: 2000, algorithm, ...patient });
      const [key, end] = [unique(), performance.now() + 1900];
      let allowed = 0;
      for (; performance.now() < end; await sleep(10)) allowed += await allowedOf(limiter, key, 1);
      return allowed;
    };
    const [exact, gcra] = await Promise.all([hammer("exact"), hammer("gcra")]);
    assert.equal(exact, 10);
    assert.ok(gcra >= 15 && gcra <= 20, String(gcra));
  }));

test("exact permits come back when the oldest leaves the window, and memory is bounded", () =>
  withRedis(async (redis) => {
    const limiter = new RateLimiter(redis, { limit: 3, periodMs: 1000, ...patient });
    const key = unique();
    assert.equal(await allowedOf(limiter, key, 200), 3);
    assert.equal(await redis.zcard(`rate:${key}`), 3);
    const forTwo = await limiter.check(key, 2);
    assert.ok(!forTwo.allowed && forTwo.retryAfterMs > 0 && forTwo.retryAfterMs <= 1000);
    assert.equal((await limiter.check(key, 4)).retryAfterMs, 1000);
    await sleep(forTwo.retryAfterMs + 5);
    assert.ok((await limiter.check(key, 2)).allowed);
    await sleep(2200);
    assert.equal(await redis.exists(`rate:${key}`), 0);
  }));

for (const [algorithm, counted] of [["exact", [1, 2, 3]], ["gcra", [2, 4, 6]]] as const)
  test(`a command sent again after a lost answer: ${algorithm}`, async () => {
    const { hostname, port, pathname } = new URL(REDIS_URL);
    let scripts = 0;
    const proxy = createServer((socket: Socket) => {
      const up = connect(Number(port || 6379), hostname);
      let script = false;
      for (const end of [socket, up]) end.on("error", () => undefined).on("close", () => (socket.destroy(), up.destroy()));
      socket.on("data", (data) => {
        script = data.includes("eval");
        scripts += Number(script);
        up.write(data);
      });
      // The server has done each second script, and the client is not told.
      up.on("data", (data) => (script && scripts % 2 ? socket.destroy() : socket.write(data)));
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const redis = new Redis((proxy.address() as AddressInfo).port, "127.0.0.1", { db: Number(pathname.slice(1) || 0), enableReadyCheck: false });
    redis.on("error", () => undefined);
    try {
      const limiter = new RateLimiter(redis, { limit: 10, periodMs: 60_000, algorithm, ...patient });
      const key = unique();
      for (const count of counted) {
        const decision = await limiter.check(key);
        assert.deepEqual([decision.allowed, decision.degraded, 10 - decision.remaining], [true, false, count]);
      }
      assert.ok(scripts >= 6);
    } finally {
      redis.disconnect();
      proxy.close();
    }
  });

const OLD_KEYS: Record<string, (redis: Redis, key: string) => Promise<unknown>> = {
  "a classic counter that never expires": (redis, key) => redis.set(key, 999),
  words: (redis, key) => redis.set(key, "words"),
  nan: (redis, key) => redis.set(key, "nan"),
  inf: (redis, key) => redis.set(key, "inf"),
  "a counter of microseconds": (redis, key) => redis.set(key, "100000000000000000"),
  "a hash": (redis, key) => redis.hset(key, "count", "999"),
  "a list": (redis, key) => redis.rpush(key, ...Array.from({ length: 99 }, String)),
  "a log in milliseconds": (redis, key) => redis.zadd(key, ...Array.from({ length: 99 }, (_, n) => [Date.now() + n, String(n)]).flat()),
  "a log in nanoseconds": (redis, key) => redis.zadd(key, ...Array.from({ length: 99 }, (_, n) => [Date.now() * 1e6 + n, String(n)]).flat()),
};

for (const algorithm of ALGORITHMS) {
  const quick: RateLimiterOptions = { limit: 5, periodMs: 500, algorithm, ...patient };

  for (const [what, leave] of Object.entries(OLD_KEYS))
    test(`what an older release left locks nobody out: ${what}, ${algorithm}`, () =>
      withRedis(async (redis) => {
        const key = unique();
        await leave(redis, `rate:${key}`);
        const limiter = new RateLimiter(redis, quick);
        assert.equal((await limiter.check(key)).degraded, false);
        const ttl = await redis.pttl(`rate:${key}`);
        assert.ok(ttl > 0 && ttl <= 1500, String(ttl));
        await sleep(510);
        assert.equal(await allowedOf(limiter, key, 6), 5);
      }));

  test(`a clock set back locks out for a period at most, and lets nothing extra through: ${algorithm}`, () =>
    withRedis(async (redis) => {
      const limiter = new RateLimiter(redis, quick);
      const key = unique();
      assert.equal(await allowedOf(limiter, key, 6), 5);
      const [hour, name] = [3_600_000_000, `rate:${key}`] as const; // set back by an hour, what is stored lies an hour ahead
      if (algorithm === "gcra") await redis.incrby(name, hour);
      else for (const member of await redis.zrange(name, 0, "-1")) await redis.zincrby(name, hour, member);
      await redis.persist(name);
      const refused = await limiter.check(key);
      assert.ok(!refused.allowed && refused.retryAfterMs <= 500);
      await sleep(510);
      assert.equal(await allowedOf(limiter, key, 6), 5);
      assert.ok((await redis.pttl(name)) > 0);
    }));

  test(`a server that hangs or is killed and comes back: ${algorithm}`, async (context) => {
    try {
      execFileSync("redis-server", ["--version"]);
    } catch {
      return context.skip("redis-server is not installed");
    }
    const port = await freePort();
    const start = (): ChildProcess => spawn("redis-server", ["--port", String(port), "--save", "", "--appendonly", "no", "--dir", tmpdir()], { stdio: "ignore" });
    let server = start();
    const redis = new Redis(port, "127.0.0.1", { retryStrategy: () => 50 });
    redis.on("error", () => undefined);
    try {
      const limiter = new RateLimiter(redis, { limit: 100, periodMs: 60_000, algorithm, onFailure: "closed", timeoutMs: 300 });
      const crowd = async (): Promise<[number, number]> => {
        const decisions = await Promise.all(Array.from({ length: 20 }, () => limiter.check("x")));
        return [decisions.filter(({ allowed }) => allowed).length, decisions.filter(({ degraded }) => degraded).length];
      };
      const comesBack = async (): Promise<void> => {
        for (let n = 0; n < 50; n++) if (!(await limiter.check("other")).degraded) return;
        assert.fail("the limiter does not come back");
      };
      await comesBack();
      assert.deepEqual(await crowd(), [20, 0]);
      server.kill("SIGSTOP");
      assert.deepEqual(await crowd(), [0, 20]);
      server.kill("SIGCONT");
      await comesBack();
      assert.deepEqual(await crowd(), [20, 0]); // those that hung were counted: 60
      server.kill("SIGKILL");
      await once(server, "exit");
      assert.deepEqual(await crowd(), [0, 20]);
      server = start();
      await comesBack();
      assert.deepEqual(await crowd(), [20, 0]);
    } finally {
      redis.disconnect();
      server.kill("SIGKILL");
    }
  });
}

async function freePort(): Promise<number> {
  const probe = createServer().listen(0, "127.0.0.1");
  await once(probe, "listening");
  const { port } = probe.address() as AddressInfo;
  await new Promise((resolve) => probe.close(resolve));
  return port;
}
