"""Opens the database that a URL names; a driver is imported only when its engine is used."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.console import environment

if TYPE_CHECKING:
    from senior_backend.migrate.databases.base import Database
    from senior_backend.migrate.databases.urls import Address


def open_database(address: Address, *, read_only: bool = False) -> Database:
    """Return an open connection.

    `read_only` opens an SQLite file without a way to write; on servers it changes nothing.

    Raises:
        UnavailableError: the server does not answer, refuses, or has no such database; or a driver cannot be had.
    """
    if address.engine == "sqlite":
        from senior_backend.migrate.databases.sqlite import SqliteDatabase

        return SqliteDatabase(address, read_only=read_only)
    if address.engine == "postgresql":
        environment.ensure("migrate", ["psycopg"])
        from senior_backend.migrate.databases.postgresql import PostgresqlDatabase

        return PostgresqlDatabase(address)
    environment.ensure("migrate", ["pymysql"])
    from senior_backend.migrate.databases.mysql import MysqlDatabase

    return MysqlDatabase(address)
