"""What was applied: dbmate's `schema_migrations`, and a second table with checksums and the progress of each statement.

`_db_migrate_ledger` has one row for each file (`step` 0) and, while a file runs outside one transaction, one row for
each of its statements. A statement that can run in a transaction commits together with its row, so its row is the
truth. One that cannot gets a row `started` before and `done` after; what was found before it is kept in `note`, so
that after a crash the runner can see whether the statement took effect.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from senior_backend.console.errors import RefusedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from senior_backend.migrate.databases.base import Database
    from senior_backend.migrate.files import Direction, Migration

VERSIONS = "schema_migrations"
LEDGER = "_db_migrate_ledger"


_FOREIGN = {
    "alembic_version": "Alembic",
    "django_migrations": "Django",
    "_prisma_migrations": "Prisma",
    "flyway_schema_history": "Flyway",
    "goose_db_version": "goose",
    "databasechangelog": "Liquibase",
    "DATABASECHANGELOG": "Liquibase",
    "ar_internal_metadata": "Rails",
    "__EFMigrationsHistory": "Entity Framework",
    "atlas_schema_revisions": "Atlas",
}


@dataclass(frozen=True, slots=True)
class Record:
    """One row of the ledger. `state` is `applied` for a file, `started` or `done` for a statement."""

    version: str
    step: int
    direction: str
    state: str
    checksum: str
    note: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class State:
    """What a database says about its migrations. A version without a file record was applied by another runner."""

    applied: frozenset[str] = frozenset()
    files: Mapping[str, Record] = field(default_factory=dict)
    steps: Mapping[str, Mapping[int, Record]] = field(default_factory=dict)

    def interrupted(self, version: str) -> str | None:
        """Return the direction in which a version is half-way, None where it is not."""
        steps = self.steps.get(version)
        return next(iter(steps.values())).direction if steps else None


def create(database: Database) -> None:
    """Create both tables where they are missing; needs no open transaction."""
    suffix = " ENGINE=InnoDB" if database.engine in ("mysql", "mariadb") else ""
    if not database.has_table(VERSIONS):
        database.query(
            f"CREATE TABLE IF NOT EXISTS {database.own(VERSIONS)} (version varchar(128) PRIMARY KEY){suffix}"
        )
    if not database.has_table(LEDGER):
        database.query(
            f"CREATE TABLE IF NOT EXISTS {database.own(LEDGER)} (version varchar(128) NOT NULL, step integer NOT NULL, "
            "direction varchar(4) NOT NULL, state varchar(8) NOT NULL, checksum varchar(64) NOT NULL, "
            f"note text NOT NULL, noted_at varchar(32) NOT NULL, PRIMARY KEY (version, step)){suffix}"
        )


def refuse_foreign(database: Database) -> None:
    """Refuse to be the second runner of a database; one that was baselined has said that it wants this one.

    Raises:
        RefusedError: another tool keeps its history there, and this one does not yet.
    """
    if database.has_table(LEDGER):
        return
    owner = next((tool for table, tool in _FOREIGN.items() if database.has_table(table)), None)
    if owner is None and database.has_table(VERSIONS) and "dirty" in database.tables().get(VERSIONS, {}):
        raise RefusedError(
            f"{VERSIONS} belongs to golang-migrate",
            code="other-tool",
            where=database.address.shown,
            hint="Go on with golang-migrate; its table has another shape.",
        )
    if owner is not None:
        raise RefusedError(
            f"{owner} keeps its history in this database",
            code="other-tool",
            where=database.address.shown,
            hint=f"Go on with {owner}. To move away from it, write down what is there: db_migrate.py baseline VERSION",
        )


def read(database: Database) -> State:
    """Return the state of a database; that of one without the tables is empty."""
    applied: frozenset[str] = frozenset()
    if database.has_table(VERSIONS):
        rows = database.query(f"SELECT version FROM {database.own(VERSIONS)}")  # noqa: S608 - our own table
        applied = frozenset(str(row[0]) for row in rows)
    files: dict[str, Record] = {}
    steps: dict[str, dict[int, Record]] = {}
    if database.has_table(LEDGER):
        found = database.query(
            f"SELECT version, step, direction, state, checksum, note FROM {database.own(LEDGER)} ORDER BY version, step"  # noqa: S608
        )
        for version, step, direction, state, checksum, note in found:
            record = Record(version, step, direction, state, checksum, json.loads(note))
            if step == 0:
                files[version] = record
            else:
                steps.setdefault(version, {})[step] = record
    return State(applied, files, steps)


def note_step(
    database: Database,
    migration: Migration,
    direction: Direction,
    *,
    step: int,
    state: str,
    checksum: str,
    note: Mapping[str, Any] | None = None,
) -> None:
    """Write the row of a statement, in the open transaction or in one of its own."""
    own, mark = database.own(LEDGER), database.mark
    content = json.dumps(note or {}, ensure_ascii=False)
    updated = database.query(
        f"SELECT 1 FROM {own} WHERE version = {mark} AND step = {mark}",  # noqa: S608
        (migration.version, step),
    )
    if updated:
        database.query(
            f"UPDATE {own} SET direction = {mark}, state = {mark}, checksum = {mark}, note = {mark}, noted_at = {mark} "  # noqa: S608
            f"WHERE version = {mark} AND step = {mark}",
            (direction, state, checksum, content, _now(), migration.version, step),
        )
    else:
        _insert(database, (migration.version, step, direction, state, checksum, content, _now()))


def finish(database: Database, migration: Migration, direction: Direction, note: Mapping[str, Any]) -> None:
    """Write down, in the open transaction, that a file is applied or taken back."""
    versions, own, mark = database.own(VERSIONS), database.own(LEDGER), database.mark
    database.query(f"DELETE FROM {own} WHERE version = {mark}", (migration.version,))  # noqa: S608
    database.query(f"DELETE FROM {versions} WHERE version = {mark}", (migration.version,))  # noqa: S608
    if direction == "up":
        database.query(f"INSERT INTO {versions} (version) VALUES ({mark})", (migration.version,))  # noqa: S608
        content = json.dumps(dict(note), ensure_ascii=False)
        _insert(database, (migration.version, 0, "up", "applied", migration.checksum, content, _now()))


def _insert(database: Database, values: tuple[Any, ...]) -> None:
    marks = ", ".join([database.mark] * len(values))
    database.query(
        f"INSERT INTO {database.own(LEDGER)} (version, step, direction, state, checksum, note, noted_at) "  # noqa: S608
        f"VALUES ({marks})",
        values,
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
