"""PostgreSQL through asyncpg's pool, which prepares each statement once per connection."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Any

import asyncpg
from sqlalchemy.dialects.postgresql.asyncpg import dialect as postgresql_dialect
from sqlalchemy.sql import ClauseElement

from app.db import Compiler, ConstraintError, Database, DatabaseUnavailableError, Row, Transaction, Values

if TYPE_CHECKING:
    from asyncpg.pool import PoolConnectionProxy

_KINDS: dict[type[Exception], str] = {
    asyncpg.UniqueViolationError: "unique",
    asyncpg.ForeignKeyViolationError: "reference",
    asyncpg.RestrictViolationError: "reference",
    asyncpg.CheckViolationError: "check",
    asyncpg.NotNullViolationError: "null",
}
_UNAVAILABLE = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InsufficientResourcesError,
    asyncpg.OperatorInterventionError,
    asyncpg.TransactionRollbackError,
    asyncpg.LockNotAvailableError,
)


def dsn_of(url: str) -> str:
    """Return `url` as asyncpg reads it: without the driver that SQLAlchemy's form may name."""
    return "postgresql://" + url.partition("://")[2]


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except asyncpg.IntegrityConstraintViolationError as error:
        name = error.constraint_name or error.column_name or ""
        raise ConstraintError(_KINDS.get(type(error), "check"), name) from error
    except _UNAVAILABLE as error:
        raise DatabaseUnavailableError(str(error)) from error


async def _reset(connection: Any) -> None:
    # Autocommit statements leave nothing behind; asyncpg's own reset would cost a round trip per request.
    if connection.is_in_transaction():
        await connection.reset()


class _Transaction(Transaction):
    def __init__(self, connection: "PoolConnectionProxy[asyncpg.Record]", compiler: Compiler) -> None:
        self._connection, self._compile = connection, compiler

    async def rows(self, statement: ClauseElement, values: Values) -> Sequence[Row]:
        sql, arguments = self._compile(statement, values)
        with _translated():
            return await self._connection.fetch(sql, *arguments)

    write = rows

    async def try_lock(self, name: str) -> bool:
        with _translated():
            sql = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))"
            return bool(await self._connection.fetchval(sql, name))


class PostgreSQL(Database):
    """One PostgreSQL database."""

    def __init__(self, url: str, *, pool_size: int, timeout: float) -> None:
        self.dialect = postgresql_dialect()  # type: ignore[no-untyped-call]
        self._dsn, self._size, self._timeout = dsn_of(url), pool_size, timeout
        self._compile = Compiler(self.dialect)
        self._pool: asyncpg.Pool[asyncpg.Record] | None = None

    @property
    def _open_pool(self) -> "asyncpg.Pool[asyncpg.Record]":
        if self._pool is None:
            raise DatabaseUnavailableError("the pool is not open")
        return self._pool

    async def open(self) -> None:
        milliseconds = str(int(self._timeout * 1000))
        settings = {
            "application_name": "app",
            "timezone": "UTC",
            # What waits for a lock must see what was committed meanwhile, whatever the default of server or role is.
            "default_transaction_isolation": "read committed",
            "statement_timeout": milliseconds,
            "lock_timeout": milliseconds,
            "idle_in_transaction_session_timeout": milliseconds,
        }
        with _translated():
            self._pool = await asyncpg.create_pool(
                self._dsn,
                min_size=1,
                max_size=self._size,
                timeout=self._timeout,
                reset=_reset,
                server_settings=settings,
            )

    async def close(self) -> None:
        if self._pool is not None:
            await self._pool.close()

    async def rows(self, statement: ClauseElement, values: Values) -> Sequence[Row]:
        sql, arguments = self._compile(statement, values)
        with _translated():
            async with self._open_pool.acquire(timeout=self._timeout) as connection:
                return await connection.fetch(sql, *arguments)

    write = rows

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        with _translated():
            async with self._open_pool.acquire(timeout=self._timeout) as connection, connection.transaction():
                yield _Transaction(connection, self._compile)
