/**
 * Refresh tokens on PostgreSQL: opaque, stored hashed, rotated at each use, the family revoked on reuse.
 *
 * Guarantees: a token works once; of concurrent uses of one token exactly one gets the successor, the others within
 *   `graceMs` get `Superseded` (browsers do race); a use after that revokes the whole family, the thief's and the
 *   victim's tokens alike; nothing outlives `absoluteMs`.
 * Needs: pg >= 8.11, PostgreSQL >= 13, the table of `SCHEMA`, transaction.ts. Check that the user may still log in.
 * Fails: `Superseded` (the client uses the successor it already has), `Invalid` (401: log in again), `Reused` (401, a
 *   subclass of `Invalid`: log in again, and tell somebody).
 * Prove: npm test   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
 *
 * RFC 9700, section 4.14.2. The token is 256 random bits, so a plain SHA-256 is enough: there is nothing to guess.
 */
import { createHash, randomBytes } from "node:crypto";
import type { Pool } from "pg";
import { transaction } from "./transaction.js";

export const SCHEMA = `
CREATE TABLE refresh_token (
  hash bytea PRIMARY KEY,
  family uuid NOT NULL,
  subject text NOT NULL,
  used_at timestamptz,
  expires_at timestamptz NOT NULL,
  family_expires_at timestamptz NOT NULL
);
CREATE INDEX refresh_token_family ON refresh_token (family);
CREATE INDEX refresh_token_subject ON refresh_token (subject);
CREATE INDEX refresh_token_family_expires_at ON refresh_token (family_expires_at);
`;

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
  { idleMs = 14 * DAY, absoluteMs = 90 * DAY }: { idleMs?: number; absoluteMs?: number } = {},
): Promise<Issued> {
  const token = newToken();
  await pool.query(
    `INSERT INTO refresh_token (hash, family, subject, expires_at, family_expires_at)
     VALUES ($1, gen_random_uuid(), $2, now() + make_interval(secs => least($3::float8, $4::float8)), now() + make_interval(secs => $4::float8))`,
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
    // One statement decides the race: of all that see used_at IS NULL, one updates, the others wait and see it set.
    const used = await client.query<{ subject: string }>(
      `UPDATE refresh_token SET used_at = clock_timestamp()
       WHERE hash = $1 AND used_at IS NULL AND expires_at > clock_timestamp() RETURNING subject`,
      [sha256(token)],
    );
    if (used.rows[0]) {
      await client.query(
        `INSERT INTO refresh_token (hash, family, subject, expires_at, family_expires_at)
         SELECT $1, family, subject, least(now() + make_interval(secs => $2), family_expires_at), family_expires_at
         FROM refresh_token WHERE hash = $3`,
        [sha256(successor), idleMs / 1000, sha256(token)],
      );
      return { token: successor, subject: used.rows[0].subject };
    }
    const found = await client.query<{ family: string; recent: boolean | null; used: boolean }>(
      `SELECT family, used_at > clock_timestamp() - make_interval(secs => $1) AS recent, used_at IS NOT NULL AS used
       FROM refresh_token WHERE hash = $2`,
      [graceMs / 1000, sha256(token)],
    );
    const row = found.rows[0];
    if (!row?.used) return new Invalid("unknown or expired");
    if (row.recent) return new Superseded("rotated a moment ago");
    await client.query("DELETE FROM refresh_token WHERE family = $1", [row.family]);
    return new Reused("used before");
  });
  if (outcome instanceof Error) throw outcome;
  return outcome;
}

/** Log out: end the token's family. An unknown token is no error, so that nothing is learnt from it. */
export async function revoke(pool: Pool, token: string): Promise<void> {
  await pool.query("DELETE FROM refresh_token WHERE family = (SELECT family FROM refresh_token WHERE hash = $1)", [sha256(token)]);
}

/** End every family of `subject`: after a password change, a lock-out, a stolen device. */
export async function revokeAll(pool: Pool, subject: string): Promise<void> {
  await pool.query("DELETE FROM refresh_token WHERE subject = $1", [subject]);
}
