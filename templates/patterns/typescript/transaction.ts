/**
 * One transaction on one connection of a pool.
 *
 * Guarantees: READ COMMITTED, whatever the defaults of server and role; COMMIT after `work` returns, ROLLBACK after it
 *   throws; a connection whose ROLLBACK fails, or that broke, does not go back to the pool; the locks of a process that
 *   freezes, or whose host is lost, are free after `idleMs` without a statement.
 * Needs: pg >= 8.11. Never `pool.query("BEGIN")`: each pool.query may take another connection.
 * Fails: what `work` throws is thrown; a COMMIT that fails rejects, also one that rolled back because `work` swallowed
 *   the error of a statement.
 * Prove: npm test   (the proofs of idempotency, outbox, inbox and the others run on it)
 */
import type { Pool, PoolClient } from "pg";

export async function transaction<T>(
  pool: Pool,
  work: (client: PoolClient) => Promise<T>,
  { idleMs = 30_000 }: { idleMs?: number } = {},
): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  // Without a listener the error of a connection that the server ends would end the process.
  const onError = (error: Error): void => {
    broken = error;
  };
  client.on("error", onError);
  try {
    await client.query(
      `BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL idle_in_transaction_session_timeout = ${Math.round(idleMs)}`,
    );
    const result = await work(client);
    const { command } = await client.query("COMMIT");
    if (command !== "COMMIT") throw new Error("rolled back: a statement had failed, and its error was swallowed");
    return result;
  } catch (error) {
    await client.query("ROLLBACK").catch((failure: Error) => {
      broken = failure;
    });
    throw error;
  } finally {
    client.off("error", onError);
    client.release(broken);
  }
}
