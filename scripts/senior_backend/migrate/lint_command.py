"""The work of `lint`: options in, report out."""

from __future__ import annotations

import gc
import os
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from senior_backend.console import environment
from senior_backend.console.errors import InputError, UndecidedError
from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.report import FINDINGS_SHOWN, Finding, NextCommand, Report
from senior_backend.migrate import calls, lint_formats, lint_projects, lint_sources

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

    from senior_backend.migrate.catalog import Catalog
    from senior_backend.migrate.hazards.rule import Rule, Unit
    from senior_backend.migrate.lint import Found, LintResult, NotUnderstood
    from senior_backend.migrate.statements import Engine

TOOL = "db_migrate"
NOT_UNDERSTOOD = "not-understood"
_SHOWN_OF_GARBAGE = 5
_LEVELS = ("info", "warning", "error")
_SQL_WORDS = (
    r"\s*(?:create|alter|drop|insert|update|delete|select|set|begin|commit|with|grant|comment|do|truncate|rename|"
    r"replace|call|use|lock|analyze|vacuum|reindex|pragma|copy)\b"
)


def run(options: argparse.Namespace) -> tuple[Report, str]:
    """Check what the call names.

    Raises:
        InputError: a path, an option or a file is wrong, or there was nothing to check.
        UndecidedError: nothing tells the engine.
        UnavailableError: a file or the database cannot be read.
    """
    # A run allocates once and ends: the collector would only walk over what stays, also when the process ends.
    gc.disable()
    try:
        return _run(options)
    finally:
        gc.freeze()
        gc.enable()


def _run(options: argparse.Namespace) -> tuple[Report, str]:
    engine = _engine_named(options)
    if options.list_rules:
        return _list(engine or "postgresql", options)
    if engine == "postgresql" or (engine is None and _read_once(options.paths)):
        environment.ensure("migrate", ["postgast"])  # before a pipe is read: the program may start again
    units, project_engine = lint_sources.units_of(lint_projects.paths_named(options.paths, options.migrations_dir))
    engine = engine or project_engine
    if options.in_transaction is not None:
        units = [_in_transaction(unit, wrapped=options.in_transaction) for unit in units]
    told_from_text = engine is None
    engine = engine or lint_sources.engine_from_text(units)
    units = lint_sources.for_engine(units, engine)
    if engine == "postgresql":
        environment.ensure("migrate", ["postgast"])
    catalog, units, origin = _catalog(engine, options, units)
    version = _version(engine, options) or catalog.version
    result = _lint(engine, catalog, units, version, options)
    return _report(result, units, engine, origin, options, told_from_text=told_from_text)


def _in_transaction(unit: Unit, *, wrapped: bool) -> Unit:
    """Return a unit, and its way back, in a transaction or not where it does not say so itself."""
    back = _in_transaction(unit.rollback, wrapped=wrapped) if unit.rollback is not None else None
    return replace(unit, transaction=wrapped if unit.transaction is None else unit.transaction, rollback=back)


def _read_once(paths: Sequence[str]) -> bool:
    """Whether one of the paths is standard input or a pipe."""
    return any(path == "-" or not (Path(path).is_file() or Path(path).is_dir()) for path in paths)


def _engine_named(options: argparse.Namespace) -> Engine | None:
    if options.engine:
        named: Engine = options.engine
        return named
    url = options.database_url or os.environ.get("DATABASE_URL")
    if url:
        from senior_backend.migrate.databases.urls import parse_url

        return parse_url(url).engine
    if options.pg_version:
        return "postgresql"
    return "mysql" if options.mysql_version else None


def _version(engine: Engine, options: argparse.Namespace) -> tuple[int, ...] | None:
    option = "--pg-version" if engine == "postgresql" else "--mysql-version"
    value = options.pg_version if engine == "postgresql" else options.mysql_version
    if not value or engine == "sqlite":
        return None
    if not re.fullmatch(r"\d+(?:\.\d+){0,3}", value):
        raise InputError(
            f"{option} {value} is no version", code="bad-version", where=option, hint="Write it as 15, 14.2 or 8.0.36."
        )
    return tuple(map(int, value.split(".")))


