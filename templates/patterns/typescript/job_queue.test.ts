import assert from "node:assert/strict";
import { test } from "node:test";
import { claim, complete, enqueue, extend, fail, SCHEMA } from "./job_queue.js";
import { isolation, sleep, withSchema } from "./proof.js";

test("20 workers run 500 jobs once each", () =>
  withSchema(SCHEMA, async (pool) => {
    for (let n = 0; n < 500; n++) await enqueue(pool, "q", n);
    const runs = new Map<number, number>();
    const work = async (): Promise<void> => {
      for (let job = await claim(pool, "q"); job; job = await claim(pool, "q")) {
        runs.set(job.payload as number, (runs.get(job.payload as number) ?? 0) + 1);
        assert.ok(await complete(pool, job));
      }
    };
    await Promise.all(Array.from({ length: 20 }, work));
    assert.equal(runs.size, 500);
    assert.deepEqual(new Set(runs.values()), new Set([1]));
  }));

test("a job comes back when its lease runs out and the slow worker cannot finish it", () =>
  withSchema(SCHEMA, async (pool) => {
    await enqueue(pool, "q", "x");
    const first = (await claim(pool, "q", 200))!;
    assert.equal(await claim(pool, "q"), undefined);
    await sleep(300);
    const second = (await claim(pool, "q"))!;
    assert.deepEqual([second.id, second.attempts], [first.id, 2]);
    assert.deepEqual([await extend(pool, first), await fail(pool, first, "late"), await complete(pool, first)], [false, false, false]);
    assert.ok(await complete(pool, second));
  }));

test("a job that fails or kills its workers ends dead", () =>
  withSchema(SCHEMA, async (pool) => {
    await enqueue(pool, "fails", "x", { maxAttempts: 3 });
    for (let n = 0; n < 3; n++) {
      let job = await claim(pool, "fails");
      while (!job) {
        await sleep(5);
        job = await claim(pool, "fails");
      }
      assert.ok(await fail(pool, job, "boom", { baseMs: 1 }));
    }
    await enqueue(pool, "kills", "x", { maxAttempts: 2 });
    for (let n = 0; n < 2; n++) {
      assert.ok(await claim(pool, "kills", 10));
      await sleep(50);
    }
    assert.equal(await claim(pool, "kills"), undefined);
    const { rows } = await pool.query("SELECT queue, state, last_error FROM job ORDER BY id");
    assert.deepEqual(rows, [
      { queue: "fails", state: "dead", last_error: "boom" },
      { queue: "kills", state: "dead", last_error: "its workers died" },
    ]);
  }));

test("workers whatever isolation level is the default, and odd text", () =>
  withSchema(SCHEMA, async (pool) => {
    for (let n = 0; n < 100; n++) await enqueue(pool, "q", n);
    const runs: number[] = [];
    const work = async (): Promise<void> => {
      for (let job = await claim(pool, "q"); job; job = await claim(pool, "q")) {
        runs.push(job.payload as number);
        assert.ok(await complete(pool, job));
      }
    };
    await Promise.all(Array.from({ length: 20 }, work));
    assert.deepEqual(runs.sort((a, b) => a - b), Array.from({ length: 100 }, (_, n) => n));
    await enqueue(pool, "q", "\0 \ud800", { maxAttempts: 1 });
    const job = (await claim(pool, "q"))!;
    assert.equal(job.payload, "\0 \ud800");
    assert.ok(await fail(pool, job, "bad \0"));
  }, 20, isolation("serializable")));
