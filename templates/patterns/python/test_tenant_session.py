"""Proof of tenant_session.py on a real PostgreSQL, as an ordinary role on one shared connection."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql
from psycopg.rows import dict_row

from pg_proof import schema
from tenant_session import assert_isolated, policy_sql, tenant_transaction

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

DDL = "CREATE TABLE note (id bigint GENERATED ALWAYS AS IDENTITY, tenant_id bigint NOT NULL, body text);"


@contextlib.asynccontextmanager
async def application() -> AsyncIterator[tuple[psycopg.AsyncConnection[Any], psycopg.AsyncConnection[Any]]]:
    """Yield the owner's connection and one that has become an ordinary role."""
    role = sql.Identifier(f"proof_{uuid.uuid4().hex[:12]}")
    async with schema(DDL) as connect:
        owner, app = await connect(), await connect()
        await owner.execute(policy_sql("note"))
        await owner.execute("INSERT INTO note (tenant_id, body) VALUES (1, 'one'), (2, 'two')")
        await owner.execute(sql.SQL("CREATE ROLE {}").format(role))
        try:
            await owner.execute(
                sql.SQL(
                    "DO $$ BEGIN EXECUTE format('GRANT USAGE ON SCHEMA %I TO ' || {}, current_schema()); END $$"
                ).format(sql.Literal(role.as_string()))
            )
            await owner.execute(sql.SQL("GRANT SELECT, INSERT, UPDATE, DELETE ON note TO {}").format(role))
            await app.execute(sql.SQL("SET ROLE {}").format(role))
            yield owner, app
        finally:
            await app.close()
            await owner.execute(sql.SQL("DROP OWNED BY {0}; DROP ROLE {0}").format(role))


async def bodies(connection: psycopg.AsyncConnection[Any]) -> list[str]:
    return [row[0] for row in await (await connection.execute("SELECT body FROM note ORDER BY id")).fetchall()]


def test_a_transaction_sees_its_tenant_and_nothing_is_seen_without_one() -> None:
    async def run() -> None:
        async with application() as (_, app):
            assert await bodies(app) == []
            async with tenant_transaction(app, 1):
                assert await bodies(app) == ["one"]
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    async with app.transaction():
                        await app.execute("INSERT INTO note (tenant_id, body) VALUES (2, 'forged')")
                touched = await app.execute("UPDATE note SET body = 'x' WHERE tenant_id = 2")
                assert touched.rowcount == 0
            assert await bodies(app) == []  # the connection goes back to its pool with '' in the setting
            async with tenant_transaction(app, 2):
                assert await bodies(app) == ["two"]

    asyncio.run(run())


def test_the_start_up_check_refuses_roles_and_tables_that_are_not_isolated() -> None:
    async def run() -> None:
        async with application() as (owner, app):
            await assert_isolated(app, "note")
            with pytest.raises(RuntimeError, match="superuser"):
                await assert_isolated(owner, "note")
            await owner.execute("ALTER TABLE note NO FORCE ROW LEVEL SECURITY")
            with pytest.raises(RuntimeError, match="FORCE"):
                await assert_isolated(app, "note")

    asyncio.run(run())


def test_a_tenant_inside_another_one_is_refused_and_a_swallowed_error_is_no_success() -> None:
    async def run() -> None:
        async with application() as (_, app):
            async with tenant_transaction(app, 1):
                with pytest.raises(RuntimeError, match="in no transaction"):
                    async with tenant_transaction(app, 2):
                        pass
                assert await bodies(app) == ["one"]
            with pytest.raises(RuntimeError, match="rolled back"):
                async with tenant_transaction(app, 1):
                    await app.execute("UPDATE note SET body = 'x'")
                    with contextlib.suppress(psycopg.Error):
                        await app.execute("INSERT INTO note (tenant_id, body) VALUES (2, 'forged')")
            async with tenant_transaction(app, 1):
                assert await bodies(app) == ["one"]

    asyncio.run(run())


def test_tables_in_schemas_with_capitals_and_tenants_that_are_uuids() -> None:
    async def run() -> None:
        async with application() as (owner, app):
            app.row_factory = dict_row
            row = await (await owner.execute("SELECT current_schema()")).fetchone()
            assert row
            table = f"{row[0]}.Note"
            await owner.execute('CREATE TABLE "Note" (tenant_id uuid NOT NULL)')
            await owner.execute(policy_sql(table, "uuid"))
            await owner.execute(sql.SQL("GRANT SELECT, INSERT ON {} TO PUBLIC").format(sql.Identifier(row[0], "Note")))
            tenant = uuid.uuid4()
            async with tenant_transaction(app, tenant):
                await app.execute('INSERT INTO "Note" VALUES (%s)', [tenant])
            async with tenant_transaction(app, uuid.uuid4()):
                assert await (await app.execute('SELECT 1 FROM "Note"')).fetchall() == []
            await assert_isolated(app, table)
            with pytest.raises(RuntimeError, match="no table"):
                await assert_isolated(app, f"{row[0]}.missing")

    asyncio.run(run())
