"""MySQL and MariaDB through PyMySQL."""

from __future__ import annotations

import contextlib
import math
import re
import ssl
from typing import TYPE_CHECKING, Any

import pymysql
from pymysql import err

from senior_backend.console.errors import InputError, UnavailableError
from senior_backend.migrate.databases.base import DatabaseError, Trouble

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from senior_backend.migrate.databases.urls import Address
    from senior_backend.migrate.statements import Engine, Statement

CONNECT_SECONDS = 10
# https://dev.mysql.com/doc/mysql-errors/8.4/en/server-error-reference.html, and MariaDB's own
_LOCK = {1205, 1213, 3572}
_LOST = {0, 1053, 1077, 1927, 2003, 2006, 2013, 2014, 2055, 4031}
_ENVIRONMENT = {1021, 1041, 1044, 1045, 1114, 1142, 1227, 1290, 1792, 1836, 1040, 3100}
_TIMEOUT = {1969, 3024}
_KEPT = ("foreign_key_checks", "unique_checks", "sql_mode", "sql_safe_updates", "time_zone", "autocommit", "sql_notes")


class MysqlDatabase:
    """A MySQL or MariaDB database. The runner's lock is a named lock of its session, taken by polling."""

    mark = "%s"

    def __init__(self, address: Address) -> None:
        self.address = address
        socket = address.host if address.host.startswith("/") else None
        try:
            self.connection = pymysql.connect(
                host=None if socket else address.host or "localhost",
                unix_socket=socket,
                port=address.port,
                user=address.user,
                password=address.password or "",
                database=address.database,
                charset=address.parameters.get("charset", "utf8mb4"),
                autocommit=True,
                connect_timeout=CONNECT_SECONDS,
                ssl=_tls(address),
            )
        except (pymysql.Error, OSError, RuntimeError) as error:
            message = str(error.args[1]) if len(error.args) > 1 else str(error)
            raise UnavailableError(
                f"cannot connect: {message}",
                code="database-unavailable",
                where=address.shown,
                hint="Check that the server runs, that the database exists, and the user and password of the URL.",
            ) from error
        text = str(self.query("SELECT VERSION()")[0][0])
        self.engine: Engine = "mariadb" if "mariadb" in text.lower() else "mysql"
        numbers = re.match(r"(?:5\.5\.5-)?(\d+)\.(\d+)(?:\.(\d+))?", text)
        self.version: tuple[int, ...] = tuple(int(part) for part in numbers.groups("0")) if numbers else (0,)
        self._session = self.query("SELECT " + ", ".join(f"@@SESSION.{name}" for name in _KEPT))[0]
        self._in_transaction = False

    def query(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Return the rows of a query."""
        with _translated(), self.connection.cursor() as cursor:
            cursor.execute(sql, tuple(parameters) or None)
            return list(cursor.fetchall())

    def run(self, statement: Statement) -> int:
        """Send one statement; its results are read to the end."""
        with _translated(), self.connection.cursor() as cursor:
            cursor.execute(statement.text)
            changed = cursor.rowcount
            while cursor.nextset():
                pass
            return changed

    def begin(self) -> None:
        """Open a transaction."""
        self.query("START TRANSACTION")
        self._in_transaction = True

    def commit(self) -> None:
        """Commit."""
        self.query("COMMIT")
        self._in_transaction = False

    def rollback(self) -> None:
        """Roll back where a transaction is open."""
        if self._in_transaction:
            self._in_transaction = False
            with contextlib.suppress(DatabaseError):
                self.query("ROLLBACK")

    def limit(self, lock_seconds: float, statement_seconds: float | None) -> None:
        """Set the waits for metadata and row locks (whole seconds), and MariaDB's limit of a statement."""
        wait = max(math.ceil(lock_seconds), 1) if lock_seconds else 31536000
        self.query("SET SESSION lock_wait_timeout = %s", (wait,))
        self.query("SET SESSION innodb_lock_wait_timeout = %s", (min(wait, 1073741824),))
        if self.engine == "mariadb" and statement_seconds is not None:
            self.query("SET SESSION max_statement_time = %s", (statement_seconds,))

    def try_lock(self) -> bool:
        """Try the named lock."""
        return bool(self.query("SELECT GET_LOCK(%s, 0)", (self._lock_name(),))[0][0])

    def unlock(self) -> None:
        """Give the named lock back."""
        self.query("SELECT RELEASE_LOCK(%s)", (self._lock_name(),))

    def as_itself(self) -> None:
        """There are no roles to leave."""

    def restore_session(self) -> None:
        """Put back the variables that migrations set, and the database."""
        self.query("USE " + self.quoted(self.address.database))
        assignments = ", ".join(f"SESSION {name} = %s" for name in _KEPT)
        self.query(f"SET {assignments}", self._session)

    def tables(self) -> dict[str, dict[str, str]]:
        """Return tables and columns of the database."""
        rows = self.query(
            "SELECT c.table_name, c.column_name, c.column_type FROM information_schema.columns AS c "
            "JOIN information_schema.tables AS t ON t.table_schema = c.table_schema AND t.table_name = c.table_name "
            "WHERE c.table_schema = DATABASE() AND t.table_type = 'BASE TABLE' ORDER BY 1, c.ordinal_position"
        )
        found: dict[str, dict[str, str]] = {}
        for table, column, kind in rows:
            found.setdefault(str(table), {})[str(column)] = kind.decode() if isinstance(kind, bytes) else str(kind)
        return found

    def has_table(self, name: str) -> bool:
        """Whether the table exists."""
        return bool(
            self.query(
                "SELECT 1 FROM information_schema.tables WHERE table_schema = %s AND table_name = %s",
                (self.address.database, name),
            )
        )

    def own(self, name: str) -> str:
        """Return a table of the tool as SQL."""
        return self.quoted(f"{self.address.database}.{name}")

    def broken_references(self) -> int:
        """InnoDB sees to its foreign keys itself."""
        return 0

    def quoted(self, name: str) -> str:
        """Return a name in backticks, part by part."""
        return ".".join("`" + part.replace("`", "``") + "`" for part in name.split("."))

    def identity(self) -> str:
        """Return what names the server (MySQL: its UUID; MariaDB: host, port, data directory) and the database."""
        names = "@@server_uuid" if self.engine == "mysql" else "@@hostname, @@port, @@datadir"
        row = self.query(f"SELECT {names}")[0]
        return f"mysql:{':'.join(str(part) for part in row)}:{self.address.database}"

    def blockers(self, table: str | None) -> list[str]:
        """Return the oldest open transactions of other sessions."""
        del table
        try:
            rows = self.query(
                "SELECT trx_mysql_thread_id, TIMESTAMPDIFF(SECOND, trx_started, NOW()) "
                "FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> CONNECTION_ID() "
                "ORDER BY 2 DESC LIMIT 3"
            )
        except DatabaseError:
            return []
        return [f"thread {thread}, a transaction open for {age} s" for thread, age in rows]

    def lag_seconds(self) -> float:
        """A source does not know the lag of its replicas; where this server is one itself, return its own."""
        with contextlib.suppress(DatabaseError):
            return next((lag for lag in self.behind() if lag is not None), 0.0)
        return 0.0

    def behind(self) -> list[float | None]:
        """Return the seconds that this server is behind each of its sources, None for one that it does not follow now.

        Raises:
            DatabaseError: the account may not ask (REPLICATION CLIENT; on MariaDB from 10.5 on REPLICA MONITOR).
        """
        with self.connection.cursor(pymysql.cursors.DictCursor) as cursor, _translated():
            cursor.execute("SHOW ALL SLAVES STATUS" if self.engine == "mariadb" else _replica_words(self.version)[0])
            rows = cursor.fetchall()
        lags = [row.get("Seconds_Behind_Master", row.get("Seconds_Behind_Source")) for row in rows]
        return [None if lag is None else float(lag) for lag in lags]

    def replicas(self) -> int:
        """Return how many replicas are connected, 0 where the account may not ask."""
        with contextlib.suppress(DatabaseError):
            words = "SHOW SLAVE HOSTS" if self.engine == "mariadb" else _replica_words(self.version)[1]
            return len(self.query(words))
        return 0

    def close(self) -> None:
        """Close the connection, and with it the lock."""
        with contextlib.suppress(pymysql.Error):
            self.connection.close()

    def _lock_name(self) -> str:
        return f"db_migrate:{self.address.database}"[:64]


def _replica_words(version: tuple[int, ...]) -> tuple[str, str]:
    """Return how MySQL is asked for its own replication and for its replicas: renamed in 8.0.22, gone by 8.4."""
    old = version < (8, 0, 22)
    return ("SHOW SLAVE STATUS", "SHOW SLAVE HOSTS") if old else ("SHOW REPLICA STATUS", "SHOW REPLICAS")


def _tls(address: Address) -> ssl.SSLContext | None:
    mode = address.parameters.get("ssl-mode", address.parameters.get("tls", "")).lower().replace("-", "_")
    if mode in ("", "disabled", "false", "preferred"):
        return None
    if mode not in ("required", "verify_ca", "verify_identity", "true"):
        raise InputError(
            f"unknown ssl-mode '{mode}'",
            code="bad-database-url",
            hint="Use ssl-mode=VERIFY_IDENTITY, VERIFY_CA or DISABLED.",
        )
    context = ssl.create_default_context(cafile=address.parameters.get("ssl-ca"))
    context.check_hostname = mode != "verify_ca"
    return context


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (pymysql.Error, err.InterfaceError) as error:
        code = int(error.args[0]) if error.args and isinstance(error.args[0], int) else 0
        message = str(error.args[1]) if len(error.args) > 1 else str(error)
        trouble: Trouble = "statement"
        if code in _LOST:
            trouble, message = "lost", message or "the connection is closed"
        elif code in _LOCK:
            trouble = "lock"
        elif code in _TIMEOUT:
            trouble = "timeout"
        elif code in _ENVIRONMENT:
            trouble = "environment"
        raise DatabaseError(message, trouble, code=str(code)) from error
