"""The command `new`: from a name to files, in the format of the tool that the project has."""

from __future__ import annotations

import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from senior_backend.console.errors import InputError, ToolError, UnavailableError, UndecidedError, did_you_mean
from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.files import write_atomically
from senior_backend.console.report import Finding, NextCommand, Report
from senior_backend.migrate import adapters, calls, files, naming, render, session
from senior_backend.migrate.fields import parse_fields
from senior_backend.migrate.known import Tables, known_tables
from senior_backend.migrate.options import DEFAULT_FOLDER, URL_VARIABLE, engine_of
from senior_backend.migrate.statements import split
from senior_backend.migrate.writer import Part, write

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Sequence

    from senior_backend.migrate.adapters import Adapter, Unit
    from senior_backend.migrate.naming import Candidate, Intent
    from senior_backend.migrate.statements import Engine


def new(options: argparse.Namespace) -> tuple[Report, str]:
    """Write the migration that the call asks for.

    Raises:
        InputError: the name or a field is wrong, or does not fit the tables that exist.
        UndecidedError: the name has several readings.
    """
    name = naming.snake(options.name)
    fields = parse_fields(options.fields)
    adapter = _adapter() if options.migrations_dir == DEFAULT_FOLDER else None
    if adapter and adapter.name == "dbmate":
        # Its format is this tool's own.
        named = options.engine or options.database_url or os.environ.get(URL_VARIABLE)
        options.engine = options.engine if named else adapter.module.engine(adapter.root)
        options.migrations_dir, adapter = adapter.root, None
    app = _django_app(options.migrations_dir)
    engine, live, notes = _database(options, adapter)
    tables = _catalogue(options, adapter, engine, live)
    candidates = naming.read_name(name, fields, tables)
    chosen = _choose(candidates, name, options.choose)
    intent = naming.spelled(chosen.intent, tables)
    naming.check(intent, tables)
    # Alembic's revisions are Python that runs on SQLite as well as on PostgreSQL.
    written = "postgresql" if adapter and adapter.name == "alembic" and engine == "sqlite" else engine
    parts = write(name, intent, written, tables, timestamps=not options.no_timestamps)
    if engine == "sqlite" and intent.kind == "remove-columns":
        parts = _rebuilt(options, intent, parts)
    now = datetime.now(UTC)
    if adapter:
        planned = adapter.module.new(adapter.root, parts, engine, now)
    elif app is not None:
        from senior_backend.migrate.adapters.django import in_app

        planned = in_app(app, parts)
    else:
        planned = own_files(options.migrations_dir, parts, now)
    if not options.dry_run:
        for path, _ in planned:
            if path.exists() and not (adapter and adapter.module.MAY_EXTEND):
                raise InputError(
                    f"{path} exists already", code="file-exists", where=str(path), hint="Choose another name."
                )
        for path, text in planned:
            write_atomically(path, text)
    tool = adapter.name if adapter else "django" if app else "dbmate"
    return _report(options, adapter, parts, planned, engine=engine, tool=tool, notes=notes)


def _adapter() -> Adapter | None:
    """Return the tool of the project here; the usual folder is ours where it shows no other tool."""
    found = adapters.detect(Path())
    return found if found is not None or DEFAULT_FOLDER.is_dir() else adapters.find(Path())


def own_files(folder: Path, parts: Sequence[Part], now: datetime) -> list[tuple[Path, str]]:
    """Return the paths and texts of `parts` in this tool's own format, behind the versions of the folder."""
    existing = files.versions(folder)
    first = now.strftime("%Y%m%d%H%M%S")
    if existing and existing[-1] >= first and len(existing[-1]) == len(first):
        try:
            now = datetime.strptime(existing[-1], "%Y%m%d%H%M%S").replace(tzinfo=UTC) + timedelta(seconds=1)
            numbers = [(now + timedelta(seconds=index)).strftime("%Y%m%d%H%M%S") for index in range(len(parts))]
        except ValueError:
            numbers = [str(int(existing[-1]) + 1 + index) for index in range(len(parts))]
    elif existing and len(existing[-1]) != len(first):
        # A folder keeps to the length that its versions have: they compare as text.
        width = len(existing[-1])
        numbers = [str(int(existing[-1]) + 1 + index).zfill(width) for index in range(len(parts))]
    else:
        numbers = [(now + timedelta(seconds=index)).strftime("%Y%m%d%H%M%S") for index in range(len(parts))]
    return [
        (folder / f"{number}_{part.slug}.sql", render.dbmate(part)) for number, part in zip(numbers, parts, strict=True)
    ]


def _database(options: argparse.Namespace, adapter: Adapter | None) -> tuple[Engine, Tables | None, list[Finding]]:
    """Return the engine, the live tables (None where there is no database to ask), and notes."""
    named = options.database_url or os.environ.get(URL_VARIABLE)
    if adapter and not named:
        engine: Engine = options.engine or adapter.module.engine(adapter.root) or "postgresql"
        return engine, None, []
    address = session.address_of(options)
    if options.engine and options.engine != address.engine and not named:
        chosen: Engine = options.engine
        return chosen, None, []
    try:
        database = session.connect_to_read(address)
        if database is None:
            return engine_of(options), None, []
        try:
            return options.engine or database.engine, database.tables(), []
        finally:
            database.close()
    except ToolError as error:
        if isinstance(error, InputError):
            raise
        note = Finding(
            "database-unavailable", "warning", f"written without the database: {error.message}", error.where, error.hint
        )
        return engine_of(options), None, [note]


