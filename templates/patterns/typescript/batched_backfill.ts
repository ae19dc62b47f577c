/**
 * Batched backfill on PostgreSQL: by key, in short transactions, resumable.
 *
 * Guarantees: every row that exists when it starts and still needs the change gets it once, whatever else is written
 *   meanwhile; each transaction touches at most `batch` rows, in key order; a run that died goes on behind its last batch.
 * Needs: pg >= 8.11, PostgreSQL >= 11, the table of `SCHEMA`, transaction.ts, an integer key with a unique index, and a
 *   trigger or code that already writes the new form, or rows behind the cursor go stale.
 * Fails: a lock that is not had within `lockTimeoutMs` ends the batch, not the run: it waits and repeats, `patience` times
 *   in a row at most, then rejects with error 55P03. The locks of a run that freezes in a batch are free after ten seconds.
 * Prove: npm test   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
 */
import { escapeIdentifier, type Pool } from "pg";
import { transaction } from "./transaction.js";

export const SCHEMA =
  "CREATE TABLE backfill (name text PRIMARY KEY, last_key bigint, end_key bigint, rows_done bigint NOT NULL DEFAULT 0);";

const RETRYABLE = new Set(["55P03", "40P01", "40001"]);

export interface Backfill {
  /** Identifies the run for resuming. */
  name: string;
  /** `table` or `schema.table`. */
  table: string;
  key: string;
  /** SQL of yours, never of a client: `email_lower = lower(email)`. */
  assignments: string;
  /** SQL of yours: which rows still need it. */
  condition: string;
  batch?: number;
  /** Awaited after each batch: sleep there, or wait for the replicas. */
  pause?: (rows: number) => Promise<void>;
  lockTimeoutMs?: number;
  patience?: number;
}

/** Change every row and resolve to how many were changed in all. */
export async function backfill(pool: Pool, options: Backfill): Promise<number> {
  const { name, assignments, condition, batch = 1000, pause, lockTimeoutMs = 500, patience = 20 } = options;
  const [table, key] = [options.table.split(".").map(escapeIdentifier).join("."), escapeIdentifier(options.key)];
  // The walk ends where the table ended when it began: with busy writers it would never catch up otherwise.
  const begin = `INSERT INTO backfill (name, end_key) SELECT $1, max(${key}) FROM ${table} ON CONFLICT (name) DO NOTHING`;
  await transaction(pool, (client) => client.query(begin, [name]));
  const query = `
    WITH batch AS (
      SELECT ${key} FROM ${table} WHERE ($1::bigint IS NULL OR ${key} > $1) AND ${key} <= $3 ORDER BY ${key} LIMIT $2
    ), locked AS (
      SELECT ${key} FROM ${table} WHERE ${key} IN (SELECT ${key} FROM batch) AND ${condition} ORDER BY ${key} FOR UPDATE
    ), changed AS (
      UPDATE ${table} SET ${assignments} WHERE ${key} IN (SELECT ${key} FROM locked) RETURNING 1
    )
    SELECT (SELECT max(${key}) FROM batch) AS last, (SELECT count(*) FROM changed) AS rows
  `;
  let failures = 0;
  for (;;) {
    try {
      const step = await transaction(pool, async (client) => {
        await client.query("SELECT set_config('lock_timeout', $1, true)", [`${lockTimeoutMs}ms`]);
        const state = await client.query<{ last_key: string | null; end_key: string | null; rows_done: string }>(
          "SELECT last_key, end_key, rows_done FROM backfill WHERE name = $1 FOR UPDATE",
          [name],
        );
        const { last_key, end_key, rows_done } = state.rows[0]!;
        const { rows } = await client.query<{ last: string | null; rows: string }>(query, [last_key, batch, end_key]);
        const { last, rows: changed } = rows[0]!;
        if (last === null) return { total: Number(rows_done) };
        await client.query("UPDATE backfill SET last_key = $1, rows_done = rows_done + $2 WHERE name = $3", [last, changed, name]);
        return { changed: Number(changed) };
      }, { idleMs: 10_000 });
      failures = 0;
      if (step.total !== undefined) return step.total;
      await pause?.(step.changed);
    } catch (error) {
      if (!RETRYABLE.has((error as { code?: string }).code ?? "") || ++failures >= patience) throw error;
      await new Promise((resolve) => setTimeout(resolve, (50 + Math.random() * 150) * Math.min(failures, 10)));
    }
  }
}
