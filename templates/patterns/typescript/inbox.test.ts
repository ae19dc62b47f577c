import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pool, PoolClient } from "pg";
import { consume, Retry, SCHEMA, type Delivery } from "./inbox.js";
import { isolation, Signal, sleep, withSchema } from "./proof.js";

const DDL = `${SCHEMA} CREATE TABLE stock (id int PRIMARY KEY, n int NOT NULL); INSERT INTO stock VALUES (1, 100);`;

const reserve = async (client: PoolClient): Promise<void> => {
  await client.query("UPDATE stock SET n = n - 1 WHERE id = 1");
};
const delivery: Delivery = { consumer: "c", eventId: "e", body: Buffer.from("x"), effect: reserve };
const stock = async (pool: Pool): Promise<number> => (await pool.query<{ n: number }>("SELECT n FROM stock")).rows[0]!.n;

test("100 concurrent deliveries have one effect", () =>
  withSchema(DDL, async (pool) => {
    const results = await Promise.all(Array.from({ length: 100 }, () => consume(pool, delivery)));
    assert.equal(results.filter((result) => result === "done").length, 1);
    assert.equal(await stock(pool), 99);
  }));

test("a crash in the effect is retried and counted once", () =>
  withSchema(DDL, async (pool) => {
    const die = async (client: PoolClient): Promise<void> => {
      await reserve(client);
      const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
      await pool.query("SELECT pg_terminate_backend($1)", [rows[0]!.pid]);
      await reserve(client);
    };
    await assert.rejects(consume(pool, { ...delivery, effect: die }), Retry);
    assert.equal(await consume(pool, delivery), "done");
    assert.equal(await stock(pool), 99);
  }));

test("a poisonous event is set aside after its attempts and has no effect", () =>
  withSchema(DDL, async (pool) => {
    const poison = async (client: PoolClient): Promise<void> => {
      await reserve(client);
      throw new TypeError("cannot parse");
    };
    for (let n = 0; n < 2; n++) await assert.rejects(consume(pool, { ...delivery, effect: poison, attempts: 3 }), Retry);
    assert.equal(await consume(pool, { ...delivery, effect: poison, attempts: 3 }), "dead");
    const { rows } = await pool.query<{ body: Buffer; error: string }>("SELECT body, error FROM inbox_dead");
    assert.deepEqual([rows[0]!.body.toString(), rows[0]!.error], ["x", "TypeError: cannot parse"]);
    assert.equal(await consume(pool, { ...delivery, effect: poison }), "duplicate");
    assert.equal(await stock(pool), 100);
  }));

test("deliveries at once, whatever isolation level is the default", () =>
  withSchema(DDL, async (pool) => {
    const results = await Promise.all(Array.from({ length: 20 }, () => consume(pool, delivery)));
    assert.deepEqual(results.sort(), ["done", ...Array<string>(19).fill("duplicate")]);
  }, 20, isolation("serializable")));

test("a consumer that freezes does not keep the event", () =>
  withSchema(DDL, async (pool) => {
    const halfWay = new Signal();
    const freeze = async (client: PoolClient): Promise<void> => {
      await reserve(client);
      halfWay.set();
      await sleep(1500);
      await reserve(client);
    };
    const first = assert.rejects(consume(pool, { ...delivery, effect: freeze, idleMs: 300 }), Retry);
    await halfWay.wait;
    const began = performance.now();
    assert.equal(await consume(pool, delivery), "done");
    assert.ok(performance.now() - began < 1200);
    await first;
    assert.equal(await stock(pool), 99);
  }));

for (const eventId of ["a\0b", "\ud800", "long".repeat(1000)]) {
  test(`odd ids and errors cannot block the events behind them: ${JSON.stringify(eventId.slice(0, 8))}`, () =>
    withSchema(DDL, async (pool) => {
      const odd = async (): Promise<void> => {
        throw new Error("bad \0 and \ud800");
      };
      await assert.rejects(consume(pool, { ...delivery, eventId, effect: odd, attempts: 2 }), Retry);
      assert.equal(await consume(pool, { ...delivery, eventId, effect: odd, attempts: 2 }), "dead");
      assert.equal(await consume(pool, { ...delivery, eventId, effect: odd, attempts: 2 }), "duplicate");
      assert.equal(await consume(pool, { ...delivery, eventId: `${eventId}x` }), "done");
    }));
}
