"""The sub-command `rewrite`: migrations in, a sequence of safe ones out."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from senior_backend.console import environment
from senior_backend.console.errors import InputError
from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.files import write_atomically
from senior_backend.console.report import Finding, NextCommand, Report
from senior_backend.migrate import calls, files, lint_projects, lint_sources

if TYPE_CHECKING:
    import argparse
    import sqlite3
    from collections.abc import Sequence

    from senior_backend.migrate.catalog import Catalog
    from senior_backend.migrate.hazards.rule import Unit
    from senior_backend.migrate.lint import LintResult
    from senior_backend.migrate.rewrites.plan import Plan
    from senior_backend.migrate.rewrites.render import Written
    from senior_backend.migrate.statements import Engine

TOOL = "db_migrate"


def rewrite_command(options: argparse.Namespace) -> tuple[Report, str]:
    """Rewrite what the call names and return the report.

    Raises:
        ToolError: the call or a file is wrong, or a file exists already.
    """
    paths = lint_projects.paths_named(options.paths, options.migrations_dir)
    units, project_engine = lint_sources.units_of(paths)
    engine = _engine(options, units, project_engine)
    environment.ensure("migrate", ["postgast", "jinja2"] if engine == "postgresql" else ["jinja2"])
    return _rewrite(options, units, engine)


def _engine(options: argparse.Namespace, units: Sequence[Unit], project: Engine | None) -> Engine:
    if options.engine:
        return options.engine  # type: ignore[no-any-return]
    if options.database_url:
        from senior_backend.migrate.databases.urls import parse_url

        return parse_url(options.database_url).engine
    return project or lint_sources.engine_from_text(list(units))


def _rewrite(options: argparse.Namespace, units: Sequence[Unit], engine: Engine) -> tuple[Report, str]:
    from senior_backend.migrate.catalog import Catalog
    from senior_backend.migrate.catalog_replay import apply
    from senior_backend.migrate.lint import read_statements
    from senior_backend.migrate.rewrites import plan as planning
    from senior_backend.migrate.rewrites import render, waivers
    from senior_backend.migrate.rewrites.model import Memory
    from senior_backend.migrate.rewrites.sqlite.rebuild import follow

    catalog = Catalog(engine)
    if options.database_url:
        from senior_backend.migrate import catalog_live

        catalog, applied = catalog_live.read(options.database_url)
        paths = lint_projects.paths_named(options.paths, options.migrations_dir)
        units, _ = lint_sources.units_of(paths, applied)
    memory = Memory(sqlite=_sqlite(options) if engine == "sqlite" else None)
    before: list[Unit] = []
    if options.schema:
        units = [*_unlinted(lint_sources.units_of([str(options.schema)])[0]), *units]
    results: list[tuple[Unit, Plan, list[Written]]] = []
    for number, unit in zip(count(planning.NUMBERS, planning.NUMBERS), units):
        if not unit.lint:
            before.append(unit)
            for parsed in read_statements(unit.text, engine):
                if memory.sqlite is not None:
                    follow(memory.sqlite, parsed.statement.text)
                for operation in parsed.operations:
                    planning.remember(operation, parsed.statement.text, catalog, memory)
                    apply(catalog, operation, number)
            continue
        text, start, end, transaction, down, version, name = _section(unit)
        plan = planning.plan(
            text, start, end, transaction=transaction, catalog=catalog, number=number, memory=memory, down=down
        )
        taken = files.versions(Path(unit.path).parent) if unit.path != "<stdin>" else []
        original = Path(unit.path).name
        written = render.written(plan, original, version, name, taken, engine=engine) if plan.changed else []
        results.append((unit, plan, written))
        before.append(unit)
    first = _relint(before, results, options, engine)
    results = [(unit, plan, [waivers.waived(one, first.found) for one in written]) for unit, plan, written in results]
    return _report(options, engine, results, _relint(before, results, options, engine))


def _sqlite(options: argparse.Namespace) -> sqlite3.Connection:
    """Return a database in memory with the schema of the live one, empty where none is named."""
    import sqlite3

    from senior_backend.migrate.databases.urls import parse_url
    from senior_backend.migrate.rewrites.sqlite.rebuild import schema_of

    path = parse_url(options.database_url).path if options.database_url else None
    if path is None or not path.is_file():
        return schema_of([])
    live = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    found = live.execute(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%' ORDER BY rowid"
    )
    texts = [str(row[0]) for row in found]
    live.close()
    return schema_of(texts)


def _start(options: argparse.Namespace, engine: Engine) -> Catalog:
    from senior_backend.migrate.catalog import Catalog

    if options.database_url:
        from senior_backend.migrate import catalog_live

        return catalog_live.read(options.database_url)[0]
    return Catalog(engine)


def _unlinted(units: Sequence[Unit]) -> list[Unit]:
    from dataclasses import replace

    return [replace(unit, lint=False) for unit in units]


def _section(unit: Unit) -> tuple[str, int, int, bool, str | None, str, str]:
    """Return text, bounds, transaction, way back, version and name of a migration of any tool."""
    path = Path(unit.path)
    if unit.path == "<stdin>":
        return unit.text, 0, len(unit.text), unit.transaction is not False, None, "", "migration"
    text = files.read_text(path)
    if "migrate:up" in text and files.versions(path.parent):
        migration = files.parse(path, text)
        section = migration.up_section
        return text, section.start, section.end, section.transaction, migration.down, migration.version, migration.name
    if _rendered(unit):
        return unit.text, 0, len(unit.text), unit.transaction is not False, None, "", path.stem
    digits = path.stem[: len(path.stem) - len(path.stem.lstrip("0123456789"))]
    name = path.stem[len(digits) :].strip("_-. ") or "migration"
    return unit.text, 0, len(unit.text), unit.transaction is not False, None, digits, name


def _rendered(unit: Unit) -> bool:
    """Whether the SQL of a migration is what the project's tool makes of a program."""
    return unit.path != "<stdin>" and Path(unit.path).suffix != ".sql"


