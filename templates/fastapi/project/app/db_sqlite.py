"""SQLite: readers that never wait for the writer (WAL), and one writer at a time."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, date, datetime
from uuid import UUID

import aiosqlite
from sqlalchemy.dialects.sqlite.pysqlite import dialect as sqlite_dialect
from sqlalchemy.sql import ClauseElement

from app.db import Compiler, ConstraintError, Database, DatabaseUnavailableError, Row, Transaction, Values

_KINDS = {
    sqlite3.SQLITE_CONSTRAINT_UNIQUE: "unique",
    sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY: "unique",
    sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY: "reference",
    sqlite3.SQLITE_CONSTRAINT_CHECK: "check",
    sqlite3.SQLITE_CONSTRAINT_NOTNULL: "null",
}


def time_text(value: datetime) -> str:
    """Return a time as the database holds it: fixed width, so that its order is the order of time."""
    return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


sqlite3.register_adapter(UUID, str)
sqlite3.register_adapter(datetime, time_text)
sqlite3.register_adapter(date, date.isoformat)


def path_of(url: str) -> str:
    """Return the file that a URL like `sqlite:///./app.db` or `sqlite:////var/app.db` names."""
    return url.partition("://")[2].partition("?")[0].removeprefix("/")


async def _connect(path: str, wait: float) -> aiosqlite.Connection:
    connection = await aiosqlite.connect(path, isolation_level=None, timeout=wait, cached_statements=512)
    for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON"):
        await connection.execute_fetchall(f"PRAGMA {pragma}")
    return connection


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError as error:
        kind = _KINDS.get(error.sqlite_errorcode, "check")
        raise ConstraintError(kind, str(error).partition(": ")[2]) from error
    except sqlite3.OperationalError as error:
        raise DatabaseUnavailableError(str(error)) from error


class _Transaction(Transaction):
    def __init__(self, connection: aiosqlite.Connection, compiler: Compiler) -> None:
        self._connection, self._compile = connection, compiler

    async def rows(self, statement: ClauseElement, values: Values) -> Sequence[Row]:
        with _translated():
            return list(await self._connection.execute_fetchall(*self._compile(statement, values)))

    write = rows

    async def try_lock(self, name: str) -> bool:  # noqa: ARG002 - SQLite has one writer, which this one is
        return True


class SQLite(Database):
    """One database file."""

    def __init__(self, url: str, *, readers: int, timeout: float) -> None:
        self.dialect = sqlite_dialect()
        self._path, self._size, self._timeout = path_of(url), readers, timeout
        self._compile = Compiler(self.dialect)
        self._readers: asyncio.LifoQueue[aiosqlite.Connection] = asyncio.LifoQueue()
        self._all: list[aiosqlite.Connection] = []
        self._lock = asyncio.Lock()

    async def open(self) -> None:
        with _translated():
            for _ in range(self._size + 1):
                self._all.append(await _connect(self._path, self._timeout))
            for reader in self._all[1:]:
                await reader.execute_fetchall("PRAGMA query_only=ON")
                self._readers.put_nowait(reader)

    async def close(self) -> None:
        while self._all:
            await self._all.pop().close()

    async def rows(self, statement: ClauseElement, values: Values) -> Sequence[Row]:
        sql, arguments = self._compile(statement, values)
        reader = self._readers.get_nowait() if self._readers.qsize() else await self._readers.get()
        try:
            with _translated():
                return await reader.execute_fetchall(sql, arguments)  # type: ignore[return-value]
        finally:
            self._readers.put_nowait(reader)

    async def write(self, statement: ClauseElement, values: Values) -> Sequence[Row]:
        sql, arguments = self._compile(statement, values)
        async with self._lock:
            with _translated():
                return list(await self._all[0].execute_fetchall(sql, arguments))

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        writer = self._all[0]
        async with self._lock:
            try:
                with _translated():
                    await writer.execute_fetchall("BEGIN IMMEDIATE")
                yield _Transaction(writer, self._compile)
                with _translated():
                    await asyncio.shield(writer.execute_fetchall("COMMIT"))
            except BaseException:
                with suppress(sqlite3.Error):
                    await asyncio.shield(writer.execute_fetchall("ROLLBACK"))
                raise
