import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pool, PoolClient } from "pg";
import { consume, Retry, SCHEMA, type Delivery } from "./inbox.js";
import { withSchema } from "./proof.js";

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
