import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { test } from "node:test";
import pg from "pg";
import { DATABASE_URL, unique, withSchema } from "./proof.js";
import { assertIsolated, policySql, tenantTransaction } from "./tenant_session.js";

const DDL = "CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY, tenant_id bigint NOT NULL, body text);";

test("a transaction sees its tenant, and nothing is seen without one", () =>
  withSchema(DDL, async (owner) => {
    const role = `proof_${unique()}`;
    const schema = (await owner.query<{ s: string }>("SELECT current_schema() AS s")).rows[0]!.s;
    await owner.query(policySql("note"));
    await owner.query("INSERT INTO note (tenant_id, body) VALUES (1, 'one'), (2, 'two')");
    await owner.query(`CREATE ROLE ${role}`);
    await owner.query(`GRANT USAGE ON SCHEMA ${schema} TO ${role}; GRANT SELECT, INSERT, UPDATE ON note TO ${role}`);
    const app = new pg.Pool({ connectionString: DATABASE_URL, options: `-csearch_path=${schema} -crole=${role}`, max: 1 });
    const bodies = async (client: pg.Pool | pg.PoolClient): Promise<string[]> =>
      (await client.query<{ body: string }>("SELECT body FROM note ORDER BY id")).rows.map((row) => row.body);
    try {
      await assertIsolated(app, "note");
      await assert.rejects(assertIsolated(owner, "note"), /superuser/);
      assert.deepEqual(await bodies(app), []);
      await tenantTransaction(app, 1, async (client) => {
        assert.deepEqual(await bodies(client), ["one"]);
        assert.equal((await client.query("UPDATE note SET body = 'x' WHERE tenant_id = 2")).rowCount, 0);
      });
      assert.deepEqual(await bodies(app), []); // one connection: it comes back with '' in the setting
      await assert.rejects(
        tenantTransaction(app, 1, (client) => client.query("INSERT INTO note (tenant_id, body) VALUES (2, 'forged')")),
        { code: "42501" },
      );
      await tenantTransaction(app, "2", async (client) => assert.deepEqual(await bodies(client), ["two"]));
      await owner.query("ALTER TABLE note NO FORCE ROW LEVEL SECURITY");
      await assert.rejects(assertIsolated(app, "note"), /FORCE/);
    } finally {
      await app.end();
      await owner.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  }));

test("tables in schemas with capitals, and tenants that are uuids", () =>
  withSchema('CREATE TABLE "Note" (tenant_id uuid NOT NULL)', async (owner) => {
    const role = `proof_${unique()}`;
    const schema = (await owner.query<{ s: string }>("SELECT current_schema() AS s")).rows[0]!.s;
    await owner.query(policySql(`${schema}.Note`, "uuid"));
    await owner.query(`CREATE ROLE ${role}; GRANT USAGE ON SCHEMA ${schema} TO ${role}; GRANT SELECT, INSERT ON "Note" TO ${role}`);
    const app = new pg.Pool({ connectionString: DATABASE_URL, options: `-csearch_path=${schema} -crole=${role}`, max: 1 });
    try {
      await assertIsolated(app, `${schema}.Note`);
      const [mine, other] = [randomUUID(), randomUUID()];
      await tenantTransaction(app, mine, (client) => client.query('INSERT INTO "Note" VALUES ($1)', [mine]));
      const seen = (tenant: string): Promise<number | null> =>
        tenantTransaction(app, tenant, async (client) => (await client.query('SELECT 1 FROM "Note"')).rowCount);
      assert.deepEqual([await seen(mine), await seen(other)], [1, 0]);
    } finally {
      await app.end();
      await owner.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
  }));
