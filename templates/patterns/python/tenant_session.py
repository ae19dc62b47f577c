"""Tenant isolation on PostgreSQL: row-level security with a tenant that lives as long as its transaction.

Guarantees: inside `tenant_transaction` only the tenant's rows are seen or written, by any query; outside it nothing
    is. The tenant cannot leak to the next user of a pooled connection, in session or transaction pooling, nor to a
    transaction that was open before.
Needs: psycopg >= 3.1, PostgreSQL >= 11; `policy_sql` run once for each table by its owner; the application connects
    as a role that is neither owner, superuser nor BYPASSRLS (`assert_isolated` checks, run it at start-up).
Fails: a query without a tenant sees no rows; writing another tenant's row raises
    psycopg.errors.InsufficientPrivilege. Unique constraints and foreign keys still see all rows: put tenant_id
    first in both. Views over the table need security_invoker (PostgreSQL 15).
Fit: `policy_sql(table, "uuid")` for tenants that are no numbers; another setting or column: they stand in two places.
Prove: pytest test_tenant_session.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Literal

from psycopg import sql
from psycopg.rows import tuple_row

if TYPE_CHECKING:
    import uuid
    from collections.abc import AsyncIterator

    from psycopg import AsyncConnection

# After its transaction a custom setting is '' and not NULL, so '' must mean no tenant too.
CURRENT = "NULLIF(current_setting('app.tenant_id', true), '')::{type}"


def policy_sql(table: str, type: Literal["bigint", "uuid", "text"] = "bigint") -> sql.Composed:  # noqa: A002 - SQL's
    """Return the statements that isolate `table` (or `schema.table`), which has a column `tenant_id` of `type`."""
    # The sub-select is evaluated once for a query, not once for a row.
    template = """
        ALTER TABLE {table} ENABLE ROW LEVEL SECURITY;
        ALTER TABLE {table} FORCE ROW LEVEL SECURITY;
        CREATE POLICY tenant_isolation ON {table}
            USING (tenant_id = (SELECT {current})) WITH CHECK (tenant_id = (SELECT {current}));
    """
    current = sql.SQL(CURRENT).format(type=sql.SQL(type))
    return sql.SQL(template).format(table=_identifier(table), current=current)


def _identifier(table: str) -> sql.Identifier:
    return sql.Identifier(*table.split("."))


@contextlib.asynccontextmanager
async def tenant_transaction(
    connection: AsyncConnection[Any], tenant_id: int | uuid.UUID | str
) -> AsyncIterator[AsyncConnection[Any]]:
    """Open a transaction that sees `tenant_id` alone.

    Raises:
        RuntimeError: the connection is in a transaction (of another tenant, or of another task), which would go on with
            this one; or the transaction was rolled back because the error of a statement was swallowed.
    """
    if connection.info.transaction_status.name not in {"IDLE", "UNKNOWN"}:  # unknown: it is closed, and will say so
        raise RuntimeError(
            "tenant_transaction() needs a connection that is in no transaction and that no other task uses"
        )
    async with connection.transaction():
        await connection.execute("SELECT set_config('app.tenant_id', %s, true)", [str(tenant_id)])
        yield connection
        if connection.info.transaction_status.name == "INERROR":
            raise RuntimeError("rolled back: a statement had failed, and its error was swallowed")


async def assert_isolated(connection: AsyncConnection[Any], table: str) -> None:
    """Fail where the connection's role would see every tenant's rows of `table`.

    Raises:
        RuntimeError: with what is wrong.
    """
    row = await (
        await connection.cursor(row_factory=tuple_row).execute(
            """
            SELECT r.rolsuper OR r.rolbypassrls, c.relrowsecurity, c.relforcerowsecurity
            FROM pg_roles r, pg_class c WHERE r.rolname = current_user AND c.oid = to_regclass(%s)
            """,
            [_identifier(table).as_string(connection)],
        )
    ).fetchone()
    if row is None:
        raise RuntimeError(f"there is no table {table}")
    if row[0]:
        raise RuntimeError("the role is superuser or has BYPASSRLS: policies do not hold for it")
    if not (row[1] and row[2]):
        raise RuntimeError(f"{table} does not ENABLE and FORCE row-level security")