def _relint(
    before: Sequence[Unit],
    results: Sequence[tuple[Unit, Plan, list[Written]]],
    options: argparse.Namespace,
    engine: Engine,
) -> LintResult:
    """Return what the linter finds in the new files, on the schema that the earlier ones leave behind."""
    from senior_backend.migrate.hazards.registry import rules_for
    from senior_backend.migrate.hazards.rule import Unit
    from senior_backend.migrate.lint import Linter

    replaced = {unit.path: written for unit, _, written in results}
    units: list[Unit] = []
    for unit in before:
        if not replaced.get(unit.path):
            units.append(unit)
            continue
        for one in replaced[unit.path]:
            migration = files.parse(Path(one.name if one.name[0].isdigit() else f"0{one.name}"), one.text)
            section = migration.up_section
            hidden = "".join("\n" if c == "\n" else " " for c in one.text[: section.start])
            units.append(Unit(one.name, hidden + migration.up, section.transaction, timeouts=True))
    catalog = _start(options, engine)
    return Linter(catalog, rules_for(engine, catalog.version)).run(units)


def _report(
    options: argparse.Namespace, engine: Engine, results: Sequence[tuple[Unit, Plan, list[Written]]], left: LintResult
) -> tuple[Report, str]:
    findings: list[Finding] = []
    documents: list[dict[str, Any]] = []
    lines: list[str] = []
    steps: list[NextCommand] = []
    for unit, plan, written in results:
        findings.extend(
            Finding(one.code, "error", one.message, f"{unit.path}:{one.line}:{one.column}", one.advice)
            for one in plan.problems
        )
        if written and _rendered(unit):
            findings.append(Finding(
                "rendered", "info", "what the project's tool makes of this migration was rewritten, in SQL", unit.path,
                "Write one migration of that tool for each file, outside of a transaction where the file says so.",
            ))  # fmt: skip
        folder = options.out or Path(unit.path if unit.path != "<stdin>" else "migration").with_suffix(".rewritten")
        if written and not options.dry_run:
            _write(folder, written)
            steps.append(NextCommand(
                f"db_migrate.py rehearse {folder} --engine {engine}", "measures them on a scratch database under load"
            ))  # fmt: skip
        documents.append({
            "path": unit.path,
            "rewritten": plan.rewritten,
            "kept": plan.kept,
            "folder": str(folder) if written else None,
            "assumptions": plan.assumptions,
            "files": [
                {
                    "name": one.name, "stage": one.stage, "deploy": one.deploy, "purpose": "; ".join(one.purposes),
                    "transaction": one.transaction, "draft": one.draft, "text": one.text,
                }
                for one in written
            ],
        })  # fmt: skip
        lines.append(
            f"{unit.path}: {plan.rewritten} statements rewritten, {plan.kept} stay"
            + (f"; in {folder}" if written else "")
        )
        for one in written:
            lines.append(f"  {one.name}  ({one.deploy}{', draft' if one.draft else ''})")
            lines.extend(f"      {purpose}" for purpose in one.purposes)
        lines.extend(f"  assumes: {assumption}" for assumption in plan.assumptions)
        if options.dry_run:
            lines.extend(f"\n==> {one.name} <==\n{one.text}" for one in written)
    findings.extend(
        Finding(
            one.code, one.severity, f"still there after the rewrite: {one.hazard.message}", one.where, one.hazard.fix
        )
        for one in sorted(left.found, key=lambda one: (one.path, one.start))
    )
    findings.extend(
        Finding("not-understood", "error", f"not checked: {one.reason}", one.where, "Check the statement by hand.")
        for one in left.not_understood
    )
    total = sum(len(written) for _, _, written in results)
    if not total and "-" not in map(str, options.paths):
        call = calls.rehearsal(options.paths, options, engine)
        steps.append(NextCommand(call, "measures it on a scratch database, with readers and writers running"))
    bad = sum(finding.severity == "error" for finding in findings)
    if bad:
        code, verdict = ExitCode.FAILED, f"; left to you: {_number(bad, 'problem')}"
    else:
        code, verdict = ExitCode.OK, ""
    if total:
        verb = "would write" if options.dry_run else "wrote"
        replaced = sum(bool(written) for _, _, written in results)
        summary = f"{verb} {_number(total, 'file')} in place of {_number(replaced, 'migration')}{verdict}"
    else:
        summary = f"nothing to rewrite in {_number(len(results), 'migration')}{verdict}"
    return Report(TOOL, code, summary, tuple(findings), {"migrations": documents}, tuple(steps)), "\n".join(lines)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _write(folder: Path, written: Sequence[Written]) -> None:
    there = [
        one.name
        for one in written
        if (folder / one.name).exists() and (folder / one.name).read_text(encoding="utf-8") != one.text
    ]
    if there:
        raise InputError(
            f"{folder / there[0]} exists already with another text",
            code="file-exists", where=str(folder), hint="Name another folder with --out, or delete the old files.",
        )  # fmt: skip
    for one in written:
        write_atomically(folder / one.name, one.text)
