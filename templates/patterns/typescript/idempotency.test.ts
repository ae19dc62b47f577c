import assert from "node:assert/strict";
import { test } from "node:test";
import pg, { type PoolClient } from "pg";
import { InProgress, Mismatch, runOnce, SCHEMA, type Answer } from "./idempotency.js";
import { isolation, LEVELS, Signal, sleep, withSchema } from "./proof.js";
import { transaction } from "./transaction.js";

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

const slow = async (client: PoolClient): Promise<Answer> => {
  const answer = await charge(client);
  await sleep(500);
  return answer;
};

for (const level of LEVELS) {
  test(`repeats that come meanwhile get the first answer: ${level}`, () =>
    withSchema(DDL, async (pool) => {
      const began = performance.now();
      const answers = await Promise.all(Array.from({ length: 20 }, () => runOnce(pool, { ...call, effect: slow })));
      assert.ok(performance.now() - began < 2000);
      assert.deepEqual(new Set(answers.map((answer) => answer.body.toString())), new Set(['{"id": 1}']));
      assert.equal(answers.filter((answer) => !answer.replayed).length, 1);
    }, 20, isolation(level)));
}

test("a repeat waits no longer than it says", () =>
  withSchema(DDL, async (pool) => {
    const begun = new Signal();
    const effect = (client: PoolClient): Promise<Answer> => (begun.set(), slow(client));
    const first = runOnce(pool, { ...call, effect });
    await begun.wait;
    const began = performance.now();
    await assert.rejects(runOnce(pool, { ...call, waitMs: 100 }), InProgress);
    assert.ok(performance.now() - began < 400);
    assert.equal((await first).replayed, false);
  }));

test("a process that freezes half-way does not keep the key", () =>
  withSchema(DDL, async (pool) => {
    const halfWay = new Signal();
    const freeze = async (client: PoolClient): Promise<Answer> => {
      await charge(client);
      halfWay.set();
      await sleep(2000);
      return charge(client);
    };
    const first = assert.rejects(runOnce(pool, { ...call, effect: freeze, idleMs: 300 }));
    await halfWay.wait;
    const began = performance.now();
    assert.equal((await runOnce(pool, call)).replayed, false);
    assert.ok(performance.now() - began < 1500);
    await first;
    const { rows } = await pool.query<{ count: string }>("SELECT count(*) FROM charge");
    assert.equal(rows[0]!.count, "1");
  }));

test("keys are any text of any length", () =>
  withSchema(DDL, async (pool) => {
    const names = [["s", "k".repeat(10_000)], ["s", "k".repeat(10_001)], ["s", "a\0b"], ["s", "\ud800"], ["sk", "k"], ["s", "kk"]];
    for (const [scope, key] of names) {
      for (const replayed of [false, true]) {
        assert.equal((await runOnce(pool, { ...call, scope: scope!, key: key! })).replayed, replayed);
      }
    }
    await assert.rejects(runOnce(pool, { ...call, key: "" }), RangeError);
    await assert.rejects(runOnce(pool, { ...call, scope: "" }), RangeError);
  }));

test("a transaction whose failed statement was swallowed is no success", () =>
  withSchema("CREATE TABLE once (id int PRIMARY KEY)", async (pool) => {
    const twice = async (client: PoolClient): Promise<void> => {
      await client.query("INSERT INTO once VALUES (1)");
      await client.query("INSERT INTO once VALUES (1)").catch(() => undefined);
    };
    await assert.rejects(transaction(pool, twice), /swallowed/);
  }));

const ONE_TABLE = `
CREATE TABLE payment (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  account text NOT NULL,
  amount int NOT NULL,
  key text,
  UNIQUE (account, key)
);`;

/**
 * Charge once for the key and return the payment's id; each connection of the pool has a lock_timeout.
 *
 * The statement commits by itself, so a crash leaves the row or nothing; ON CONFLICT waits for an insert of the same key
 * that has not ended, for lock_timeout at most (55P03: answer 409). An index entry has at most some 2,700 bytes and text no
 * NUL: refuse such keys at the door.
 */
async function chargeInOneInsert(pool: pg.Pool, account: string, key: string, amount: number): Promise<string> {
  for (;;) {
    try {
      const made = await pool.query<{ id: string; amount: number }>(
        `INSERT INTO payment (account, key, amount) VALUES ($1, $2, $3)
         ON CONFLICT (account, key) DO NOTHING RETURNING id, amount`,
        [account, key, amount],
      );
      const found = made.rowCount
        ? made
        : await pool.query<{ id: string; amount: number }>("SELECT id, amount FROM payment WHERE account = $1 AND key = $2", [
            account,
            key,
          ]);
      const row = found.rows[0];
      if (row && row.amount !== amount) throw new Mismatch(key);
      if (row) return row.id;
    } catch (error) {
      // 40001: the defaults may be repeatable read; look again.
      if (!(error instanceof pg.DatabaseError && error.code === "40001")) throw error;
    }
  }
}

for (const level of LEVELS) {
  test(`one insert needs no module: ${level}`, () =>
    withSchema(ONE_TABLE, async (pool) => {
      const ids = await Promise.all(Array.from({ length: 100 }, () => chargeInOneInsert(pool, "alice", "a", 5)));
      assert.equal(new Set(ids).size, 1);
      await assert.rejects(chargeInOneInsert(pool, "alice", "a", 6), Mismatch);
      assert.ok(await chargeInOneInsert(pool, "bob", "a", 6));
      await transaction(pool, async (client) => {
        await client.query("INSERT INTO payment (account, key, amount) VALUES ('alice', 'f', 5)");
        await assert.rejects(chargeInOneInsert(pool, "alice", "f", 5), { code: "55P03" });
      });
      const { rows } = await pool.query<{ count: string }>("SELECT count(*) FROM payment");
      assert.equal(rows[0]!.count, "3");
    }, 20, `${isolation(level)} -clock_timeout=300`));
}
