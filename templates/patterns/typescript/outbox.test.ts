import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pool } from "pg";
import { enqueue, relayOnce, SCHEMA, type OutboxEvent } from "./outbox.js";
import { isolation, onConnection, sleep, withSchema } from "./proof.js";
import { transaction } from "./transaction.js";

const DDL = `${SCHEMA} CREATE TABLE account (id text PRIMARY KEY, version int NOT NULL DEFAULT 0);`;
const KEYS = ["k0", "k1", "k2", "k3", "k4"];

const change = (pool: Pool, key: string): Promise<string> =>
  transaction(pool, async (client) => {
    const { rows } = await client.query<{ version: number }>(
      "UPDATE account SET version = version + 1 WHERE id = $1 RETURNING version",
      [key],
    );
    return enqueue(client, { key, type: "account.changed", payload: { version: rows[0]!.version } });
  });

test("a rolled back change is never published", () =>
  withSchema(DDL, async (pool) => {
    const failing = transaction(pool, async (client) => {
      await enqueue(client, { key: "a", type: "t", payload: 1 });
      throw new Error("boom");
    });
    await assert.rejects(failing, /boom/);
    assert.equal(await relayOnce(pool, () => assert.fail()), 0);
  }));

test("order per key holds with writers, four relays and relays that die", () =>
  withSchema(DDL, async (pool) => {
    for (const key of KEYS) await pool.query("INSERT INTO account (id) VALUES ($1)", [key]);
    const seen = new Map<string, number[]>(KEYS.map((key) => [key, []]));
    let writing = true;
    let number = 0;
    const write = async (): Promise<void> => {
      for (let n = 0; n < 40; n++) await change(pool, KEYS[Math.floor(Math.random() * 5)]!);
    };
    const publish = async (event: OutboxEvent): Promise<void> => {
      seen.get(event.key)!.push((event.payload as { version: number }).version);
      if (++number % 10 === 0) throw new Error("the relay dies after the broker took it");
    };
    const relay = async (): Promise<void> => {
      for (;;) {
        const sent = await relayOnce(pool, publish, 10).catch(() => -1);
        if (sent === 0 && !writing) return;
        if (sent === 0) await sleep(1);
      }
    };
    const relays = Promise.all([relay(), relay(), relay(), relay()]);
    await Promise.all([write(), write(), write(), write()]);
    writing = false;
    await relays;
    await relayOnce(pool, publish);
    let total = 0;
    for (const versions of seen.values()) {
      const first = [...new Set(versions)];
      assert.deepEqual(first, first.map((_, index) => index + 1));
      total += first.length;
    }
    assert.equal(total, 160);
  }));

test("relays whatever isolation level is the default, and odd text", () =>
  withSchema(SCHEMA, async (pool) => {
    await onConnection(pool, async (client) => {
      for (let n = 0; n < 100; n++) await enqueue(client, { key: `k${n % 20}`, type: "t", payload: { n, odd: "\0 \ud800" } });
    });
    const seen = new Map<string, number[]>();
    const publish = async ({ key, payload }: OutboxEvent): Promise<void> => {
      const { n, odd } = payload as { n: number; odd: string };
      assert.equal(odd, "\0 \ud800");
      seen.set(key, [...(seen.get(key) ?? []), n]);
    };
    await Promise.all(Array.from({ length: 5 }, () => relayOnce(pool, publish)));
    assert.equal(await relayOnce(pool, publish), 0);
    for (let k = 0; k < 20; k++) assert.deepEqual(seen.get(`k${k}`), [k, k + 20, k + 40, k + 60, k + 80]);
  }, 20, isolation("serializable")));

test("one relay alone sends the other keys while one fails; one that freezes does not keep its key", () =>
  withSchema(SCHEMA, async (pool) => {
    await onConnection(pool, async (client) => {
      for (const key of ["bad", "bad", "good", "fine"]) await enqueue(client, { key, type: "t", payload: 1 });
    });
    const got: string[] = [];
    const publish = async ({ key }: OutboxEvent): Promise<void> => {
      if (key === "bad") throw new Error(key);
      got.push(key);
    };
    await assert.rejects(relayOnce(pool, publish), /bad/);
    assert.deepEqual(got, ["good", "fine"]);
    const frozen = assert.rejects(relayOnce(pool, () => sleep(1500), 100, 300));
    await sleep(800);
    assert.equal(await relayOnce(pool, async () => undefined), 2);
    await frozen;
  }));
