import assert from "node:assert/strict";
import { test } from "node:test";
import { CircuitBreaker, Open } from "./circuit_breaker.js";
import { sleep } from "./proof.js";

class Down extends Error {}
const good = async (): Promise<string> => "ok";
const bad = (): Promise<string> => Promise.reject(new Down());

function circuit(): { breaker: CircuitBreaker; clock: { time: number }; fail: (times: number) => Promise<void> } {
  const clock = { time: 0 };
  const breaker = new CircuitBreaker({ isFailure: (error) => error instanceof Down, volume: 10, now: () => clock.time });
  const fail = async (times: number): Promise<void> => {
    for (let n = 0; n < times; n++) await assert.rejects(breaker.call(bad), Down);
  };
  return { breaker, clock, fail };
}

test("it opens at half of enough calls and not before, and forgets old failures", async () => {
  const { breaker, clock, fail } = circuit();
  await fail(9);
  clock.time = 11_000;
  for (let n = 0; n < 5; n++) await breaker.call(good);
  await fail(4);
  assert.equal(breaker.state, "closed");
  await fail(1);
  assert.equal(breaker.state, "open");
  await assert.rejects(breaker.call(good), (error: Open) => error.retryAfterMs === 10_000);
});

test("client errors do not open it", async () => {
  const { breaker } = circuit();
  for (let n = 0; n < 50; n++) await assert.rejects(breaker.call(() => Promise.reject(new TypeError("404"))), TypeError);
  assert.equal(breaker.state, "closed");
});

test("half open admits one of 100 concurrent callers", async () => {
  const { breaker, clock, fail } = circuit();
  await fail(10);
  clock.time = 10_000;
  let calls = 0;
  const slow = async (): Promise<void> => {
    calls++;
    await sleep(10);
  };
  const results = await Promise.allSettled(Array.from({ length: 100 }, () => breaker.call(slow)));
  assert.equal(calls, 1);
  assert.equal(results.filter((result) => result.status === "rejected" && result.reason instanceof Open).length, 99);
});

test("it closes after its probes and opens again at a failing one", async () => {
  const { breaker, clock, fail } = circuit();
  await fail(10);
  clock.time = 10_000;
  await breaker.call(good);
  await fail(1);
  assert.equal(breaker.state, "open");
  clock.time = 20_000;
  await breaker.call(good);
  assert.equal(breaker.state, "half_open");
  await breaker.call(good);
  assert.equal(breaker.state, "closed");
});
