/**
 * Idempotency keys on PostgreSQL: the answer is stored in the transaction that has the effect.
 *
 * Not needed where the whole effect is one INSERT into one table of the same database: a nullable key column there, UNIQUE
 *   (account, key), `INSERT … ON CONFLICT (account, key) DO NOTHING RETURNING`, and SELECT for the repeat do it, without a
 *   transaction. `chargeInOneInsert` in the proof is that form, with what else it needs: copy it instead of this.
 * Guarantees: for one (scope, key) the effect happens once, whatever the number of concurrent or later repeats and
 *   whenever a process dies or freezes; a repeat gets the first answer, byte for byte, also one that comes while the first
 *   is at work. There is no "in progress" row that a crash could leave behind: the claim is an advisory lock of the
 *   transaction.
 * Needs: pg >= 8.11, PostgreSQL >= 11, the table of `SCHEMA`, transaction.ts. `scope` is principal + route; keys are any
 *   text. A repeat that waits has a connection of the pool.
 * Fails: `InProgress` (409 with Retry-After) where the first call has not ended within `waitMs`; `Mismatch` (422) where the
 *   key was used with another request. What the effect throws rolls everything back and stores nothing: store only final
 *   outcomes.
 * Fit: catch the two where you call `runOnce` and throw your own; other names of the table or its columns stand only in
 *   `SCHEMA` and two statements. In a transaction of yours, call `settle` with its client.
 * Prove: npm test   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
 *
 * draft-ietf-httpapi-idempotency-key-header. Delete rows older than the clients' retry window (at least 24 h).
 */
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { Pool, PoolClient } from "pg";
import { transaction } from "./transaction.js";

export const SCHEMA = `
CREATE TABLE idempotency_key (
  id bytea PRIMARY KEY, -- of scope and key: they may be long, and hold what a text may not
  request_hash bytea NOT NULL,
  status smallint NOT NULL,
  body bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idempotency_key_created_at ON idempotency_key (created_at);
`;

export class InProgress extends Error {}
export class Mismatch extends Error {}

export interface Answer {
  status: number;
  body: Buffer;
}

export interface Call {
  /** Neither scope nor key may be empty. */
  scope: string;
  key: string;
  /** Method, path and body as received. */
  request: Buffer | string;
  /** Uses the client that it is given, so that it commits together with its answer; the rest goes through an outbox. */
  effect: (client: PoolClient) => Promise<Answer>;
  /** How long a repeat waits for the first call. */
  waitMs?: number;
  /** A first call that says nothing to the database for so long counts as lost, and the next one has the effect. */
  idleMs?: number;
}

const sha256 = (data: Buffer | string): Buffer => createHash("sha256").update(data).digest();

/** Run `effect` once for (scope, key) and return its answer, or the stored one. */
export async function runOnce(pool: Pool, { idleMs = 30_000, ...call }: Call): Promise<Answer & { replayed: boolean }> {
  return transaction(pool, (client) => settle(client, call), { idleMs });
}

/** The same in a transaction of the caller's, which must be READ COMMITTED: a repeat sees what was committed while it waited. */
export async function settle(
  client: PoolClient,
  { scope, key, request, effect, waitMs = 5_000 }: Omit<Call, "idleMs">,
): Promise<Answer & { replayed: boolean }> {
  if (!scope || !key) throw new RangeError("scope and key must not be empty");
  const id = sha256(Buffer.concat([sha256(scope), Buffer.from(key)]));
  const hash = sha256(request);
  const deadline = performance.now() + waitMs;
  for (let pause = 10; ; pause = Math.min(2 * pause, 100)) {
    const lock = await client.query<{ ok: boolean }>("SELECT pg_try_advisory_xact_lock($1::bigint) AS ok", [
      id.readBigInt64BE().toString(),
    ]);
    // Without the lock too: those who wait for one answer must not queue for the lock to read it.
    const found = await client.query<{ request_hash: Buffer; status: number; body: Buffer }>(
      "SELECT request_hash, status, body FROM idempotency_key WHERE id = $1",
      [id],
    );
    const stored = found.rows[0];
    if (stored) {
      if (!stored.request_hash.equals(hash)) throw new Mismatch(key);
      return { status: stored.status, body: stored.body, replayed: true };
    }
    if (lock.rows[0]?.ok) break;
    const left = deadline - performance.now();
    if (left <= 0) throw new InProgress(key);
    await sleep(Math.min(pause * (0.5 + Math.random() / 2), left));
  }
  const answer = await effect(client);
  await client.query("INSERT INTO idempotency_key (id, request_hash, status, body) VALUES ($1, $2, $3, $4)", [
    id,
    hash,
    answer.status,
    answer.body,
  ]);
  return { ...answer, replayed: false };
}
