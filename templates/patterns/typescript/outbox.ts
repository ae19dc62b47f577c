/**
 * Transactional outbox on PostgreSQL, with its relay.
 *
 * Guarantees: an event is published if and only if the transaction that wrote it commits; at least once; for one key in
 *   the order in which its transactions committed, also with many relays and across their crashes.
 * Needs: pg >= 8.11, PostgreSQL >= 11, the table of `SCHEMA`, transaction.ts. Transactions on one key must be serialised
 *   by the row that the key names (update or lock the aggregate before `enqueue`).
 * Fails: while publishing fails a key's later events wait and other keys go on; nothing is dropped. Consumers see repeats
 *   after a crash (same `id`), so they must be idempotent: see inbox.ts.
 * Fit: a table of yours with another name or more columns: change `SCHEMA` and the three statements. CloudEvents, Kafka or
 *   NATS: `publish` maps an event to the broker's message.
 * Prove: npm test   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
 *
 * Rows are found by being there, never by `id > last seen`: ids are given before commit, so a smaller one can appear later.
 */
import { randomUUID } from "node:crypto";
import type { Pool, PoolClient } from "pg";
import { transaction } from "./transaction.js";

export const SCHEMA = `
CREATE TABLE outbox (
  position bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  id uuid NOT NULL,
  key text NOT NULL,
  type text NOT NULL,
  payload json NOT NULL, -- jsonb refuses \\u0000
  headers json NOT NULL DEFAULT '{}',
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX outbox_key_position ON outbox (key, position);
`;

/** `id` is the consumers' handle for repeats; `key` names the aggregate and so the unit of order. */
export interface OutboxEvent {
  id: string;
  key: string;
  type: string;
  payload: unknown;
  headers: Record<string, string>;
}

/** Write an event in the caller's open transaction and return its id; put `traceparent` into `headers`. */
export async function enqueue(
  client: PoolClient,
  event: { key: string; type: string; payload: unknown; headers?: Record<string, string> },
): Promise<string> {
  const id = randomUUID();
  await client.query("INSERT INTO outbox (id, key, type, payload, headers) VALUES ($1, $2, $3, $4, $5)", [
    id,
    event.key,
    event.type,
    JSON.stringify(event.payload),
    JSON.stringify(event.headers ?? {}),
  ]);
  return id;
}

/**
 * Publish up to `batch` waiting events and return how many went out; call it again at once while that is `batch`.
 * `publish` resolves when the broker has confirmed, within `idleMs`: after them the relay counts as lost, and the server ends
 * its connection. The oldest event of a key is locked with SKIP LOCKED, so that two relays never work on one key at a time.
 * Rejects with what `publish` rejected with first; that event and the rest of its key stay, other keys were sent.
 */
export async function relayOnce(
  pool: Pool,
  publish: (event: OutboxEvent) => Promise<void>,
  batch = 100,
  idleMs = 30_000,
): Promise<number> {
  const failed = new Map<string, unknown>();
  let sent = 0;
  while (sent + failed.size < batch) {
    const found = await transaction(
      pool,
      async (client) => {
        const { rows } = await client.query<OutboxEvent & { position: string }>(
          `SELECT position, id, key, type, payload, headers FROM outbox AS o
           WHERE NOT EXISTS (SELECT FROM outbox AS e WHERE e.key = o.key AND e.position < o.position)
           AND key <> ALL($1::text[])
           ORDER BY position LIMIT 1 FOR UPDATE SKIP LOCKED`,
          [[...failed.keys()]],
        );
        const row = rows[0];
        if (!row) return false;
        const { position, ...event } = row;
        try {
          await publish(event);
        } catch (error) {
          failed.set(event.key, error);
          return true;
        }
        await client.query("DELETE FROM outbox WHERE position = $1", [position]);
        sent++;
        return true;
      },
      { idleMs },
    );
    if (!found) break;
  }
  for (const error of failed.values()) throw error;
  return sent;
}
