/**
 * One transaction on one connection of a pool.
 *
 * Guarantees: COMMIT after `work` returns, ROLLBACK after it throws; a connection whose ROLLBACK fails, or that broke,
 *   does not go back to the pool.
 * Needs: pg >= 8.11. Never `pool.query("BEGIN")`: each pool.query may take another connection.
 * Fails: what `work` throws is thrown; a COMMIT that fails rejects.
 * Prove: npm test   (the proofs of idempotency, outbox, inbox and the others run on it)
 */
import type { Pool, PoolClient } from "pg";

export async function transaction<T>(pool: Pool, work: (client: PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  // Without a listener the error of a connection that the server ends would end the process.
  const onError = (error: Error): void => {
    broken = error;
  };
  client.on("error", onError);
  try {
    await client.query("BEGIN");
    const result = await work(client);
    await client.query("COMMIT");
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