def _catalogue(
    options: argparse.Namespace, adapter: Adapter | None, engine: Engine, live: Tables | None
) -> Tables | None:
    own = {"schema_migrations", "_db_migrate_ledger"}
    base = {table: columns for table, columns in (live or {}).items() if table not in own}
    texts = list(_earlier(options, adapter, engine))
    if adapter and not texts and hasattr(adapter.module, "tables"):
        base = adapter.module.tables(adapter.root) | base
    tables = known_tables(base, texts, engine) if not base or texts else base
    return tables if tables or texts or base else None


def _earlier(options: argparse.Namespace, adapter: Adapter | None, engine: Engine) -> Iterable[str]:
    """Yield the statements of earlier migrations; files that cannot be read say nothing here, and `lint` says why."""
    if adapter:
        for unit in _readable(adapter):
            try:
                yield from (one.text for one in split(unit.text, unit.engine or engine))
            except InputError:
                continue
        return
    if not options.migrations_dir.is_dir():
        return
    for path in sorted(options.migrations_dir.glob("*.sql")):
        try:
            migration = files.parse(path, files.read_text(path))
            yield from (one.text for one in migration.statements("up", engine))
        except InputError:
            continue


def _readable(adapter: Adapter) -> Iterable[Unit]:
    try:
        yield from adapter.module.read(adapter.root)
    except UnavailableError:
        return  # its tool does not run here: then nothing is known of the tables, and the file says so


def _django_app(folder: Path) -> Path | None:
    """Return the app whose migrations folder the call names."""
    named = folder.name == "migrations" and (folder / "__init__.py").is_file()
    return folder.parent if named and any(folder.glob("[0-9]*.py")) else None


def _rebuilt(options: argparse.Namespace, intent: Intent, parts: list[Part]) -> list[Part]:
    """Return the part as a rebuild where SQLite would refuse to drop the columns; needs the live table."""
    from senior_backend.migrate import sqlite_rebuild

    database = session.connect_to_read(session.address_of(options))
    if database is None:
        return parts
    try:
        objects = sqlite_rebuild.read_objects(database)
    finally:
        database.close()
    there = any(one.kind == "table" and one.name == intent.table for one in objects)
    if not there or not any(sqlite_rebuild.needed(objects, intent.table, column) for column in intent.columns):
        return parts
    changes = [sqlite_rebuild.Drop(column) for column in intent.columns]
    down = sqlite_rebuild.restore(objects, intent.table, changes)
    note = "SQLite does not drop such a column: the table is made anew. The runner copies the database first."
    return [
        replace(
            parts[0],
            up=sqlite_rebuild.rebuild(objects, intent.table, changes),
            down=down or (),
            irreversible=None if down else "the column cannot be empty, and its values are gone",
            notes=(*parts[0].notes, note),
        )
    ]


def _choose(candidates: list[Candidate], name: str, choice: str | None) -> Candidate:
    if choice is not None:
        known = [candidate.choice for candidate in candidates]
        if choice not in known:
            raise InputError(
                f"{name} cannot be read as '{choice}'{did_you_mean(choice, known)}",
                code="unknown-choice",
                hint=f"Readings: {', '.join(known)}.",
            )
        return next(candidate for candidate in candidates if candidate.choice == choice)
    if len(candidates) == 1:
        return candidates[0]
    raise AmbiguousNameError(name, candidates)


class AmbiguousNameError(UndecidedError):
    """A name with several readings; all of them are in the report's data."""

    def __init__(self, name: str, candidates: list[Candidate]) -> None:
        findings = [
            Finding("ambiguous-name", "error", candidate.summary, name, f"--choose {candidate.choice}")
            for candidate in candidates
        ]
        super().__init__(
            f"{name} has {len(candidates)} readings; nothing was written", code="ambiguous-name", findings=findings
        )
        self.name = name
        self.candidates = candidates

    def to_report(self, tool: str) -> Report:
        """Return the readings as data, with a command for each."""
        data = {"needs_choice": True, "candidates": [candidate.to_json() for candidate in self.candidates]}
        following = tuple(
            NextCommand(calls.command("new", self.name, "--choose", candidate.choice), candidate.summary)
            for candidate in self.candidates
        )
        return Report(tool, ExitCode.UNDECIDED, self.message, self.findings, data, following)


def _report(
    options: argparse.Namespace,
    adapter: Adapter | None,
    parts: list[Part],
    planned: list[tuple[Path, str]],
    *,
    engine: Engine,
    tool: str,
    notes: list[Finding],
) -> tuple[Report, str]:
    findings = list(notes)
    if parts[0].draft:
        findings.append(
            Finding(
                "draft",
                "warning",
                "; ".join(parts[0].notes) or "somebody has to decide",
                str(planned[0][0]),
                "Make the file what you want, then delete its line `-- db_migrate: draft`; `up` refuses it until then."
                if adapter is None
                else "Read the header, and make the file what you want before you apply it.",
            )
        )
    else:
        findings.extend(Finding("note", "info", note, str(planned[0][0])) for part in parts for note in part.notes)
    verb = "would write" if options.dry_run else "wrote"
    count = f"{len(planned)} files" if len(planned) > 1 else str(planned[0][0])
    summary = f"{verb} {count} ({engine}, {tool} format)" + (", a draft" if parts[0].draft else "")
    data = {
        "engine": engine,
        "format": tool,
        "draft": parts[0].draft,
        "files": [{"path": str(path), "content": text} for path, text in planned],
    }
    body = "\n".join(f"{path}\n{text}" for path, text in planned)
    following: tuple[NextCommand, ...]
    if adapter is None:
        following = (NextCommand(calls.command("plan", like=options), "read what would run"),)
    else:
        following = (
            NextCommand(calls.command("lint"), "checks it behind the migrations before it"),
            NextCommand(adapter.module.APPLY, f"{adapter.name} applies its own files"),
        )
    return Report("db_migrate", ExitCode.OK, summary, tuple(findings), data, following), body
