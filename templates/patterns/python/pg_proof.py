"""For the tests beside it: an empty PostgreSQL schema that is dropped afterwards."""

from __future__ import annotations

import contextlib
import os
import uuid
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

URL = os.environ.get("DATABASE_URL", "postgresql://postgres@127.0.0.1:5432/postgres")


@contextlib.asynccontextmanager
async def schema(ddl: str = "") -> AsyncIterator[Callable[..., Awaitable[psycopg.AsyncConnection[Any]]]]:
    """Yield a function that connects (autocommit) to a fresh schema that holds `ddl`."""
    name = f"proof_{uuid.uuid4().hex[:12]}"
    opened: list[psycopg.AsyncConnection[Any]] = []

    async def connect(**options: Any) -> psycopg.AsyncConnection[Any]:
        connection = await psycopg.AsyncConnection.connect(
            URL, autocommit=True, options=f"-csearch_path={name}", **options
        )
        opened.append(connection)
        return connection

    async with await psycopg.AsyncConnection.connect(URL, autocommit=True) as admin:
        await admin.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        try:
            if ddl:
                async with await connect() as first:
                    await first.execute(ddl.encode())
            yield connect
        finally:
            for connection in opened:
                with contextlib.suppress(psycopg.Error):
                    await connection.close()
            await admin.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))


async def other_defaults(
    connect: Callable[..., Awaitable[psycopg.AsyncConnection[Any]]],
) -> psycopg.AsyncConnection[Any]:
    """Connect as some projects do: rows are dictionaries, transactions are SERIALIZABLE and begin by themselves."""
    connection = await connect(row_factory=dict_row)
    await connection.execute("SET default_transaction_isolation = 'serializable'")
    await connection.set_autocommit(False)
    return connection
