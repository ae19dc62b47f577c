"""Alembic's environment: the service's own database, tables and types."""

import asyncio
import os
import re
from typing import Any, Literal

import asyncpg
import sqlalchemy as sa
from alembic import context
from alembic.autogenerate.api import AutogenContext
from sqlalchemy import Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from app import resources  # noqa: F401 - its import registers every table
from app.columns import Document, Exact, metadata
from app.config import DatabaseSettings
from app.db_postgresql import dsn_of
from app.db_sqlite import path_of

_SPELLED: dict[type, str] = {
    Document: 'postgresql.JSONB().with_variant(sa.Text(), "sqlite")',
    sa.Uuid: 'sa.Uuid().with_variant(sa.String(36), "sqlite")',
    sa.DateTime: 'sa.DateTime(timezone=True).with_variant(sa.String(27), "sqlite")',
    sa.Date: 'sa.Date().with_variant(sa.String(10), "sqlite")',
}
LOCK_TIMEOUT = os.environ.get("MIGRATION_LOCK_TIMEOUT", "5s")


def _include(thing: Any, name: str | None, kind: str, reflected: bool, compared: Any) -> bool:  # noqa: ARG001, FBT001
    # What the database has and the code does not is left to a revision written for it.
    return not (reflected and compared is None)


def _render(kind: str, thing: object, autogen: AutogenContext) -> str | Literal[False]:
    """Spell the service's own types without importing it: a revision outlives the code it was made with."""
    if kind != "type":
        return False
    if isinstance(thing, Document):
        autogen.imports.add("from sqlalchemy.dialects import postgresql")
    if isinstance(thing, Exact):
        return f'sa.Numeric({thing.precision}, {thing.scale}).with_variant(sa.BigInteger(), "sqlite")'
    return next((text for known, text in _SPELLED.items() if isinstance(thing, known)), False)


def _engine(url: str) -> AsyncEngine:
    if url.startswith("sqlite"):
        return create_async_engine(f"sqlite+aiosqlite:///{path_of(url)}")
    return create_async_engine("postgresql+asyncpg://", async_creator=lambda: asyncpg.connect(dsn_of(url)))


def _lock_timeout() -> str:
    if not re.fullmatch(r"[0-9]+(ms|s|min)?", LOCK_TIMEOUT):
        raise SystemExit("MIGRATION_LOCK_TIMEOUT must look like 5s")
    # A migration that waits for a lock makes every query behind it wait: better to fail and try again.
    return f"SET lock_timeout = '{LOCK_TIMEOUT}'"


def _run(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql(_lock_timeout())
        connection.commit()
    context.configure(
        connection=connection,
        target_metadata=metadata,
        transaction_per_migration=True,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        include_object=_include,
        render_item=_render,
    )
    with context.begin_transaction():
        context.run_migrations()


def _print() -> None:
    """Print the SQL of `upgrade --sql` without connecting to anything."""
    dialect = "sqlite" if DatabaseSettings().database_url.startswith("sqlite") else "postgresql"
    context.configure(
        dialect_name=dialect,
        target_metadata=metadata,
        transaction_per_migration=True,
        literal_binds=True,
        dialect_opts={"paramstyle": "named"},
    )
    if dialect == "postgresql":
        context.execute(_lock_timeout())
    with context.begin_transaction():
        context.run_migrations()


async def _main() -> None:
    engine = _engine(DatabaseSettings().database_url)
    async with engine.connect() as connection:
        await connection.run_sync(_run)
        await connection.commit()
    await engine.dispose()


if context.is_offline_mode():
    _print()
else:
    asyncio.run(_main())
