"""The lag of replicas that a call names: MySQL and MariaDB sources do not know how far theirs are behind."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from senior_backend.console.errors import InputError, UnavailableError
from senior_backend.console.report import Finding
from senior_backend.migrate.databases.base import DatabaseError
from senior_backend.migrate.databases.opening import open_database
from senior_backend.migrate.databases.urls import parse_url

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.migrate.databases.base import Database
    from senior_backend.migrate.databases.urls import Address
    from senior_backend.migrate.plan import Plan


def named(urls: Sequence[str], engine: str) -> tuple[Address, ...]:
    """Return the addresses of the replicas, each asked once.

    Raises:
        InputError: a URL is not understood, or of no replica.
        UnavailableError: one cannot be reached or may not be asked.
    """
    addresses = tuple(parse_url(url) for url in urls)
    for address in addresses:
        if {address.engine, engine} - {"mysql", "mariadb"}:
            raise InputError(
                "--replica is for MySQL and MariaDB, whose source does not know how far its replicas are behind",
                code="bad-replica", where=address.shown,
                hint="Leave it out: a PostgreSQL primary knows, and SQLite has no replicas.",
            )  # fmt: skip
        try:
            lags = _ask(address)
        except DatabaseError as error:
            raise UnavailableError(
                f"the replica does not say how far it is behind: {error.message}",
                code="database-unavailable", where=address.shown,
                hint="GRANT REPLICATION CLIENT (MariaDB from 10.5 on: REPLICA MONITOR) ON *.* to its user.",
            ) from error  # fmt: skip
        if not lags:
            raise InputError(
                "this server is no replica", code="bad-replica", where=address.shown,
                hint="Name the server that follows the one of --database-url.",
            )  # fmt: skip
    return addresses


def lag(addresses: Sequence[Address]) -> float:
    """Return the lag of the slowest in seconds; infinite where one has stopped or cannot be asked."""
    slowest = 0.0
    for address in addresses:
        try:
            found = _ask(address)
        except (DatabaseError, UnavailableError):
            return math.inf
        slowest = max([slowest, *(math.inf if one is None else one for one in found or [None])])
    return slowest


def cautions(database: Database, wanted: Plan, watched: Sequence[Address]) -> list[Finding]:
    """Return what has to be said where a backfill runs beside replicas whose lag nobody looks at."""
    if watched or database.engine not in ("mysql", "mariadb"):
        return []
    from senior_backend.migrate.databases.mysql import MysqlDatabase

    assert isinstance(database, MysqlDatabase)
    if not any(step.backfill is not None for item in wanted.items for step in item.steps):
        return []
    count = database.replicas()
    return [
        Finding(
            "replica-lag-unseen", "warning",
            f"the backfill does not pause for {count} {'replica' if count == 1 else 'replicas'}: "
            "a source does not know how far its replicas are behind",
            database.address.shown, "Name each with --replica URL.",
        )
    ] if count else []  # fmt: skip


def _ask(address: Address) -> list[float | None]:
    replica = open_database(address)
    try:
        from senior_backend.migrate.databases.mysql import MysqlDatabase

        assert isinstance(replica, MysqlDatabase)
        return replica.behind()
    finally:
        replica.close()
