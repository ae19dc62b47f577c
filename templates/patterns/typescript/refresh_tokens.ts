/**
 * Refresh tokens on PostgreSQL: opaque, stored hashed, rotated at each use, the family revoked on reuse.
 *
 * Guarantees: a token works once; of concurrent uses of one token exactly one gets the successor, the others within
 *   `graceMs` get `Superseded` (browsers do race, and one that waited for a slow transaction counts from when it came); a
 *   use after that revokes the whole family, the thief's and the victim's tokens alike; a revocation also ends the successor
 *   of a rotation that runs beside it; nothing outlives `absoluteMs`.
 * Needs: pg >= 8.11, PostgreSQL >= 11, the tables of `SCHEMA`, transaction.ts. Check that the user may still log in.
 * Fails: `Superseded` (the client uses the successor it already has), `Invalid` (401: log in again), `Reused` (401, a
 *   subclass of `Invalid`: log in again, and tell somebody).
 * Fit: times are parameters. With one exception of the project's:
 *     const { subject, token } = await rotate(pool, old, { graceMs: 2_000 }).catch((error: unknown) => {
 *       throw error instanceof Invalid || error instanceof Superseded ? new Denied() : error;
 *     });
 *   Your session table can be the family: replace the words `refresh_family`, `refresh_token` and `subject` here and in the
 *   proof; the column may have another type.
 * Prove: npm test   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
 *
 * RFC 9700, section 4.14.2. The token is 256 random bits, so a plain SHA-256 is enough: there is nothing to guess.
 * Used tokens stay until their family ends, to be recognised: DELETE FROM refresh_family WHERE expires_at < now().
 */
import { createHash, randomBytes } from "node:crypto";
import type { Pool } from "pg";
import { transaction } from "./transaction.js";

export const SCHEMA = `
CREATE TABLE refresh_family (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  subject text NOT NULL,
  expires_at timestamptz NOT NULL
);
CREATE INDEX refresh_family_subject ON refresh_family (subject);
CREATE INDEX refresh_family_expires_at ON refresh_family (expires_at);
CREATE TABLE refresh_token (
  hash bytea PRIMARY KEY,
  family bigint NOT NULL REFERENCES refresh_family (id) ON DELETE CASCADE,
  used_at timestamptz,
  expires_at timestamptz NOT NULL
);
CREATE INDEX refresh_token_family ON refresh_token (family);
`;

const DAY = 86_400_000;
/** After so long without a statement the server takes the process for lost and frees its locks. */
const FROZEN = { idleMs: 10_000 };

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
  { idleMs = 14 * DAY, absoluteMs = 90 * DAY }: { idleMs?: number; absoluteMs?: number } = {},
): Promise<Issued> {
  const token = newToken();
  await pool.query(
    `WITH begun AS (
       INSERT INTO refresh_family (subject, expires_at)
       VALUES ($2, now() + make_interval(secs => $4::float8)) RETURNING id, expires_at
     )
     INSERT INTO refresh_token (hash, family, expires_at)
     SELECT $1, id, least(now() + make_interval(secs => $3::float8), expires_at) FROM begun`,
    [sha256(token), subject, idleMs / 1000, absoluteMs / 1000],
  );
  return { token, subject };
}

/** Use up `token` and return its successor. A revocation is committed before `Reused` is thrown. */
export async function rotate(
  pool: Pool,
  token: string,
  { idleMs = 14 * DAY, graceMs = 10_000 }: { idleMs?: number; graceMs?: number } = {},
): Promise<Issued> {
  const successor = newToken();
  const outcome = await transaction(pool, async (client): Promise<Issued | Error> => {
    // The family is locked before its tokens, as revocations do: one that comes meanwhile waits and takes the successor
    // along; one that came first leaves nothing to rotate.
    const locked = await client.query<{ id: string; subject: string }>(
      `SELECT family.id, family.subject
       FROM refresh_family AS family JOIN refresh_token ON refresh_token.family = family.id
       WHERE refresh_token.hash = $1 FOR UPDATE OF family`,
      [sha256(token)],
    );
    const family = locked.rows[0];
    if (!family) return new Invalid("unknown");
    // A statement of its own, because only then it sees what was committed while the lock was awaited.
    const used = await client.query(
      `UPDATE refresh_token SET used_at = clock_timestamp()
       WHERE hash = $1 AND used_at IS NULL AND expires_at > clock_timestamp()`,
      [sha256(token)],
    );
    if (used.rowCount) {
      await client.query(
        `INSERT INTO refresh_token (hash, family, expires_at)
         SELECT $1, id, least(now() + make_interval(secs => $2), expires_at) FROM refresh_family WHERE id = $3`,
        [sha256(successor), idleMs / 1000, family.id],
      );
      return { token: successor, subject: family.subject };
    }
    // now() is when this transaction began: who came while the winner was at work is no thief, however long it waited.
    const found = await client.query<{ used: boolean; recent: boolean | null }>(
      "SELECT used_at IS NOT NULL AS used, used_at > now() - make_interval(secs => $1) AS recent FROM refresh_token WHERE hash = $2",
      [graceMs / 1000, sha256(token)],
    );
    const row = found.rows[0];
    if (!row?.used) return new Invalid("expired or revoked");
    if (row.recent) return new Superseded("rotated a moment ago");
    await client.query("DELETE FROM refresh_family WHERE id = $1", [family.id]);
    return new Reused("used before");
  }, FROZEN);
  if (outcome instanceof Error) throw outcome;
  return outcome;
}

/** Log out: end the token's family. An unknown token is no error, so that nothing is learnt from it. */
export async function revoke(pool: Pool, token: string): Promise<void> {
  // In a transaction for its isolation level: from repeatable read on it would fail beside a rotation.
  await transaction(
    pool,
    (client) =>
      client.query("DELETE FROM refresh_family WHERE id = (SELECT family FROM refresh_token WHERE hash = $1)", [sha256(token)]),
    FROZEN,
  );
}

/** End every family of `subject`: after a password change, a lock-out, a stolen device. */
export async function revokeAll(pool: Pool, subject: string): Promise<void> {
  await transaction(
    pool,
    (client) =>
      client.query(
        `WITH locked AS (SELECT id FROM refresh_family WHERE subject = $1 ORDER BY id FOR UPDATE)
         DELETE FROM refresh_family WHERE id IN (SELECT id FROM locked)`,
        [subject],
      ),
    FROZEN,
  );
}