def _catalog(engine: Engine, options: argparse.Namespace, units: list[Unit]) -> tuple[Catalog, list[Unit], str]:
    from senior_backend.migrate.catalog import Catalog

    if options.database_url:
        from senior_backend.migrate.catalog_live import read

        catalog, applied = read(options.database_url)
        units, _ = lint_sources.units_of(lint_projects.paths_named(options.paths, options.migrations_dir), applied)
        return catalog, [unit for unit in units if unit.lint], "the live database"
    catalog = Catalog(engine)
    origin = "the migrations themselves"
    if options.schema:
        dump, _ = lint_sources.units_of([options.schema])
        units = [*(replace(unit, lint=False) for unit in dump), *units]
        origin = f"{options.schema} and the migrations"
    return catalog, units, origin


def _lint(
    engine: Engine,
    catalog: Catalog,
    units: Sequence[Unit],
    version: tuple[int, ...] | None,
    options: argparse.Namespace,
) -> LintResult:
    from senior_backend.migrate.hazards.registry import rules_for
    from senior_backend.migrate.lint import Linter

    rules = rules_for(engine, version, enable=options.enable, disable=options.disable)
    linter = Linter(catalog, rules, version)
    return linter.run(units)


def _report(
    result: LintResult,
    units: Sequence[Unit],
    engine: Engine,
    origin: str,
    options: argparse.Namespace,
    *,
    told_from_text: bool,
) -> tuple[Report, str]:
    if result.statements == 0:
        raise InputError(
            "there is no statement to check",
            code="nothing-to-check",
            where=units[0].path if units else None,
            hint="Name a file with SQL statements; of migrations, the part behind `-- migrate:up` is checked.",
        )
    _refuse_what_is_not_sql(result, units)
    found = sorted(result.found, key=lambda one: (one.path, one.start, -_LEVELS.index(one.severity), one.code))
    cut = len(found) + len(result.not_understood) > FINDINGS_SHOWN
    if cut:
        found.sort(key=lambda one: -_LEVELS.index(one.severity))  # nothing worse than what is shown is left out
    other = _other_engine(units, engine) if result.not_understood else ""
    findings = [_finding(one) for one in found] + [_not_understood(one, other) for one in result.not_understood]
    least = _LEVELS.index(options.fail_on)
    failing = sum(1 for one in found if _LEVELS.index(one.severity) >= least)
    code = ExitCode.FAILED if failing else ExitCode.UNDECIDED if result.not_understood else ExitCode.OK
    summary = _summary(result, engine, told_from_text=told_from_text)
    report = Report(
        TOOL,
        code,
        summary,
        tuple(findings),
        _data(result, found, engine, origin, options),
        tuple(_next(found, engine, options)),
    )
    if options.format == "sarif":
        return _printed(report, lint_formats.sarif(found, result.not_understood))
    if options.format == "github":
        return _printed(report, lint_formats.github(found, result.not_understood))
    return report, _by_rule(found) if cut else ""


def _by_rule(found: Sequence[Found]) -> str:
    """Return how often each rule found something, worst and most frequent first: more than anybody reads one by one."""
    from senior_backend.console.output import table

    counts = Counter((one.severity, one.code) for one in found)
    rows = sorted(counts.items(), key=lambda item: (-_LEVELS.index(item[0][0]), -item[1], item[0][1]))
    return table([[str(count), severity, code] for (severity, code), count in rows], ["count", "severity", "rule"])


def _printed(report: Report, text: str) -> tuple[Report, str]:
    """Return a report of which only `text` is printed."""
    return replace(report, findings=(), summary="", next=()), text


