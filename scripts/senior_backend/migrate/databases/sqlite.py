"""SQLite through the standard library."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import sys
from typing import TYPE_CHECKING, Any

from senior_backend.console.errors import UnavailableError
from senior_backend.migrate.databases.base import DatabaseError, Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from senior_backend.migrate.databases.urls import Address
    from senior_backend.migrate.statements import Engine, Statement

_LOCKED = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_ENVIRONMENT = (
    sqlite3.SQLITE_READONLY, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_AUTH, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOMEM,
)  # fmt: skip


class SqliteDatabase:
    """An SQLite file. The runner's lock is a lock on a file beside it, which ends with the process."""

    engine: Engine = "sqlite"
    mark = "?"

    def __init__(self, address: Address, *, read_only: bool = False) -> None:
        self.address = address
        self.version: tuple[int, ...] = sqlite3.sqlite_version_info
        self._lock: int | None = None
        path = address.path
        try:
            if path is None:
                self.connection = sqlite3.connect(":memory:", isolation_level=None)
            elif read_only:
                uri = f"{path.resolve().as_uri()}?mode=ro"
                self.connection = sqlite3.connect(uri, uri=True, isolation_level=None)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                self.connection = sqlite3.connect(path, isolation_level=None)
            with _translated():
                self.connection.execute("PRAGMA schema_version").fetchone()
        except (OSError, sqlite3.Error, DatabaseError) as error:
            raise UnavailableError(
                f"cannot open {address.shown}: {error}",
                code="database-unavailable",
                where=address.shown,
                hint="Check the path, its permissions and that the file is an SQLite database.",
            ) from error

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with _translated():
            return self.connection.execute(sql, tuple(parameters)).fetchall()

    def run(self, statement: Statement) -> int:
        """Send one statement; rows that it returns are read to the end, as SQLite works while it is read."""
        with _translated():
            cursor = self.connection.execute(statement.text)
            cursor.fetchall()
            return cursor.rowcount

    def begin(self) -> None:
        """Open a write transaction: SQLite has one writer, and waiting is safe only before anything is read."""
        self.query("BEGIN IMMEDIATE")

    def commit(self) -> None:
        """Commit."""
        self.query("COMMIT")

    def rollback(self) -> None:
        """Roll back where a transaction is open."""
        if self.connection.in_transaction:
            with contextlib.suppress(DatabaseError):
                self.query("ROLLBACK")

    def limit(self, lock_seconds: float, statement_seconds: float | None) -> None:
        """Wait so long for other writers; SQLite has no statement timeout."""
        del statement_seconds
        self.query(f"PRAGMA busy_timeout = {max(int(lock_seconds * 1000), 1)}")

    def try_lock(self) -> bool:
        """Lock the file beside the database."""
        path = self._lock_path()
        if path is None or self._lock is not None:
            return True
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise UnavailableError(
                f"cannot write beside the database: {error.strerror or error}",
                code="not-writable",
                where=str(path),
                hint="The folder of an SQLite database must be writable.",
            ) from error
        if not _lock_file(handle) or not _same_file(handle, path):
            os.close(handle)
            return False
        self._lock = handle
        return True

    def unlock(self) -> None:
        """Remove the lock file while it is still locked, so that nobody locks a file that is gone."""
        path = self._lock_path()
        if self._lock is not None and path is not None:
            if sys.platform != "win32":
                path.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def as_itself(self) -> None:
        """There are no roles to leave."""

    def restore_session(self) -> None:
        """Put the pragmas back that a migration may have set."""
        self.rollback()
        for pragma in ("foreign_keys = OFF", "legacy_alter_table = OFF", "defer_foreign_keys = OFF"):
            self.query(f"PRAGMA {pragma}")

    def tables(self) -> dict[str, dict[str, str]]:
        """Return tables and columns."""
        rows = self.query(
            "SELECT m.name, c.name, c.type FROM sqlite_master AS m JOIN pragma_table_xinfo(m.name) AS c "
            "WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY m.name, c.cid"
        )
        found: dict[str, dict[str, str]] = {}
        for table, column, kind in rows:
            found.setdefault(table, {})[column] = str(kind)
        return found

    def has_table(self, name: str) -> bool:
        """Whether the table exists."""
        return bool(self.query("SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = ?", (name,)))

    def own(self, name: str) -> str:
        """Return a table of the tool as SQL."""
        return f"main.{self.quoted(name)}"

    def broken_references(self) -> int:
        """Return how many rows violate a foreign key; the runner keeps enforcement off, as rebuilds need."""
        return len(self.query("PRAGMA foreign_key_check"))

    def quoted(self, name: str) -> str:
        """Return a name in double quotes, part by part."""
        return ".".join('"' + part.replace('"', '""') + '"' for part in name.split("."))

    def identity(self) -> str:
        """Return the file's path."""
        return identity_of(self.address)

    def blockers(self, table: str | None) -> list[str]:
        """SQLite does not tell who writes."""
        del table
        return []

    def lag_seconds(self) -> float:
        """SQLite has no replicas."""
        return 0.0

    def backup(self, target: Path) -> None:
        """Write a consistent copy of the database to `target`.

        Raises:
            UnavailableError: it cannot be written.
        """
        partial = target.with_name(target.name + ".partial")
        try:
            copy = sqlite3.connect(partial)
            try:
                self.connection.backup(copy)
            finally:
                copy.close()
            partial.replace(target)
        except (OSError, sqlite3.Error) as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise UnavailableError(
                f"cannot back the database up: {error}",
                code="backup-failed",
                where=str(target),
                hint="Free space for a second copy of the database; nothing was changed.",
            ) from error

    def close(self) -> None:
        """Close the connection and give the lock back."""
        self.rollback()
        self.unlock()
        self.connection.close()

    def _lock_path(self) -> Path | None:
        path = self.address.path
        return None if path is None else path.with_name(path.name + ".migrate-lock")


def identity_of(address: Address) -> str:
    """Return what names an SQLite database, also one that is not there yet."""
    return f"sqlite:{address.path.resolve() if address.path else ':memory:'}"


def _lock_file(handle: int) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _same_file(handle: int, path: Path) -> bool:
    """Whether the locked file is still the one at `path`: its last owner may have removed it in between."""
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        trouble: Trouble = "statement"
        if code in _LOCKED:
            trouble = "lock"
        elif code in _ENVIRONMENT:
            trouble = "environment"
        raise DatabaseError(str(error), trouble, code=getattr(error, "sqlite_errorname", "")) from error
