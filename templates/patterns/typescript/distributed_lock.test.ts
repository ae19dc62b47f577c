import assert from "node:assert/strict";
import { connect, createServer, type AddressInfo } from "node:net";
import { test } from "node:test";
import { Redis } from "ioredis";
import { LockLost, LockNotAcquired, withLock } from "./distributed_lock.js";
import { REDIS_URL, sleep, unique, withRedis } from "./proof.js";

const clean = (redis: Redis, name: string): Promise<number> => redis.del(`lock:{${name}}`, `lock:{${name}}:fence`);

test("100 rivals never overlap and fences rise", () =>
  withRedis(async (redis) => {
    const name = unique();
    const fences: number[] = [];
    let inside = 0;
    let most = 0;
    const rival = (): Promise<void> =>
      withLock(redis, name, async ({ fence }) => {
        most = Math.max(most, ++inside);
        fences.push(fence);
        await sleep(0);
        inside--;
      }, { leaseMs: 5000, waitMs: 60_000 });
    await Promise.all(Array.from({ length: 100 }, rival));
    assert.equal(most, 1);
    assert.deepEqual(fences, [...new Set(fences)].sort((a, b) => a - b));
    assert.equal(fences.length, 100);
    await clean(redis, name);
  }));

test("work longer than the lease keeps the lock, and it is free afterwards", () =>
  withRedis(async (redis) => {
    const name = unique();
    await withLock(redis, name, async () => {
      await sleep(1000);
      await assert.rejects(withLock(redis, name, async () => undefined), LockNotAcquired);
    }, { leaseMs: 300 });
    await withLock(redis, name, async () => undefined);
    await clean(redis, name);
  }));

test("a stolen lease aborts the work and leaves the thief's lock alone", () =>
  withRedis(async (redis) => {
    const name = unique();
    let aborted = false;
    const work = withLock(redis, name, async ({ signal }) => {
      signal.addEventListener("abort", () => (aborted = true));
      await redis.set(`lock:{${name}}`, "thief", "PX", 60_000);
      await sleep(1500);
    }, { leaseMs: 300 });
    await assert.rejects(work, LockLost);
    assert.ok(aborted);
    assert.equal(await redis.get(`lock:{${name}}`), "thief");
    await clean(redis, name);
  }));

test("a server that hangs loses the lock before the lease ends", async () => {
  const upstream = new URL(REDIS_URL);
  let hang = false;
  const proxy = createServer((socket) => {
    const other = connect(Number(upstream.port || 6379), upstream.hostname);
    socket.on("data", (data) => !hang && other.write(data));
    other.on("data", (data) => !hang && socket.write(data));
    for (const end of [socket, other]) end.on("error", () => undefined).on("close", () => { socket.destroy(); other.destroy(); });
  });
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  const redis = new Redis((proxy.address() as AddressInfo).port, "127.0.0.1");
  redis.on("error", () => undefined);
  const started = performance.now();
  const work = withLock(redis, unique(), async () => { hang = true; await sleep(2000); }, { leaseMs: 600 });
  await assert.rejects(work, LockLost);
  assert.ok(performance.now() - started < 3000);
  redis.disconnect();
  proxy.close();
});

test("a server that answers late or never is not waited for, and a late lease is not longer", () =>
  withRedis(async (redis) => {
    const name = unique();
    let delay = 3000;
    const late = {
      eval: async (...args: Parameters<Redis["eval"]>): Promise<unknown> => {
        const answer = await redis.eval(...args);
        await Promise.race([sleep(delay), over]);
        return answer;
      },
    } as unknown as Redis;
    let end = (): void => undefined;
    const over = new Promise<void>((resolve) => (end = resolve));
    let began = performance.now();
    await assert.rejects(withLock(late, name, async () => undefined, { leaseMs: 500 }), /timeout/);
    assert.ok(performance.now() - began < 1500);
    await clean(redis, name);
    delay = 800;
    began = performance.now();
    let abortedAt = 0;
    const work = withLock(late, name, async ({ signal }) => {
      signal.addEventListener("abort", () => (abortedAt = performance.now()));
      await sleep(2000);
    }, { leaseMs: 1000 });
    await assert.rejects(work, LockLost);
    assert.ok(abortedAt - began < 1400);
    end();
    await clean(redis, name);
  }));
