"""Whether a statement that cannot share a transaction with the ledger took effect, and what it left behind.

PostgreSQL: an index that a broken CREATE INDEX CONCURRENTLY left is INVALID; a later IF NOT EXISTS would keep it, no
query would use it, and every write would pay for it. MySQL and MariaDB: DDL is atomic but commits on its own, so the
definitions of the objects it names, before and now, tell whether it ran.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from senior_backend.console.report import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from senior_backend.migrate.databases.base import Database
    from senior_backend.migrate.plan import Step


ATOMIC_SINCE = {"mysql": (8, 0), "mariadb": (10, 6)}


def cautions(database: Database) -> list[Finding]:
    """Return what has to be said about a server on which an interrupted DDL statement can be half done."""
    since = ATOMIC_SINCE.get(database.engine)
    if since is None or database.version >= since:
        return []
    number = ".".join(map(str, database.version))
    return [
        Finding(
            "ddl-not-atomic",
            "warning",
            f"DDL is not atomic on {database.engine} {number}: a crash inside a statement can leave it half done",
            database.address.shown,
            f"From {'.'.join(map(str, since))} on it is. Until then, look at the table before you go on after a crash.",
        )
    ]


def before(database: Database, step: Step) -> dict[str, Any]:
    """Return what has to be known of the time before the statement, as JSON can hold it."""
    if database.engine == "postgresql":
        from senior_backend.migrate import probes_postgresql

        return probes_postgresql.before(database, step)
    if database.engine in ("mysql", "mariadb"):
        from senior_backend.migrate import probes_mysql

        return probes_mysql.before(database, step)
    return {}


def outcome(database: Database, step: Step, note: Mapping[str, Any], *, same: bool) -> str:
    """Return `done`, `again` or `unknown` for a statement that was under way when its runner stopped.

    `same` says whether the file still holds the statement that was under way.
    """
    if database.engine == "postgresql":
        from senior_backend.migrate import probes_postgresql

        return probes_postgresql.outcome(database, step, note, same=same)
    if database.engine in ("mysql", "mariadb"):
        from senior_backend.migrate import probes_mysql

        return probes_mysql.outcome(database, note, same=same)
    return "again"  # SQLite: VACUUM, PRAGMA and ATTACH can be repeated


def repair(database: Database, step: Step) -> str | None:
    """Remove what an earlier, broken run of the statement left; return what was done."""
    if database.engine == "postgresql" and step.traits.concurrently:
        from senior_backend.migrate import probes_postgresql

        return probes_postgresql.repair(database, step)
    return None


def verify(database: Database, step: Step) -> None:
    """Check that a statement left what it promised.

    Raises:
        UnavailableError: an index is not valid.
    """
    if database.engine == "postgresql" and step.traits.concurrently:
        from senior_backend.migrate import probes_postgresql

        probes_postgresql.verify(database, step)
