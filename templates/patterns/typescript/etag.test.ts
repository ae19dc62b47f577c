import assert from "node:assert/strict";
import { test } from "node:test";
import { BadHeader, conditionalUpdate, etag, expectedVersions, notModified, PreconditionFailed, PreconditionRequired } from "./etag.js";
import { isolation, withSchema } from "./proof.js";

test("the header grammar", () => {
  for (const header of ['"3"', 'W/"3"', '"1", "3"', ' , "1" ,W/"3",', "*"]) assert.equal(notModified(header, 3), true, header);
  for (const header of ['"33"', '"a,\\"', undefined]) assert.equal(notModified(header, 3), false);
  assert.deepEqual(expectedVersions('"3", W/"4", "x", "5"'), [3, 5]);
  assert.equal(expectedVersions("*"), undefined);
  assert.equal(expectedVersions(undefined, { required: false }), undefined);
  assert.deepEqual(expectedVersions('"99999999999999999999"'), []);
  assert.throws(() => expectedVersions(undefined), PreconditionRequired);
  for (const header of ["", "3", '"3', '"3" "4"', 'w/"3"', `"${"x".repeat(5000)}"`]) assert.throws(() => expectedVersions(header), BadHeader);
});

test("100 read-modify-write cycles lose no update", () =>
  withSchema("CREATE TABLE doc (id int PRIMARY KEY, n int NOT NULL, version int NOT NULL); INSERT INTO doc VALUES (1, 0, 1);", async (pool) => {
    let conflicts = 0;
    const writer = async (): Promise<void> => {
      for (let n = 0; n < 10; ) {
        const { rows } = await pool.query<{ n: number; version: number }>("SELECT n, version FROM doc");
        try {
          await conditionalUpdate(pool, "doc", 1, { n: rows[0]!.n + 1 }, expectedVersions(etag(rows[0]!.version)));
          n++;
        } catch (error) {
          if (!(error instanceof PreconditionFailed)) throw error;
          conflicts++;
        }
      }
    };
    await Promise.all(Array.from({ length: 10 }, writer));
    assert.deepEqual((await pool.query("SELECT n, version FROM doc")).rows, [{ n: 100, version: 101 }]);
    assert.ok(conflicts > 0);
    await assert.rejects(conditionalUpdate(pool, "doc", 2, { n: 1 }, undefined), PreconditionFailed);
  }));

test("writers whatever isolation level is the default, and a table in a schema", () =>
  withSchema("CREATE TABLE doc (id int PRIMARY KEY, n int NOT NULL, version int NOT NULL); INSERT INTO doc VALUES (1, 0, 1);", async (pool) => {
    const { rows } = await pool.query<{ s: string }>("SELECT current_schema() AS s");
    for (let version = 1; version <= 10; version++) {
      const write = (): Promise<number> => conditionalUpdate(pool, `${rows[0]!.s}.doc`, 1, { n: 1 }, [version]);
      const results = await Promise.allSettled(Array.from({ length: 10 }, write));
      assert.equal(results.filter(({ status }) => status === "fulfilled").length, 1);
      assert.ok(results.every((result) => result.status === "fulfilled" || result.reason instanceof PreconditionFailed));
    }
  }, 20, isolation("serializable")));
