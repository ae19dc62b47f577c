"""Two databases behind one narrow seam: SQLAlchemy Core writes the SQL, the driver runs it.

A statement is compiled once per database and from then on costs what the driver costs. Reads and single-statement
writes run in autocommit; only what needs several statements opens a transaction.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, cast
from weakref import WeakKeyDictionary

from sqlalchemy.engine import Dialect
from sqlalchemy.sql import ClauseElement
from sqlalchemy.sql.compiler import SQLCompiler

Row = Any
"""A row: it has a length, an order, and values by index."""

Values = Mapping[str, Any]


class ConstraintError(Exception):
    """A write that the database refused.

    `kind` is unique, reference, check or null; `name` is the constraint's on PostgreSQL, and on SQLite what its
    message names: `users.email`.
    """

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(f"{kind}: {name}")
        self.kind, self.name = kind, name


class DatabaseUnavailableError(Exception):
    """The database cannot be reached, or gave no answer in time."""


class Compiled:
    """One statement as a driver takes it."""

    __slots__ = ("parameters", "sql")

    def __init__(self, statement: ClauseElement, dialect: Dialect) -> None:
        compiled = cast(SQLCompiler, statement.compile(dialect=dialect))
        self.sql = str(compiled)
        self.parameters: list[tuple[str, Any, Callable[[Any], Any] | None]] = []
        for name in compiled.positiontup or ():
            bind = compiled.binds[name]
            processor = bind.type.dialect_impl(dialect).bind_processor(dialect)
            self.parameters.append((name, bind.value, processor))

    def arguments(self, values: Values) -> list[Any]:
        """Return the values in the order of the placeholders."""
        found = []
        for name, default, process in self.parameters:
            value = values.get(name, default)
            found.append(value if process is None else process(value))
        return found


class Compiler:
    """The compiled form of every statement that is still referred to."""

    def __init__(self, dialect: Dialect) -> None:
        self.dialect = dialect
        self._known: WeakKeyDictionary[ClauseElement, Compiled] = WeakKeyDictionary()

    def __call__(self, statement: ClauseElement, values: Values) -> tuple[str, list[Any]]:
        """Return the SQL of `statement` and its arguments."""
        compiled = self._known.get(statement)
        if compiled is None:
            compiled = self._known[statement] = Compiled(statement, self.dialect)
        return compiled.sql, compiled.arguments(values)


class Connection(ABC):
    """What runs statements: a database, or one transaction on it.

    Raises:
        ConstraintError: the database refused a write.
        DatabaseUnavailableError: it cannot be reached.
    """

    @abstractmethod
    async def rows(self, statement: ClauseElement, values: Values) -> Sequence[Row]:
        """Return the rows that a read gives."""

    @abstractmethod
    async def write(self, statement: ClauseElement, values: Values) -> Sequence[Row]:
        """Run one writing statement and return the rows of its RETURNING."""


class Transaction(Connection):
    """Statements that commit together, or not at all."""

    @abstractmethod
    async def try_lock(self, name: str) -> bool:
        """Take the lock called `name` until the transaction ends; False when another one holds it."""


class Database(Connection):
    """A database of the service, with the connections to it."""

    dialect: Dialect

    @abstractmethod
    async def open(self) -> None:
        """Connect."""

    @abstractmethod
    async def close(self) -> None:
        """Close every connection."""

    @abstractmethod
    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Return a context in which statements commit together, or not at all."""


def connect(url: str, *, pool_size: int, timeout: float) -> Database:
    """Return the database that `url` names, not yet open; `timeout` in seconds bounds waits and statements."""
    if url.startswith("sqlite"):
        from app.db_sqlite import SQLite  # noqa: PLC0415 - only the driver that is used is loaded

        return SQLite(url, readers=min(pool_size, 4), timeout=timeout)
    from app.db_postgresql import PostgreSQL  # noqa: PLC0415

    return PostgreSQL(url, pool_size=pool_size, timeout=timeout)
