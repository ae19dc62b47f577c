/**
 * Idempotency keys on PostgreSQL: the answer is stored in the transaction that has the effect.
 *
 * Guarantees: for one (scope, key) the effect happens once, whatever the number of concurrent or later repeats and
 *   whenever a process dies; a repeat gets the first answer, byte for byte. There is no "in progress" row that a crash
 *   could leave behind: the claim is a transaction-level advisory lock.
 * Needs: pg >= 8.11, PostgreSQL >= 11, the table of `SCHEMA`, transaction.ts. `scope` is principal + route.
 * Fails: `InProgress` (409 with Retry-After) while the first call runs; `Mismatch` (422) where the key was used with
 *   another request. What the effect throws rolls everything back and stores nothing: store only final outcomes.
 * Prove: npm test   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
 *
 * draft-ietf-httpapi-idempotency-key-header. Delete rows older than the clients' retry window (at least 24 h).
 */
import { createHash } from "node:crypto";
import type { Pool, PoolClient } from "pg";
import { transaction } from "./transaction.js";

export const SCHEMA = `
CREATE TABLE idempotency_key (
  scope text NOT NULL,
  key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
  request_hash bytea NOT NULL,
  status smallint NOT NULL,
  body bytea NOT NULL,
  created_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (scope, key)
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
  scope: string;
  key: string;
  /** Method, path and body as received. */
  request: Buffer | string;
  /** Uses the client that it is given, so that it commits together with its answer; the rest goes through an outbox. */
  effect: (client: PoolClient) => Promise<Answer>;
}

/** Run `effect` once for (scope, key) and return its answer, or the stored one. */
export function runOnce(pool: Pool, { scope, key, request, effect }: Call): Promise<Answer & { replayed: boolean }> {
  const hash = createHash("sha256").update(request).digest();
  return transaction(pool, async (client) => {
    const lock = await client.query<{ ok: boolean }>(
      "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0)) AS ok",
      [`${scope.length}:${scope}:${key}`],
    );
    if (!lock.rows[0]?.ok) throw new InProgress(key);
    const found = await client.query<{ request_hash: Buffer; status: number; body: Buffer }>(
      "SELECT request_hash, status, body FROM idempotency_key WHERE scope = $1 AND key = $2",
      [scope, key],
    );
    const stored = found.rows[0];
    if (stored) {
      if (!stored.request_hash.equals(hash)) throw new Mismatch(key);
      return { status: stored.status, body: stored.body, replayed: true };
    }
    const answer = await effect(client);
    await client.query(
      "INSERT INTO idempotency_key (scope, key, request_hash, status, body) VALUES ($1, $2, $3, $4, $5)",
      [scope, key, hash, answer.status, answer.body],
    );
    return { ...answer, replayed: false };
  });
}
