/**
 * ETags and conditional requests, and the one statement that loses no update.
 *
 * Guarantees: `If-Match` is compared strongly, `If-None-Match` weakly (RFC 9110, 13.1.1 and 13.1.2), lists and `*`
 *   included; `conditionalUpdate` writes only on the version that the client saw, in a single statement.
 * Needs: a column `version int NOT NULL` on the row; pg >= 8.11.
 * Fails: `PreconditionFailed` (412), `PreconditionRequired` (428), `BadHeader` (400).
 * Prove: npm test   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
 */
import pg, { escapeIdentifier, type ClientBase, type Pool } from "pg";

const TAG = String.raw`(?:W/)?"[\x21\x23-\x7e\x80-\xff]*"`;
const TAGS = new RegExp(String.raw`^[ \t,]*${TAG}(?:[ \t]*,[ \t,]*${TAG})*[ \t,]*$`);

export class PreconditionFailed extends Error {}
export class PreconditionRequired extends Error {}
export class BadHeader extends Error {}

/** The strong entity tag of a version. */
export const etag = (version: number): string => `"${version}"`;

function parse(header: string): string[] | "*" {
  if (header.trim() === "*") return "*";
  if (header.length > 4096 || !TAGS.test(header)) throw new BadHeader("expected * or a list of quoted entity tags");
  return header.match(new RegExp(TAG, "g")) ?? [];
}

/** Whether a GET is answered with 304. */
export function notModified(ifNoneMatch: string | undefined, version: number): boolean {
  if (ifNoneMatch === undefined) return false;
  const tags = parse(ifNoneMatch);
  return tags === "*" || tags.some((tag) => tag.replace(/^W\//, "") === etag(version));
}

/** The versions that a write may replace; undefined means any. */
export function expectedVersions(ifMatch: string | undefined, { required = true } = {}): number[] | undefined {
  if (ifMatch === undefined) {
    if (required) throw new PreconditionRequired("send If-Match with the ETag that you read");
    return undefined;
  }
  const tags = parse(ifMatch);
  // Weak tags never match strongly; tags that are not ours match nothing. Nine digits fit an int.
  return tags === "*" ? undefined : tags.filter((tag) => /^"\d{1,9}"$/.test(tag)).map((tag) => Number(tag.slice(1, -1)));
}

/**
 * Set `values` (columns from your code, never from the request's keys) and resolve to the new version. `table` may be
 * `schema.table`. Given a client, it is a part of the transaction that is open there.
 */
export async function conditionalUpdate(
  client: ClientBase | Pool,
  table: string,
  id: unknown,
  values: Record<string, unknown>,
  versions: number[] | undefined,
): Promise<number> {
  const assignments = Object.keys(values).map((column, index) => `${escapeIdentifier(column)} = $${index + 3}`);
  const sql = `UPDATE ${table.split(".").map(escapeIdentifier).join(".")} SET ${[...assignments, "version = version + 1"].join(", ")}
     WHERE id = $1 AND ($2::int[] IS NULL OR version = ANY($2)) RETURNING version`;
  for (;;) {
    try {
      const { rows } = await client.query<{ version: number }>(sql, [id, versions ?? null, ...Object.values(values)]);
      if (!rows[0]) throw new PreconditionFailed(`${table} ${String(id)} has changed or is gone`);
      return rows[0].version;
    } catch (error) {
      // Where the default is repeatable read, and another writer was first, a statement of its own is repeated.
      if (!(client instanceof pg.Pool && (error as { code?: string }).code === "40001")) throw error;
    }
  }
}
