/**
 * Refresh tokens on PostgreSQL: opaque, stored hashed, rotated at each use, the family revoked on reuse.
 *
 * Guarantees: a token works once; of concurrent uses of one token exactly one gets the successor, the others, and those of the
 *   next `graceMs`, get `Superseded` (browsers do race; a use counts from when it reached the server, however long it waited
 *   there); a later use revokes the whole family, the thief's and the victim's tokens alike; a revocation also ends the
 *   successor of a rotation that runs beside it. Each call is one statement that commits by itself (reuse: two), whatever the
 *   isolation level: no process that stops holds a lock.
 * Needs: pg >= 8.11, PostgreSQL >= 11, the tables of `SCHEMA`. Check that the user may still log in before you answer.
 * Fails: `Superseded` (the client uses the successor it already has), `Invalid` (401: log in again), `Reused` (401, a
 *   subclass of `Invalid`: log in again, and tell somebody).
 * Fit: times are parameters; `idleMs` and `absoluteMs` may be null: never. With one exception of the project's:
 *     const { subject, token } = await rotate(pool, old, { graceMs: 2_000 }).catch((error: unknown) => {
 *       throw error instanceof Invalid || error instanceof Superseded ? new Denied() : error;
 *     });
 *   Your session table can be the family: replace the words `refresh_family`, `refresh_token` and `subject` here and in the
 *   proof; the column may have another type. Tokens that are stored as they are go on working when the old code is stopped
 *   first (it would rotate rows that are copied already) and a migration takes them over:
 *     WITH old AS (SELECT token, user_id, nextval(pg_get_serial_sequence('refresh_family', 'id')) AS id FROM session),
 *     family AS (INSERT INTO refresh_family OVERRIDING SYSTEM VALUE SELECT id, user_id, 'infinity' FROM old)
 *     INSERT INTO refresh_token SELECT sha256(convert_to(token, 'UTF8')), id, NULL, 'infinity' FROM old;
 * Prove: npm test   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
 *
 * RFC 9700, section 4.14.2. The token is 256 random bits, so a plain SHA-256 is enough: there is nothing to guess.
 * Lock order: the family's row, then its tokens', here (FOR UPDATE OF takes them as listed) and in revocations (a DELETE locks
 * before it cascades). In READ COMMITTED a locked row is returned as it is after the wait.
 * Used tokens stay until their family ends, to be recognised: a row for each refresh. Purge what expired a day ago (no rotation
 * is under way any more): DELETE FROM refresh_family AS f WHERE NOT EXISTS
 * (SELECT FROM refresh_token WHERE family = f.id AND expires_at > now() - interval '1 day');
 */
import { createHash, randomBytes } from "node:crypto";
import type { Pool, QueryResult } from "pg";

export const SCHEMA = `
CREATE TABLE refresh_family (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  subject text NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE INDEX refresh_family_subject ON refresh_family (subject);
CREATE TABLE refresh_token (
  hash bytea PRIMARY KEY,
  family bigint NOT NULL REFERENCES refresh_family (id) ON DELETE CASCADE,
  used_at timestamptz,
  expires_at timestamptz NOT NULL
);
CREATE INDEX refresh_token_family ON refresh_token (family);
`;

const ISSUE = `
WITH begun AS (
  INSERT INTO refresh_family (subject, expires_at)
  VALUES ($2, coalesce(now() + make_interval(secs => $4::float8 / 1000), 'infinity')) RETURNING id, expires_at
)
INSERT INTO refresh_token (hash, family, expires_at)
SELECT $1, id, least(now() + make_interval(secs => $3::float8 / 1000), expires_at) FROM begun`;

const ROTATE = `
WITH found AS (
  SELECT family.id, family.subject, family.expires_at AS ends, token.expires_at, token.used_at
  FROM refresh_family AS family JOIN refresh_token AS token ON token.family = family.id
  WHERE token.hash = $1 FOR UPDATE OF family, token
), used AS (
  UPDATE refresh_token SET used_at = clock_timestamp() FROM found
  WHERE hash = $1 AND found.used_at IS NULL AND found.expires_at > clock_timestamp()
  RETURNING found.id, found.ends
), issued AS (
  INSERT INTO refresh_token (hash, family, expires_at)
  SELECT $2, id, least(now() + make_interval(secs => $3::float8 / 1000), ends) FROM used RETURNING family
)
SELECT subject, extract(epoch FROM statement_timestamp() - used_at)::float8 * 1000 - $4::float8 AS ms
FROM found WHERE used_at IS NOT NULL OR EXISTS (SELECT FROM issued)`;

const END_FAMILY = "DELETE FROM refresh_family WHERE id = (SELECT family FROM refresh_token WHERE hash = $1)";

const END_FAMILIES = `
WITH locked AS (SELECT id FROM refresh_family WHERE subject = $1 ORDER BY id FOR UPDATE)
DELETE FROM refresh_family WHERE id IN (SELECT id FROM locked)`;

const DAY = 86_400_000;

export class Invalid extends Error {}
export class Reused extends Invalid {}
export class Superseded extends Error {}

/** `token` goes to the client and is not kept here. */
export interface Issued {
  token: string;
  subject: string;
}

const sha256 = (token: string): Buffer => createHash("sha256").update(token).digest();
const newToken = (): string => randomBytes(32).toString("base64url");

/** Begin a family after a login; it ends after `absoluteMs`, or `idleMs` without use. */
export async function issue(
  pool: Pool,
  subject: string,
  { idleMs = 14 * DAY, absoluteMs = 90 * DAY }: { idleMs?: number | null; absoluteMs?: number | null } = {},
): Promise<Issued> {
  const token = newToken();
  await run(() => pool.query(ISSUE, [sha256(token), subject, idleMs, absoluteMs]));
  return { token, subject };
}

/** Use up `token` and return its successor. A revocation is committed before `Reused` is thrown. */
export async function rotate(
  pool: Pool,
  token: string,
  { idleMs = 14 * DAY, graceMs = 10_000 }: { idleMs?: number | null; graceMs?: number } = {},
): Promise<Issued> {
  const successor = newToken();
  const { rows } = await run((waitedMs) =>
    pool.query<{ subject: string; ms: number | null }>(ROTATE, [sha256(token), sha256(successor), idleMs, waitedMs]),
  );
  const [found] = rows;
  if (!found) throw new Invalid("unknown, expired or revoked");
  if (found.ms === null) return { token: successor, subject: found.subject };
  if (found.ms <= graceMs) throw new Superseded("rotated a moment ago");
  await revoke(pool, token);
  throw new Reused("used before");
}

/** Log out: end the token's family. An unknown token is no error, so that nothing is learnt from it. */
export async function revoke(pool: Pool, token: string): Promise<void> {
  await run(() => pool.query(END_FAMILY, [sha256(token)]));
}

/** End every family of `subject`: after a password change, a lock-out, a stolen device. */
export async function revokeAll(pool: Pool, subject: string): Promise<void> {
  await run(() => pool.query(END_FAMILIES, [subject]));
}

/** Run a statement; again when it could not see what was committed beside it. `waitedMs` is how long that took. */
async function run<T extends QueryResult>(statement: (waitedMs: number) => Promise<T>): Promise<T> {
  const began = performance.now();
  for (;;) {
    try {
      return await statement(performance.now() - began);
    } catch (error) {
      const { code } = error as { code?: unknown };
      if (code !== "40001" && code !== "40P01") throw error;
    }
  }
}
