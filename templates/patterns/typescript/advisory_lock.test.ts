import assert from "node:assert/strict";
import { test } from "node:test";
import { Busy, withAdvisoryLock } from "./advisory_lock.js";
import { sleep, unique, withSchema } from "./proof.js";

test("rivals never overlap", () =>
  withSchema("", async (pool) => {
    const name = unique();
    let inside = 0;
    let most = 0;
    const rival = async (): Promise<void> => {
      for (let n = 0; n < 3; n++) {
        await withAdvisoryLock(pool, name, async () => {
          most = Math.max(most, ++inside);
          await sleep(2);
          inside--;
        }, { waitMs: 60_000 });
      }
    };
    await Promise.all(Array.from({ length: 15 }, rival));
    assert.equal(most, 1);
  }));

test("a held lock is refused at once, and a holder that dies frees it", () =>
  withSchema("", async (pool) => {
    const name = unique();
    const dying = withAdvisoryLock(pool, name, async (client) => {
      await assert.rejects(withAdvisoryLock(pool, name, async () => undefined), Busy);
      const { rows } = await client.query<{ pid: number }>("SELECT pg_backend_pid() AS pid");
      await pool.query("SELECT pg_terminate_backend($1)", [rows[0]!.pid]);
      await withAdvisoryLock(pool, name, async () => undefined, { waitMs: 5000 });
      await client.query("SELECT 1");
    });
    await assert.rejects(dying);
  }));

test("an index is built concurrently while others poll", () =>
  withSchema("CREATE TABLE t (a int); INSERT INTO t SELECT generate_series(1, 1000);", async (pool) => {
    const name = unique();
    let polling: Promise<void> = Promise.resolve();
    await withAdvisoryLock(pool, name, async (client) => {
      polling = withAdvisoryLock(pool, name, async () => undefined, { waitMs: 10_000 });
      await sleep(100);
      await client.query("CREATE INDEX CONCURRENTLY ON t (a)");
    });
    await polling;
  }));
