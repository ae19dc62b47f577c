"""The commands `verify` and `baseline`: whether files and database fit, and how to say that they do."""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from senior_backend.console.errors import InputError, RefusedError, UnavailableError, did_you_mean
from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.report import Finding, NextCommand, Report
from senior_backend.migrate import calls, ledger, session
from senior_backend.migrate.databases.base import DatabaseError
from senior_backend.migrate.databases.opening import open_database

if TYPE_CHECKING:
    import argparse

    from senior_backend.migrate.databases.base import Database
    from senior_backend.migrate.files import Folder, Migration
    from senior_backend.migrate.ledger import State


def verify(options: argparse.Namespace) -> tuple[Report, str]:
    """Return whether files and database fit.

    Raises:
        ToolError: nothing could be checked.
    """
    address = session.address_of(options)
    folder = session.folder_of(options)
    database = session.connect_to_read(address)
    if database is None:
        raise UnavailableError(
            f"there is no database {address.shown}",
            code="database-unavailable",
            where=address.shown,
            hint="Apply the migrations first: db_migrate.py up",
        )
    try:
        state = ledger.read(database)
        view = session.View(address, database.engine, folder, state, database.identity())
        findings = session.problems(view)
        findings.extend(_invalid_indexes(database))
        broken = database.broken_references()
    finally:
        database.close()
    if broken:
        findings.append(
            Finding(
                "broken-references", "error", f"{broken} rows refer to rows that are gone", address.shown,
                "PRAGMA foreign_key_check lists them.",
            )
        )  # fmt: skip
    pending = [row for row in session.rows(folder, state) if row.state == "pending"]
    findings.extend(Finding("pending", "error", "not applied yet", row.file, "db_migrate.py up") for row in pending)
    findings.extend(
        Finding(
            "no-checksum",
            "info",
            "applied by another runner, so an edit cannot be seen",
            row.file,
            f"db_migrate.py baseline --only {row.version}",
        )
        for row in session.rows(folder, state)
        if row.state == "applied" and row.version not in state.files
    )
    wrong = sum(1 for finding in findings if finding.severity == "error")
    summary = f"{wrong} problems between {folder.path} and {address.shown}" if wrong else (
        f"{len(state.applied)} migrations applied to {address.shown}; all of them fit their files"
    )  # fmt: skip
    data = {"database": address.shown, "applied": len(state.applied), "problems": wrong}
    return Report("db_migrate", ExitCode.FAILED if wrong else ExitCode.OK, summary, tuple(findings), data), ""


def baseline(options: argparse.Namespace) -> tuple[Report, str]:
    """Write down that files are applied.

    Raises:
        InputError: no version is given, or there is none of that name.
        RefusedError: the database is not local and the token is missing, or a file is half-way.
    """
    folder = session.folder_of(options)
    chosen = _chosen(options, folder)
    address = session.address_of(options)
    if address.engine == "sqlite" and (address.path is None or not address.path.exists()):
        raise UnavailableError(
            f"there is no database {address.shown}", code="database-unavailable", where=address.shown,
            hint="A baseline is for a database that exists already; a new one is made by db_migrate.py up.",
        )  # fmt: skip
    database = open_database(address)
    try:
        _lock(database, options.wait)
        state = ledger.read(database)
        _check(chosen, state, database, options.token)
        ledger.create(database)
        database.begin()
        for one in chosen:
            ledger.finish(database, one, "up", {"mode": "baseline"})
        database.commit()
    except DatabaseError as error:
        raise UnavailableError(
            f"the database cannot be written: {error.message}",
            code="database-unavailable",
            where=address.shown,
            hint="Nothing was written down. Check permissions and space.",
        ) from error
    finally:
        database.close()
    versions = [one.version for one in chosen]
    summary = f"{len(chosen)} files are written down as applied to {address.shown}; nothing was run"
    data = {"database": address.shown, "versions": versions}
    following = (NextCommand(calls.command("status", like=options), "see what is applied"),)
    return Report("db_migrate", ExitCode.OK, summary, (), data, following), "\n".join(
        str(one.path) for one in chosen[-50:]
    )


def _chosen(options: argparse.Namespace, folder: Folder) -> list[Migration]:
    if (options.version is None) == (options.only is None):
        raise InputError(
            "a baseline needs either VERSION or --only VERSION",
            code="usage",
            hint="Name the last version that the database already has, such as "
            f"{folder.migrations[-1].version}; `status` lists them.",
        )
    wanted = options.version or options.only
    versions = [one.version for one in folder.migrations]
    if wanted not in versions:
        raise InputError(
            f"there is no version {wanted}{did_you_mean(wanted, versions)}",
            code="unknown-version",
            where=str(folder.path),
            hint="`db_migrate.py status` lists the versions.",
        )
    if options.only:
        return [one for one in folder.migrations if one.version == wanted]
    return [one for one in folder.migrations if one.version <= wanted]


def _check(chosen: list[Migration], state: State, database: Database, token: str | None) -> None:
    half = [one.version for one in chosen if state.steps.get(one.version)]
    if half:
        raise RefusedError(
            f"version {half[0]} stopped half-way", code="half-way", where=half[0], hint="Finish it: db_migrate.py up"
        )
    if database.address.local:
        return
    content = [database.identity(), *(f"{one.version}:{one.checksum}" for one in chosen), *sorted(state.applied)]
    expected = hashlib.sha256("\n".join(["baseline", *content]).encode()).hexdigest()[:16]
    if token != expected:
        raise RefusedError(
            f"{database.address.shown} is not on this machine; {len(chosen)} files would be written down as applied",
            code="token-needed",
            where=database.address.shown,
            hint=f"If it already is as these files say, repeat the call with --token {expected}",
        )


def _lock(database: Database, wait: float) -> None:
    deadline = time.monotonic() + wait
    while not database.try_lock():
        if time.monotonic() > deadline:
            raise UnavailableError(
                f"another runner has held the lock for {wait:g} s",
                code="runner-locked",
                where=database.address.shown,
                hint="Wait for it to end.",
            )
        time.sleep(0.2)


def _invalid_indexes(database: Database) -> list[Finding]:
    if database.engine != "postgresql":
        return []
    rows = database.query(
        "SELECT i.indexrelid::regclass::text FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid "
        "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
        "WHERE NOT i.indisvalid AND c.relkind = 'i' AND n.nspname NOT IN ('pg_catalog', 'pg_toast')"
    )
    return [
        Finding(
            "invalid-index",
            "error",
            f"index {name} is not valid: no query uses it, and every write pays for it",
            str(name),
            f"DROP INDEX CONCURRENTLY {name}; then create it again, CONCURRENTLY.",
        )
        for (name,) in rows
    ]
