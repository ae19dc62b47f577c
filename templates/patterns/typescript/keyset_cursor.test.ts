import assert from "node:assert/strict";
import { test } from "node:test";
import { BadCursor, decodeCursor, encodeCursor } from "./keyset_cursor.js";
import { withSchema } from "./proof.js";

const SECRET = Buffer.alloc(32, "s");
const DDL = `
CREATE TABLE item (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, created_at timestamptz NOT NULL DEFAULT now());
CREATE INDEX ON item (created_at, id);
INSERT INTO item (created_at) SELECT now() FROM generate_series(1, 300);`;

test("rows of one transaction are each seen once while others come and go", () =>
  withSchema(DDL, async (pool) => {
    const query = { sort: "-createdAt", filters: {} };
    const seen: number[] = [];
    let cursor: string | undefined;
    do {
      const after = cursor ? decodeCursor(SECRET, query, cursor) : undefined;
      const { rows } = await pool.query<{ id: string; at: string }>(
        `SELECT id, created_at::text AS at FROM item
         WHERE $1::timestamptz IS NULL OR (created_at, id) < ($1::timestamptz, $2::bigint)
         ORDER BY created_at DESC, id DESC LIMIT 8`,
        [after?.value, after?.id],
      );
      const page = rows.slice(0, 7);
      const last = page.at(-1)!;
      cursor = rows.length > 7 ? encodeCursor(SECRET, query, { value: last.at, id: last.id }) : undefined;
      seen.push(...page.map((row) => Number(row.id)));
      await pool.query("INSERT INTO item DEFAULT VALUES");
      await pool.query("DELETE FROM item WHERE id = $1", [page[0]!.id]);
    } while (cursor);
    assert.deepEqual(seen, Array.from({ length: 300 }, (_, n) => 300 - n));
  }));

test("cursors of another query, secret or with an altered byte are refused, and so is garbage", () => {
  const query = { sort: "name", filters: { role: "admin" } };
  const cursor = encodeCursor(SECRET, query, { value: "a", id: "1" });
  assert.deepEqual(decodeCursor(SECRET, query, cursor), { value: "a", id: "1" });
  assert.throws(() => decodeCursor(SECRET, { ...query, sort: "-name" }, cursor), BadCursor);
  assert.throws(() => decodeCursor(SECRET, { ...query, filters: {} }, cursor), BadCursor);
  assert.throws(() => decodeCursor(Buffer.alloc(32, "t"), query, cursor), BadCursor);
  const raw = Buffer.from(cursor, "base64url");
  for (let index = 0; index < raw.length; index++) {
    const changed = Buffer.from(raw);
    changed[index]! ^= 1;
    assert.throws(() => decodeCursor(SECRET, query, changed.toString("base64url")), BadCursor);
  }
  for (const garbage of ["", "a", "%%%", "ü", "A".repeat(5000)]) assert.throws(() => decodeCursor(SECRET, query, garbage), BadCursor);
});

test("long values come back, and longer ones are refused where they are made", () => {
  const query = { sort: "name", filters: {} };
  for (const value of ["x".repeat(2900), "\u540d".repeat(950)]) {
    assert.deepEqual(decodeCursor(SECRET, query, encodeCursor(SECRET, query, { value, id: "1" })), { value, id: "1" });
    assert.throws(() => encodeCursor(SECRET, query, { value: value.repeat(2), id: "1" }), /something shorter/);
  }
});
