import assert from "node:assert/strict";
import { test } from "node:test";
import type { PoolClient } from "pg";
import { InProgress, Mismatch, runOnce, SCHEMA, type Answer } from "./idempotency.js";
import { sleep, withSchema } from "./proof.js";

const DDL = `${SCHEMA} CREATE TABLE charge (id bigint GENERATED ALWAYS AS IDENTITY, amount int);`;

async function charge(client: PoolClient): Promise<Answer> {
  const { rows } = await client.query<{ id: string }>("INSERT INTO charge (amount) VALUES (5) RETURNING id");
  await sleep(10);
  return { status: 201, body: Buffer.from(`{"id": ${rows[0]!.id}}`) };
}

const call = { scope: "alice POST /charges", key: "k", request: "5", effect: charge };

test("100 concurrent repeats charge once", () =>
  withSchema(DDL, async (pool) => {
    let busy = 0;
    const answers: (Answer & { replayed: boolean })[] = [];
    const caller = async (): Promise<void> => {
      for (let n = 0; n < 5; n++) {
        try {
          answers.push(await runOnce(pool, call));
        } catch (error) {
          if (!(error instanceof InProgress)) throw error;
          busy++;
        }
      }
    };
    await Promise.all(Array.from({ length: 20 }, caller));
    const { rows } = await pool.query<{ count: string }>("SELECT count(*) FROM charge");
    assert.equal(rows[0]!.count, "1");
    assert.equal(answers.length + busy, 100);
    assert.equal(answers.filter((answer) => !answer.replayed).length, 1);
    assert.deepEqual(new Set(answers.map((answer) => answer.body.toString())), new Set(['{"id": 1}']));
  }));

test("another request with the same key is refused, another scope is another key", () =>
  withSchema(DDL, async (pool) => {
    await runOnce(pool, call);
    await assert.rejects(runOnce(pool, { ...call, request: "6" }), Mismatch);
    assert.equal((await runOnce(pool, { ...call, scope: "bob" })).replayed, false);
  }));

test("a failed effect and a connection that dies leave nothing, and the retry succeeds", () =>
  withSchema(DDL, async (pool) => {
    const broken = async (client: PoolClient): Promise<Answer> => {
      await charge(client);
      throw new Error("boom");
    };
    await assert.rejects(runOnce(pool, { ...call, effect: broken }), /boom/);
    const dying = async (client: PoolClient): Promise<Answer> => {
      await charge(client);
      const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
      await pool.query("SELECT pg_terminate_backend($1)", [rows[0]!.pid]);
      return charge(client);
    };
    await assert.rejects(runOnce(pool, { ...call, effect: dying }));
    await sleep(100);
    assert.equal((await runOnce(pool, call)).replayed, false);
    const { rows } = await pool.query<{ count: string }>("SELECT count(*) FROM charge");
    assert.equal(rows[0]!.count, "1");
  }));
