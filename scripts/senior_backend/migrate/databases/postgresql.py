"""PostgreSQL through psycopg 3."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import errors, sql

from senior_backend.console.errors import UnavailableError
from senior_backend.migrate.databases.base import DatabaseError, Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from senior_backend.migrate.databases.urls import Address
    from senior_backend.migrate.statements import Engine, Statement

LOCK_KEY = 0x6462_6D69  # "dbmi": the first half of the advisory lock's key; the second is the schema's oid
CONNECT_SECONDS = 10
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_LOCK = ("55P03", "40P01", "40001")
_LOST = ("57P01", "57P02", "57P03", "57P05", "25P03", "08000", "08001", "08003", "08004", "08006")
_ENVIRONMENT = ("25006", "53100", "53200", "53300", "53400", "58030", "42501")


class PostgresqlDatabase:
    """A PostgreSQL database. The runner's lock is an advisory lock of its session, taken by polling."""

    engine: Engine = "postgresql"
    mark = "%s"

    def __init__(self, address: Address) -> None:
        self.address = address
        try:
            self.connection = psycopg.connect(
                _conninfo(address.text),
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                prepare_threshold=None,
                application_name="db_migrate",
            )
        except psycopg.Error as error:
            raise UnavailableError(
                f"cannot connect: {_first_line(error)}",
                code="database-unavailable",
                where=address.shown,
                hint="Check that the server runs, that the database exists, and the user and password of the URL.",
            ) from error
        number = self.connection.info.server_version
        self.version: tuple[int, ...] = (number // 10000, number % 10000)
        row = self.query("SELECT coalesce(current_schema(), 'public')")
        self.schema = str(row[0][0])

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with self._translated():
            cursor = self.connection.execute(sql, tuple(parameters) or None)
            return cursor.fetchall() if cursor.description else []

    def run(self, statement: Statement) -> int:
        """Send one statement, with the data of a COPY."""
        with self._translated():
            text = statement.text
            if statement.data is not None:
                with self.connection.cursor() as cursor, cursor.copy(text) as copy:
                    copy.write(statement.data)
                return cursor.rowcount
            return self.connection.execute(text).rowcount

    def begin(self) -> None:
        """Open a transaction."""
        self.query("BEGIN")

    def commit(self) -> None:
        """Commit."""
        self.query("COMMIT")

    def rollback(self) -> None:
        """Roll back where a transaction is open."""
        idle = psycopg.pq.TransactionStatus.IDLE
        if not self.connection.closed and self.connection.info.transaction_status != idle:
            with contextlib.suppress(DatabaseError):
                self.query("ROLLBACK")

    def limit(self, lock_seconds: float, statement_seconds: float | None) -> None:
        """Set lock_timeout and statement_timeout, for the transaction where one is open."""
        local = self.connection.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
        for name, seconds in (("lock_timeout", lock_seconds), ("statement_timeout", statement_seconds)):
            if seconds is None:
                continue
            value = f"{max(int(seconds * 1000), 1) if seconds else 0}ms"
            self.query("SELECT set_config(%s, %s, %s)", (name, value, local))

    def try_lock(self) -> bool:
        """Try the advisory lock; never waits inside the server, where it would hold a snapshot."""
        return bool(
            self.query(
                "SELECT pg_try_advisory_lock(%s, coalesce((SELECT oid::int FROM pg_namespace WHERE nspname = %s), 0))",
                (LOCK_KEY, self.schema),
            )[0][0]
        )

    def unlock(self) -> None:
        """Give the advisory lock back."""
        self.query(
            "SELECT pg_advisory_unlock(%s, coalesce((SELECT oid::int FROM pg_namespace WHERE nspname = %s), 0))",
            (LOCK_KEY, self.schema),
        )

    def as_itself(self) -> None:
        """Write the ledger as the user of the connection, whatever role a migration has taken."""
        self.query("RESET SESSION AUTHORIZATION")
        self.query("RESET ROLE")

    def restore_session(self) -> None:
        """Undo SET, SET ROLE and SET SESSION AUTHORIZATION."""
        for text in ("RESET SESSION AUTHORIZATION", "RESET ROLE", "RESET ALL"):
            self.query(text)

    def tables(self) -> dict[str, dict[str, str]]:
        """Return tables and columns of the current schema."""
        rows = self.query(
            "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_class AS c "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "LEFT JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped "
            "WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'f') ORDER BY c.relname, a.attnum",
            (self.schema,),
        )
        found: dict[str, dict[str, str]] = {}
        for table, column, kind in rows:
            columns = found.setdefault(table, {})
            if column is not None:
                columns[column] = kind
        return found

    def has_table(self, name: str) -> bool:
        """Whether the table exists in the current schema."""
        return bool(self.query("SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = %s", (self.schema, name)))

    def own(self, name: str) -> str:
        """Return a table of the tool as SQL."""
        return sql.Identifier(self.schema, name).as_string()

    def broken_references(self) -> int:
        """PostgreSQL sees to its foreign keys itself."""
        return 0

    def quoted(self, name: str) -> str:
        """Return a name in double quotes, part by part."""
        return sql.Identifier(*name.split(".")).as_string()

    def identity(self) -> str:
        """Return the cluster's identifier where it may be read, and the database's name, oid and schema."""
        oid = self.query("SELECT oid::text FROM pg_database WHERE datname = current_database()")[0][0]
        cluster = f"{self.address.host}:{self.address.port}"
        with contextlib.suppress(DatabaseError):
            cluster = str(self.query("SELECT system_identifier FROM pg_control_system()")[0][0])
        return f"postgresql:{cluster}:{self.address.database}:{oid}:{self.schema}"

    def blockers(self, table: str | None) -> list[str]:
        """Return the oldest transactions of other sessions that hold locks on `table`, or on anything."""
        condition = "AND l.relation = to_regclass(%s)" if table else ""
        try:
            rows = self.query(
                "SELECT DISTINCT a.pid, a.usename, a.application_name, a.state, "  # noqa: S608 - a fixed condition
                "extract(epoch FROM now() - a.xact_start)::int FROM pg_stat_activity AS a "
                "JOIN pg_locks AS l ON l.pid = a.pid AND l.granted AND l.locktype = 'relation' "
                f"WHERE a.pid <> pg_backend_pid() AND a.xact_start IS NOT NULL {condition} ORDER BY 5 DESC LIMIT 3",
                (table,) if table else (),
            )
        except DatabaseError:
            return []
        return [
            f"pid {pid} ({user or '?'}{', ' + name if name else ''}, {state}) for {age} s"
            for pid, user, name, state, age in rows
        ]

    def lag_seconds(self) -> float:
        """Return the replay lag of the slowest replica; an idle primary has none."""
        row = self.query("SELECT coalesce(max(extract(epoch FROM replay_lag)), 0)::float FROM pg_stat_replication")
        return float(row[0][0])

    def close(self) -> None:
        """Close the connection, and with it the lock."""
        self.connection.close()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            code = error.sqlstate or ""
            trouble: Trouble = "statement"
            if code in _LOST or self.connection.closed or (not code and isinstance(error, errors.OperationalError)):
                trouble = "lost"
            elif code in _LOCK:
                trouble = "lock"
            elif code in _ENVIRONMENT:
                trouble = "environment"
            elif code == "57014" and "timeout" in str(error):
                trouble = "timeout"
            place = error.diag.statement_position
            position = int(place) - 1 if place else None
            raise DatabaseError(_message(error), trouble, code=code, position=position) from error


def _conninfo(url: str) -> str:
    scheme, _, rest = url.partition("://")
    parts = urlsplit(f"{scheme.partition('+')[0]}://{rest}")
    return urlunsplit(parts._replace(scheme="postgresql"))


def _first_line(error: psycopg.Error) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _message(error: psycopg.Error) -> str:
    parts = [error.diag.message_primary or _first_line(error)]
    for label, value in (("detail", error.diag.message_detail), ("hint", error.diag.message_hint)):
        if value:
            parts.append(f"{label}: {value}")
    return "\n".join(parts)
