/**
 * Idempotent consumer on PostgreSQL: an event's effect and the note that it happened commit together.
 *
 * Guarantees: for one (consumer, event id) the effect happens once, whatever the broker repeats and whenever a process
 *   dies or freezes; an event that fails `attempts` times is set aside in `inbox_dead` with its last error, so that it cannot
 *   block the ones behind it, whatever its id or error holds.
 * Needs: pg >= 8.11, PostgreSQL >= 9.6, the tables of `SCHEMA`, transaction.ts.
 * Fails: a failure of the effect is counted and rejects with `Retry`: do not acknowledge, let the broker deliver again.
 *   Effects outside the database belong into an outbox row written by the effect.
 * Fit: the effect may call enqueue of outbox.ts on its client. Tables with other names: replace the words `inbox`,
 *   `inbox_failure` and `inbox_dead` in the SQL.
 * Prove: npm test   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
 *
 * Acknowledge after `consume` resolves, whatever it says. Delete rows older than the broker's longest redelivery.
 */
import { createHash } from "node:crypto";
import type { Pool, PoolClient } from "pg";
import { transaction } from "./transaction.js";

export const SCHEMA = `
CREATE TABLE inbox (
  consumer text NOT NULL, event_id text NOT NULL, done_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, event_id)
);
CREATE TABLE inbox_failure (
  consumer text NOT NULL, event_id text NOT NULL, attempts int NOT NULL,
  PRIMARY KEY (consumer, event_id)
);
CREATE TABLE inbox_dead (
  consumer text NOT NULL, event_id text NOT NULL, body bytea NOT NULL, error text NOT NULL,
  failed_at timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (consumer, event_id)
);
`;

export class Retry extends Error {}
export type Result = "done" | "duplicate" | "dead";

export interface Delivery {
  consumer: string;
  eventId: string;
  body: Buffer;
  effect: (client: PoolClient) => Promise<void>;
  attempts?: number;
  /** An effect that says nothing to the database for so long counts as lost. */
  idleMs?: number;
}

const NOTE = "INSERT INTO inbox (consumer, event_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";

/** Have the effect of one delivery once. */
export async function consume(pool: Pool, { consumer, eventId, body, effect, attempts = 5, idleMs = 30_000 }: Delivery): Promise<Result> {
  const identity = [consumer, storable(eventId)];
  try {
    return await transaction(pool, async (client) => {
      // Two deliveries at once: the second waits here until the first commits or rolls back.
      const noted = await client.query(NOTE, identity);
      if (noted.rowCount === 0) return "duplicate";
      await effect(client);
      await client.query("DELETE FROM inbox_failure WHERE consumer = $1 AND event_id = $2", identity);
      return "done";
    }, { idleMs });
  } catch (cause) {
    const result = await transaction(pool, async (client): Promise<Result | undefined> => {
      const { rows } = await client.query<{ attempts: number }>(
        `INSERT INTO inbox_failure AS f (consumer, event_id, attempts) VALUES ($1, $2, 1)
         ON CONFLICT (consumer, event_id) DO UPDATE SET attempts = f.attempts + 1 RETURNING attempts`,
        identity,
      );
      if (rows[0]!.attempts < attempts) return undefined;
      const noted = await client.query(NOTE, identity);
      if (noted.rowCount === 0) return "duplicate"; // another delivery of it has succeeded meanwhile
      const error = String(cause).slice(0, 1000).replaceAll("\0", "");
      await client.query("INSERT INTO inbox_dead (consumer, event_id, body, error) VALUES ($1, $2, $3, $4)", [...identity, body, error]);
      return "dead";
    });
    if (result) return result;
    throw new Retry(eventId, { cause });
  }
}

/** The id, or its hash where it is longer than an index takes or holds what a text may not. */
function storable(eventId: string): string {
  if (eventId.length <= 255 && !/[\p{Cc}\p{Cs}]/u.test(eventId)) return eventId;
  return `sha256:${createHash("sha256").update(eventId, "utf16le").digest("hex")}`;
}
