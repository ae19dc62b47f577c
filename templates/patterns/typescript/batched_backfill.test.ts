import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pool } from "pg";
import { backfill, SCHEMA, type Backfill } from "./batched_backfill.js";
import { isolation, withSchema } from "./proof.js";

const DDL = `${SCHEMA}
CREATE TABLE users (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, email text NOT NULL, email_lower text);
INSERT INTO users (email) SELECT 'User' || n || '@Example.org' FROM generate_series(1, 5000) n;
CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.email_lower := lower(NEW.email); RETURN NEW; END $$;
CREATE TRIGGER keep BEFORE INSERT OR UPDATE OF email ON users FOR EACH ROW EXECUTE FUNCTION keep();`;

const job: Backfill = {
  name: "email_lower",
  table: "users",
  key: "id",
  assignments: "email_lower = lower(email)",
  condition: "email_lower IS DISTINCT FROM lower(email)",
  batch: 300,
};
const wrong = async (pool: Pool): Promise<number> =>
  Number((await pool.query<{ n: string }>("SELECT count(*) AS n FROM users WHERE email_lower IS DISTINCT FROM lower(email)")).rows[0]!.n);

test("all rows are right with writers beside it", () =>
  withSchema(DDL, async (pool) => {
    let running = true;
    const write = async (): Promise<void> => {
      while (running) {
        const id = 1 + Math.floor(Math.random() * 5000);
        await pool.query("UPDATE users SET email = email || 'X' WHERE id = $1", [id]);
        await pool.query("INSERT INTO users (email) VALUES ('New@Example.org')");
        await pool.query("DELETE FROM users WHERE id = $1", [1 + Math.floor(Math.random() * 5000)]);
      }
    };
    const writers = Promise.all([write(), write(), write()]);
    await backfill(pool, job);
    running = false;
    await writers;
    assert.equal(await wrong(pool), 0);
  }));

test("a run that died goes on behind its last batch", () =>
  withSchema(DDL, async (pool) => {
    let batches = 0;
    const dying = backfill(pool, {
      ...job,
      pause: async () => {
        if (++batches === 5) throw new Error("killed");
      },
    });
    await assert.rejects(dying, /killed/);
    const { rows } = await pool.query("SELECT last_key, rows_done FROM backfill");
    assert.deepEqual(rows, [{ last_key: "1500", rows_done: "1500" }]);
    assert.equal(await backfill(pool, job), 5000);
    assert.equal(await wrong(pool), 0);
  }));

test("a locked row is waited for in short tries, and patience ends", () =>
  withSchema(DDL, async (pool) => {
    const holder = await pool.connect();
    await holder.query("BEGIN; SELECT FROM users WHERE id = 700 FOR UPDATE");
    await assert.rejects(backfill(pool, { ...job, lockTimeoutMs: 20, patience: 3 }), { code: "55P03" });
    await holder.query("COMMIT");
    holder.release();
    assert.equal(await backfill(pool, job), 5000);
  }));

test("whatever isolation level is the default, and a table in a schema", () =>
  withSchema(DDL, async (pool) => {
    const { rows } = await pool.query<{ s: string }>("SELECT current_schema() AS s");
    assert.equal(await backfill(pool, { ...job, table: `${rows[0]!.s}.users` }), 5000);
    assert.equal(await wrong(pool), 0);
  }, 20, isolation("serializable")));
