"""What the runner needs of a database, whatever its driver."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.migrate.databases.urls import Address
    from senior_backend.migrate.statements import Engine, Statement

Trouble = Literal["lock", "lost", "environment", "timeout", "statement"]


class DatabaseError(Exception):
    """A driver's error, sorted by what can be done about it.

    `trouble` is `lock` (somebody holds a lock: give way and try again), `lost` (the connection is gone), `timeout`
    (the statement ran too long), `environment` (read-only, disk full, no permission) or `statement`.
    `code` is the server's own, `position` a character offset into the statement where the server names one.
    """

    def __init__(self, message: str, trouble: Trouble, *, code: str = "", position: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.trouble = trouble
        self.code = code
        self.position = position


class Database(Protocol):
    """An open connection. Outside `begin` and `commit` every call is a transaction of its own."""

    engine: Engine
    address: Address
    version: tuple[int, ...]
    mark: str
    """How a parameter is written: `?` or `%s`."""

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query; also runs the tool's own writes."""

    def run(self, statement: Statement) -> int:
        """Send one statement of the user, without parameters; return the rows that it changed, -1 if unknown."""

    def begin(self) -> None:
        """Open a transaction."""

    def commit(self) -> None:
        """Commit it."""

    def rollback(self) -> None:
        """Roll back; does nothing outside a transaction or on a lost connection."""

    def limit(self, lock_seconds: float, statement_seconds: float | None) -> None:
        """Let later statements wait so long for a lock and run so long; 0 lifts a limit, None leaves it as it is."""

    def try_lock(self) -> bool:
        """Take the runner's lock if it is free. It goes with the connection."""

    def unlock(self) -> None:
        """Give the runner's lock back."""

    def as_itself(self) -> None:
        """Leave the role that a migration took, so that the ledger can be written."""

    def restore_session(self) -> None:
        """Undo what a migration's SET statements left behind."""

    def tables(self) -> dict[str, dict[str, str]]:
        """Return the tables of the current schema, each with its columns and their types as SQL writes them."""

    def has_table(self, name: str) -> bool:
        """Whether the schema that migrations are kept in has the table."""

    def own(self, name: str) -> str:
        """Return a table of the tool as SQL, qualified, whatever a migration does to the search path."""

    def broken_references(self) -> int:
        """Return how many rows refer to rows that are not there, where the engine does not see to that itself."""

    def quoted(self, name: str) -> str:
        """Return a possibly qualified name as an identifier."""

    def identity(self) -> str:
        """Return what tells this database from any other, for the plan's token."""

    def blockers(self, table: str | None) -> list[str]:
        """Return a line for each session that may hold the lock others wait for."""

    def lag_seconds(self) -> float:
        """Return how far the slowest replica is behind, 0 where there is none or it cannot be seen."""

    def close(self) -> None:
        """Close the connection."""
