/**
 * Keyset pagination: an opaque, signed cursor that is bound to its sort and filters.
 *
 * Guarantees: with `WHERE (sort, id) < ($value, $id) ORDER BY sort DESC, id DESC` a row that is there during the whole walk
 *   is seen once, also among equal sort values; a cursor that was altered, made for another sort or filter, or comes from
 *   another version is refused.
 * Needs: Node >= 18; a secret of at least 32 bytes; an index on (sort column, id). Sort columns are NOT NULL, and their
 *   values short: some 3,000 bytes.
 * Fails: `BadCursor` (400).
 * Prove: npm test   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
 *
 * Ask for limit + 1 rows: the extra one says that there is more, and is not returned. Select the sort value as text
 * (created_at::text): a JavaScript Date has milliseconds, PostgreSQL microseconds, and the difference skips rows.
 */
import { createHmac, timingSafeEqual } from "node:crypto";

const VERSION = 1;
const SIGNATURE = 16;
const LONGEST = 4096;

export class BadCursor extends Error {}

/** The last row of a page: its sort value and id, as text that the database can cast back. */
export interface Position {
  value: string;
  id: string;
}

/** `sort` is as the client wrote it (`-createdAt` for descending). */
export interface Query {
  sort: string;
  filters: Record<string, string>;
}

export function encodeCursor(secret: Buffer, query: Query, { value, id }: Position): string {
  const body = Buffer.from(JSON.stringify([VERSION, value, id]));
  const cursor = Buffer.concat([sign(secret, query, body), body]).toString("base64url");
  if (cursor.length > LONGEST) throw new RangeError(`a cursor has at most ${LONGEST} characters: sort by something shorter`);
  return cursor;
}

/** Return the position that `encodeCursor` was given for the same sort and filters; throws `BadCursor`. */
export function decodeCursor(secret: Buffer, query: Query, cursor: string): Position {
  const raw = cursor.length <= LONGEST && /^[\w-]+$/.test(cursor) ? Buffer.from(cursor, "base64url") : Buffer.alloc(0);
  const body = raw.subarray(SIGNATURE);
  if (raw.length <= SIGNATURE || !timingSafeEqual(raw.subarray(0, SIGNATURE), sign(secret, query, body)))
    throw new BadCursor("the cursor does not belong to this query");
  const [version, value, id] = JSON.parse(body.toString()) as [number, string, string];
  if (version !== VERSION) throw new BadCursor("the cursor is from another version");
  return { value, id };
}

function sign(secret: Buffer, { sort, filters }: Query, body: Buffer): Buffer {
  const entries = Object.entries(filters).sort(([a], [b]) => (a < b ? -1 : 1));
  const query = Buffer.from(JSON.stringify([sort, entries]));
  const length = Buffer.alloc(4);
  length.writeUInt32BE(query.length);
  return createHmac("sha256", secret).update(length).update(query).update(body).digest().subarray(0, SIGNATURE);
}
