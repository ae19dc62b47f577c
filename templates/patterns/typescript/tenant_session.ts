/**
 * Tenant isolation on PostgreSQL: row-level security with a tenant that lives as long as its transaction.
 *
 * Guarantees: inside `tenantTransaction` only the tenant's rows are seen or written, by any query; outside it nothing is.
 *   The tenant cannot leak to the next user of a pooled connection.
 * Needs: pg >= 8.11, PostgreSQL >= 11, transaction.ts; `policySql` run once for each table by its owner; the application
 *   connects as a role that is neither owner, superuser nor BYPASSRLS (`assertIsolated` checks, run it at start-up).
 * Fails: a query without a tenant sees no rows; writing another tenant's row is error 42501. Unique constraints and
 *   foreign keys still see all rows: put tenant_id first in both. Views need security_invoker (PostgreSQL 15).
 * Fit: `policySql(table, "uuid")` for tenants that are no numbers; another setting or column: they stand in two places.
 * Prove: npm test   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
 */
import { escapeIdentifier, type ClientBase, type Pool, type PoolClient } from "pg";
import { transaction } from "./transaction.js";

// After its transaction a custom setting is '' and not NULL, so '' must mean no tenant too.
const CURRENT = "(SELECT NULLIF(current_setting('app.tenant_id', true), '')::";

const identifier = (table: string): string => table.split(".").map(escapeIdentifier).join(".");

/** Return the statements that isolate `table` (or `schema.table`), which has a column `tenant_id` of `type`, NOT NULL. */
export function policySql(table: string, type: "bigint" | "uuid" | "text" = "bigint"): string {
  const name = identifier(table);
  const tenant = `tenant_id = ${CURRENT}${type})`;
  return `
    ALTER TABLE ${name} ENABLE ROW LEVEL SECURITY;
    ALTER TABLE ${name} FORCE ROW LEVEL SECURITY;
    CREATE POLICY tenant_isolation ON ${name} USING (${tenant}) WITH CHECK (${tenant});
  `;
}

/** Run `work` in a transaction that sees `tenantId` alone. */
export function tenantTransaction<T>(pool: Pool, tenantId: string | number, work: (client: PoolClient) => Promise<T>): Promise<T> {
  return transaction(pool, async (client) => {
    await client.query("SELECT set_config('app.tenant_id', $1, true)", [String(tenantId)]);
    return work(client);
  });
}

/** Throw where the connection's role would see every tenant's rows of `table`. */
export async function assertIsolated(client: ClientBase | Pool, table: string): Promise<void> {
  const { rows } = await client.query<{ bypass: boolean; enabled: boolean; forced: boolean }>(
    `SELECT r.rolsuper OR r.rolbypassrls AS bypass, c.relrowsecurity AS enabled, c.relforcerowsecurity AS forced
     FROM pg_roles r, pg_class c WHERE r.rolname = current_user AND c.oid = to_regclass($1)`,
    [identifier(table)],
  );
  const row = rows[0];
  if (!row) throw new Error(`there is no table ${table}`);
  if (row.bypass) throw new Error("the role is superuser or has BYPASSRLS: policies do not hold for it");
  if (!row.enabled || !row.forced) throw new Error(`${table} does not ENABLE and FORCE row-level security`);
}
