/**
 * Job queue on PostgreSQL: SKIP LOCKED, leases, attempts, dead jobs.
 *
 * Guarantees: a job that was enqueued by a committed transaction is run at least once; by one worker at a time while its
 *   lease holds; a worker that dies loses its job after the lease; a job that failed `maxAttempts` times is kept as dead.
 *   Finishing needs the lease, so a worker that was too slow cannot overwrite the next.
 * Needs: pg >= 8.11, PostgreSQL >= 13, the table of `SCHEMA`. Jobs must be idempotent (at least once). `claim` commits, so it
 *   wants the pool; the others take the pool, or a client in a transaction of yours.
 * Fails: `complete`, `fail` and `extend` resolve to false when the lease was lost: throw the result away.
 * Fit: a table of yours with another name or more columns: change `SCHEMA` and the SQL, nothing else knows them.
 * Prove: npm test   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
 *
 * Failed jobs come back after baseMs * 2^attempts with full jitter. Alert on dead jobs and on the oldest ready one.
 */
import pg, { type ClientBase, type Pool, type QueryResult, type QueryResultRow } from "pg";

export const SCHEMA = `
CREATE TABLE job (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  queue text NOT NULL,
  payload json NOT NULL, -- jsonb refuses \\u0000
  state text NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'dead')),
  run_at timestamptz NOT NULL DEFAULT now(),
  attempts int NOT NULL DEFAULT 0,
  max_attempts int NOT NULL DEFAULT 5,
  lease_id uuid,
  last_error text,
  created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX job_ready ON job (queue, run_at, id) WHERE state = 'ready';
`;

// The lease is run_at moved into the future, so that one index serves new, delayed and abandoned jobs.
const CLAIM = `
WITH due AS (
  SELECT id FROM job WHERE queue = $1 AND state = 'ready' AND run_at <= clock_timestamp()
  ORDER BY run_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
)
UPDATE job SET
  attempts = attempts + 1,
  lease_id = gen_random_uuid(),
  run_at = clock_timestamp() + make_interval(secs => $2),
  state = CASE WHEN attempts >= max_attempts THEN 'dead' ELSE 'ready' END,
  last_error = CASE WHEN attempts >= max_attempts THEN 'its workers died' ELSE last_error END
FROM due WHERE job.id = due.id
RETURNING job.id, payload, attempts, lease_id AS "leaseId", state
`;

export interface Job {
  id: string;
  payload: unknown;
  attempts: number;
  leaseId: string;
}

type Queryable = ClientBase | Pool;

/** Add a job in the caller's transaction, due in `delayMs`, and return its id. */
export async function enqueue(
  client: Queryable,
  queue: string,
  payload: unknown,
  { delayMs = 0, maxAttempts = 5 }: { delayMs?: number; maxAttempts?: number } = {},
): Promise<string> {
  const { rows } = await client.query<{ id: string }>(
    "INSERT INTO job (queue, payload, max_attempts, run_at) VALUES ($1, $2, $3, now() + make_interval(secs => $4)) RETURNING id",
    [queue, JSON.stringify(payload), maxAttempts, delayMs / 1000],
  );
  return rows[0]!.id;
}

/** Take the oldest due job for `leaseMs`, or undefined; a job whose workers died `maxAttempts` times is dead, not claimed. */
export async function claim(pool: Pool, queue: string, leaseMs = 60_000): Promise<Job | undefined> {
  for (;;) {
    const { rows } = await query<Job & { state: string }>(pool, CLAIM, [queue, leaseMs / 1000]);
    const row = rows[0];
    if (!row) return undefined;
    const { state, ...job } = row;
    if (state === "ready") return job;
  }
}

/** Keep the job for `leaseMs` more; long work calls it at a third of its lease. */
export async function extend(client: Queryable, job: Job, leaseMs = 60_000): Promise<boolean> {
  const done = await query(
    client,
    "UPDATE job SET run_at = clock_timestamp() + make_interval(secs => $1) WHERE id = $2 AND lease_id = $3",
    [leaseMs / 1000, job.id, job.leaseId],
  );
  return done.rowCount === 1;
}

/** Remove the finished job; in one transaction with its effect, if that is in the same database. */
export async function complete(client: Queryable, job: Job): Promise<boolean> {
  const done = await query(client, "DELETE FROM job WHERE id = $1 AND lease_id = $2", [job.id, job.leaseId]);
  return done.rowCount === 1;
}

/** Give the job back, due later, or dead when its attempts are used up. */
export async function fail(
  client: Queryable,
  job: Job,
  error: string,
  { baseMs = 1000, capMs = 600_000 }: { baseMs?: number; capMs?: number } = {},
): Promise<boolean> {
  const delayMs = Math.random() * Math.min(baseMs * 2 ** job.attempts, capMs);
  const done = await query(
    client,
    `UPDATE job SET
       state = CASE WHEN attempts >= max_attempts THEN 'dead' ELSE 'ready' END,
       run_at = clock_timestamp() + make_interval(secs => $1),
       lease_id = NULL,
       last_error = $2
     WHERE id = $3 AND lease_id = $4`,
    [delayMs / 1000, error.slice(0, 1000).replaceAll("\0", ""), job.id, job.leaseId],
  );
  return done.rowCount === 1;
}

/** Where the default is repeatable read, and another one was first, a statement of its own is repeated. */
async function query<R extends QueryResultRow>(on: Queryable, sql: string, values: unknown[]): Promise<QueryResult<R>> {
  for (;;) {
    try {
      return await on.query<R>(sql, values);
    } catch (error) {
      if (!(on instanceof pg.Pool && (error as { code?: string }).code === "40001")) throw error;
    }
  }
}
