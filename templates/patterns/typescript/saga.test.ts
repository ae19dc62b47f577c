import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pool } from "pg";
import { isolation, sleep, withSchema } from "./proof.js";
import { Saga, SCHEMA } from "./saga.js";

const STEPS = [
  { command: "reserve", compensation: "release" },
  { command: "charge", compensation: "refund" },
  { command: "ship" },
  { command: "mail" },
];
const DDL = `${SCHEMA} CREATE TABLE sent (n bigint GENERATED ALWAYS AS IDENTITY, saga text, message text);`;
const order = (pool: Pool): Saga =>
  new Saga(pool, STEPS, (client, id, message) => client.query("INSERT INTO sent (saga, message) VALUES ($1, $2)", [id, message]));
const sent = async (pool: Pool): Promise<string[]> =>
  (await pool.query<{ message: string }>("SELECT message FROM sent ORDER BY n")).rows.map((row) => row.message);
const state = async (pool: Pool): Promise<string> => (await pool.query<{ state: string }>("SELECT state FROM saga")).rows[0]!.state;

test("every reply delivered ten times at once moves the saga once", () =>
  withSchema(DDL, async (pool) => {
    const saga = order(pool);
    const begun = await Promise.all(Array.from({ length: 10 }, () => saga.start("o1")));
    assert.equal(begun.filter(Boolean).length, 1);
    for (const { command } of STEPS) {
      const moved = await Promise.all(Array.from({ length: 10 }, () => saga.onReply("o1", command, true)));
      assert.equal(moved.filter(Boolean).length, 1);
    }
    assert.deepEqual(await sent(pool), ["reserve", "charge", "ship", "mail"]);
    assert.equal(await state(pool), "done");
  }));

const FAILURES: [string, string[]][] = [
  ["reserve", ["reserve", "release"]],
  ["charge", ["reserve", "charge", "refund", "release"]],
  ["ship", ["reserve", "charge", "ship", "refund", "release"]],
  ["mail", ["reserve", "charge", "ship", "mail", "mail"]],
];
for (const [failing, expected] of FAILURES) {
  test(`a failing ${failing} is undone in reverse before the pivot and retried after it`, () =>
    withSchema(DDL, async (pool) => {
      const saga = order(pool);
      await saga.start("o1");
      for (const { command } of STEPS) {
        await saga.onReply("o1", command, command !== failing);
        if (command === failing) break;
      }
      for (const message of failing === "mail" ? ["mail"] : ["refund", "release"]) await saga.onReply("o1", message, true);
      assert.equal(await state(pool), failing === "mail" ? "done" : "compensated");
      assert.deepEqual(await sent(pool), expected);
    }));
}

test("a late success during compensation does not run the next step", () =>
  withSchema(DDL, async (pool) => {
    const saga = order(pool);
    await saga.start("o1");
    await saga.onReply("o1", "reserve", true);
    await sleep(20);
    assert.equal(await saga.onTimeout(10), 1);
    assert.equal(await saga.onReply("o1", "charge", true), false);
    assert.deepEqual(await sent(pool), ["reserve", "charge", "refund"]);
  }));

test("a definition with a compensation behind the pivot is refused", () => {
  assert.throws(() => new Saga({} as Pool, [{ command: "a" }, { command: "b", compensation: "undo b" }], async () => undefined), /pivot/);
});

test("replies at once, whatever isolation level is the default", () =>
  withSchema(DDL, async (pool) => {
    const saga = order(pool);
    const begun = await Promise.all(Array.from({ length: 10 }, () => saga.start("o1")));
    assert.equal(begun.filter(Boolean).length, 1);
    for (const { command } of STEPS) {
      const moved = await Promise.all(Array.from({ length: 10 }, () => saga.onReply("o1", command, true)));
      assert.equal(moved.filter(Boolean).length, 1);
    }
  }, 20, isolation("serializable")));