def _refuse_what_is_not_sql(result: LintResult, units: Sequence[Unit]) -> None:
    if len(result.not_understood) < result.statements:
        return
    texts = {unit.path: unit.text for unit in units}
    texts |= {
        unit.rollback.path: unit.rollback.text for unit in units if unit.rollback and unit.rollback.path not in texts
    }
    if any(re.match(_SQL_WORDS, texts[one.path][one.start : one.end], re.IGNORECASE) for one in result.not_understood):
        return
    message, hint = "this is not SQL, or not of this engine", "Name an SQL file, and its engine with --engine."
    where = result.not_understood[0].where
    findings = (
        Finding("not-sql", "error", message, where, hint),
        *(_not_understood(one, "") for one in result.not_understood[:_SHOWN_OF_GARBAGE]),
    )
    raise InputError(message, code="not-sql", where=where, hint=hint, findings=findings)


def _finding(one: Found) -> Finding:
    return Finding(one.code, one.severity, one.hazard.message, one.where, one.hazard.fix)


def _other_engine(units: Sequence[Unit], engine: Engine) -> str:
    """Return a hint where the text looks as if it were written for another engine."""
    try:
        told = lint_sources.engine_from_text(units)
    except UndecidedError:
        return ""
    return (
        "" if told == engine or {told, engine} == {"mysql", "mariadb"} else f"It looks like {told}: --engine {told}. "
    )


def _not_understood(one: NotUnderstood, other: str) -> Finding:
    return Finding(
        NOT_UNDERSTOOD,
        "warning",
        f"this was not checked: {one.reason}",
        one.where,
        f"{other}Correct it, or read it yourself; what cannot be read is never passed as safe.",
    )


def _summary(result: LintResult, engine: Engine, *, told_from_text: bool) -> str:
    counts = {level: sum(1 for one in result.found if one.severity == level) for level in _LEVELS}
    parts = [
        f"{counts[level]} {level}{'s' if counts[level] != 1 and level != 'info' else ''}"
        for level in reversed(_LEVELS)
        if counts[level]
    ]
    if result.not_understood:
        parts.append(f"{len(result.not_understood)} not understood")
    verdict = ", ".join(parts) or "no hazard found"
    checked = f"{result.statements} statement{'s' if result.statements != 1 else ''}"
    files = f"{result.files} file{'s' if result.files != 1 else ''}"
    how = ", told from the text" if told_from_text else ""
    silenced = f"; {len(result.suppressed)} silenced by comment" if result.suppressed else ""
    return f"{verdict} in {checked} of {files} ({engine}{how}){silenced}"


def _data(
    result: LintResult, found: Sequence[Found], engine: Engine, origin: str, options: argparse.Namespace
) -> dict[str, Any]:
    shown = found if options.output else found[:FINDINGS_SHOWN]
    return {
        "engine": engine,
        "schema_from": origin,
        "files": result.files,
        "statements": result.statements,
        "by_rule": dict(sorted(Counter(one.code for one in found).items())),
        "hazards": [lint_formats.hazard_json(one) for one in shown],
        "not_understood": len(result.not_understood),
        "suppressed": [{"code": one.code, "where": one.where, "reason": reason} for one, reason in result.suppressed],
    }


def _next(found: Sequence[Found], engine: Engine, options: argparse.Namespace) -> list[NextCommand]:
    if "-" in options.paths:
        return []
    if not any(one.severity == "error" for one in found):
        call = calls.rehearsal(options.paths, options, engine)
        return [NextCommand(call, "measures it on a scratch database, with readers and writers running")]
    call = calls.command("rewrite", found[0].path, "--engine", engine)
    return [NextCommand(call, "writes the safe sequence of migrations for what was found")]


def _list(engine: Engine, options: argparse.Namespace) -> tuple[Report, str]:
    from senior_backend.console.output import table
    from senior_backend.migrate.hazards.registry import FOLDERS, rules_in

    rules: list[Rule] = [rule for rule in rules_in(FOLDERS[engine]) if engine in rule.engines]
    rows = [[rule.id, rule.group if rule.group != "default" else rule.severity, rule.summary] for rule in rules]
    data = {"rules": [lint_formats.rule_json(rule) for rule in rules]}
    report = Report(TOOL, ExitCode.OK, f"{len(rules)} rules for {engine}", data=data)
    del options
    return report, table(rows, ["rule", "severity or group", "what it finds"])
