/**
 * Advisory lock on PostgreSQL for one job at a time (migrations, schedulers), polled, never waited for.
 *
 * Guarantees: at most one holder for a name in the database; the lock ends with its connection, so a holder that dies
 *   frees it at once. Polling instead of waiting cannot deadlock with CREATE INDEX CONCURRENTLY.
 * Needs: pg >= 8.11, PostgreSQL >= 11, a direct connection: a session lock does not survive a pooler in transaction mode.
 * Fails: `Busy` after `waitMs`; a connection that breaks makes the work's next statement fail. A holder that freezes keeps
 *   the lock as long as its connection lives: alert on it, and let the server notice lost hosts (tcp_keepalives_idle = 30).
 * Prove: npm test   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
 */
import type { Pool, PoolClient } from "pg";

export class Busy extends Error {}

/** Hold `name` while `work` runs on the connection that holds the lock. */
export async function withAdvisoryLock<T>(
  pool: Pool,
  name: string,
  work: (client: PoolClient) => Promise<T>,
  { waitMs = 0 }: { waitMs?: number } = {},
): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  const onError = (error: Error): void => {
    broken = error;
  };
  client.on("error", onError);
  try {
    const deadline = performance.now() + waitMs;
    for (;;) {
      // hashtextextended: 64 bits; hashtext's 32 collide among some ten thousand names.
      const { rows } = await client.query<{ ok: boolean }>("SELECT pg_try_advisory_lock(hashtextextended($1, 0)) AS ok", [name]);
      if (rows[0]?.ok) break;
      const left = deadline - performance.now();
      if (left <= 0) throw new Busy(name);
      await new Promise((resolve) => setTimeout(resolve, Math.min(50 + Math.random() * 150, left)));
    }
    try {
      return await work(client);
    } finally {
      await client.query("SELECT pg_advisory_unlock(hashtextextended($1, 0))", [name]).catch((error: Error) => {
        broken = error; // a connection that cannot unlock, or is in a failed transaction, must not go back to the pool
      });
    }
  } finally {
    client.off("error", onError);
    client.release(broken);
  }
}
