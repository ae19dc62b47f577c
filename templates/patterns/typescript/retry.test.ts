import assert from "node:assert/strict";
import { test } from "node:test";
import { Budget, retry, RetryableError } from "./retry.js";

/** Time that only sleeping moves, and a dependency that fails the first `failures` calls. */
class World {
  time = 0;
  calls = 0;
  sleeps: number[] = [];
  constructor(private readonly failures: number, private readonly error: Error = new Error("down"), private readonly costMs = 0) {}
  run(options: { budget?: Budget; deadline?: number; attempts?: number } = {}): Promise<string> {
    return retry(
      async (left) => {
        assert.ok(left > 0);
        this.time += this.costMs;
        if (++this.calls <= this.failures) throw this.error;
        return "ok";
      },
      {
        retryable: (error) => !(error instanceof TypeError),
        budget: new Budget(),
        deadline: 1e6,
        sleep: async (ms) => {
          this.sleeps.push(ms);
          this.time += ms;
        },
        now: () => this.time,
        ...options,
      },
    );
  }
}

test("a passing fault is retried with growing jitter", async () => {
  const world = new World(2);
  assert.equal(await world.run(), "ok");
  assert.equal(world.calls, 3);
  assert.ok(world.sleeps[0]! <= 100 && world.sleeps[1]! <= 200);
});

test("attempts are bounded, final errors are not retried, and errors are thrown as they are", async () => {
  const down = new World(Infinity);
  await assert.rejects(down.run({ attempts: 4 }), /down/);
  assert.equal(down.calls, 4);
  const final = new World(Infinity, new TypeError("400"));
  await assert.rejects(final.run(), TypeError);
  assert.equal(final.calls, 1);
});

test("no retry outlives the deadline, and Retry-After is honoured", async () => {
  const late = new World(Infinity, new RetryableError("busy", 5000), 1000);
  await assert.rejects(late.run({ deadline: 6000 }), RetryableError);
  assert.deepEqual([late.calls, late.sleeps], [1, []]);
  await assert.rejects(late.run({ deadline: 0 }), /deadline/);
  const polite = new World(1, new RetryableError("busy", 7000));
  assert.equal(await polite.run(), "ok");
  assert.deepEqual(polite.sleeps, [7000]);
});

test("an outage is not multiplied", async () => {
  const budget = new Budget(0.1, 10);
  let calls = 0;
  for (let n = 0; n < 1000; n++) {
    const world = new World(Infinity);
    await assert.rejects(world.run({ budget }));
    calls += world.calls;
  }
  assert.ok(calls > 1000 && calls <= 1110); // without a budget: 3,000
});
