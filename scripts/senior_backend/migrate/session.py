"""What the commands that meet a database share: opening it, reading its state, and showing it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from senior_backend.console.errors import InputError, RefusedError
from senior_backend.console.report import Finding
from senior_backend.migrate import ledger, plan
from senior_backend.migrate.databases.opening import open_database
from senior_backend.migrate.databases.urls import Address, parse_url
from senior_backend.migrate.files import Folder, load_folder
from senior_backend.migrate.options import DEFAULT_FOLDER, database_url

if TYPE_CHECKING:
    import argparse

    from senior_backend.migrate.databases.base import Database
    from senior_backend.migrate.ledger import State
    from senior_backend.migrate.statements import Engine

Place = Literal["applied", "pending", "half-way", "missing"]


@dataclass(frozen=True, slots=True)
class Row:
    """One version as `status` shows it."""

    version: str
    name: str
    state: Place
    file: str | None
    marks: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the row as JSON."""
        return {
            "version": self.version,
            "name": self.name,
            "state": self.state,
            "file": self.file,
            "marks": list(self.marks),
        }


@dataclass(frozen=True, slots=True)
class View:
    """A folder and the state of a database, read without changing either."""

    address: Address
    engine: Engine
    folder: Folder
    state: State
    identity: str
    version: tuple[int, ...] | None = None


def address_of(options: argparse.Namespace) -> Address:
    """Return the address of the database that the call names.

    Raises:
        InputError: the URL is not understood, or names a database in memory.
    """
    address = parse_url(database_url(options))
    if address.engine == "sqlite" and address.path is None:
        raise InputError(
            "a database in memory is gone when the command ends",
            code="bad-database-url",
            hint="Name a file: sqlite:db/database.sqlite3",
        )
    return address


def folder_of(options: argparse.Namespace) -> Folder:
    """Return the folder of migrations that the call names.

    Raises:
        RefusedError: the project has another migration tool; a second runner would only disagree with it.
        UndecidedError: several parts of the project have one.
        InputError: the folder is missing, empty or holds malformed files.
    """
    try:
        return load_folder(options.migrations_dir)
    except InputError as error:
        if options.migrations_dir != DEFAULT_FOLDER or error.code not in ("no-migrations", "bad-migration-file"):
            raise
        from senior_backend.migrate import adapters

        adapter = adapters.find(Path())
        if adapter is not None and adapter.name == "dbmate":
            return load_folder(adapter.root)
        if adapter is None:
            raise
        raise RefusedError(
            f"this project has {adapter.name}, which applies its own migrations",
            code="other-tool",
            where=str(adapter.root),
            hint=f"Apply with: {adapter.module.APPLY}. `new` and `lint` work with its files.",
        ) from error


def connect_to_read(address: Address) -> Database | None:
    """Return a connection that changes nothing; None for an SQLite file that is not there yet.

    Raises:
        UnavailableError: the database cannot be reached.
    """
    if address.engine == "sqlite" and (address.path is None or not address.path.exists()):
        return None
    return open_database(address, read_only=True)


def look(options: argparse.Namespace) -> View:
    """Return the folder and the state that the call names.

    Raises:
        InputError: the folder or the URL is wrong.
        UnavailableError: the database cannot be reached.
    """
    address = address_of(options)
    folder = folder_of(options)
    database = connect_to_read(address)
    if database is None:
        from senior_backend.migrate.databases.sqlite import identity_of

        return View(address, address.engine, folder, ledger.State(), identity_of(address))
    try:
        return View(address, database.engine, folder, ledger.read(database), database.identity(), database.version)
    finally:
        database.close()


def rows(folder: Folder, state: State) -> list[Row]:
    """Return a row for each version that has a file or is applied."""
    files = {one.version: one for one in folder.migrations}
    changed = {finding.where for finding in plan.edited(folder, state)}
    latest = max(state.applied, default="")
    found: list[Row] = []
    for version in sorted({*files, *state.applied, *state.steps}):
        one = files.get(version)
        half = state.interrupted(version)
        place: Place = "applied" if version in state.applied else "pending"
        if one is None:
            found.append(Row(version, "", "missing", None))
            continue
        marks = []
        if str(one.path) in changed:
            marks.append("edited")
        if half is not None:
            place = "half-way"
            marks.append(half)
        elif place == "pending" and version < latest:
            marks.append("out-of-order")
        marks.extend(mark for mark, there in (("draft", one.draft), ("after-deploy", one.after_deploy)) if there)
        found.append(Row(version, one.name, place, str(one.path), tuple(marks)))
    return found


def problems(view: View) -> list[Finding]:
    """Return what does not hold between the folder and the database."""
    found = plan.edited(view.folder, view.state)
    for row in rows(view.folder, view.state):
        if row.state == "missing":
            found.append(
                Finding(
                    "missing-file",
                    "error",
                    f"version {row.version} is applied but has no file in {view.folder.path}",
                    row.version,
                    "Restore the file from version control.",
                )
            )
        elif row.state == "half-way":
            direction = row.marks[-1] if row.marks[-1] in ("up", "down") else "up"
            direction = "down" if "down" in row.marks else direction
            done = sum(1 for record in view.state.steps[row.version].values() if record.state == "done")
            found.append(
                Finding(
                    "half-way",
                    "error",
                    f"{direction} stopped half-way: {done} statements are done",
                    row.file,
                    f"Finish it: db_migrate.py {direction}",
                )
            )
        elif "out-of-order" in row.marks:
            found.append(
                Finding(
                    "out-of-order",
                    "error",
                    f"version {row.version} is pending, but a later one is already applied",
                    row.file,
                    "Rename it to a version behind the latest.",
                )
            )
    found.extend(
        Finding(
            "ignored-file",
            "warning",
            "the name has no version, so the file is no migration",
            str(path),
            "Name it <version>_<name>.sql, or move it elsewhere.",
        )
        for path in view.folder.ignored
    )
    return found
