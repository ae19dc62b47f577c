"""The commands `up` and `down`: from options to a run, and from its outcome to a report."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from senior_backend.console.errors import UnavailableError
from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.output import table
from senior_backend.console.progress import Progress
from senior_backend.console.report import Finding, NextCommand, Report
from senior_backend.migrate import calls, plan, session
from senior_backend.migrate.databases.opening import open_database
from senior_backend.migrate.ledger import State
from senior_backend.migrate.runner import Outcome, Settings, apply

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Sequence

    from senior_backend.migrate.databases.base import Database
    from senior_backend.migrate.databases.urls import Address
    from senior_backend.migrate.files import Direction, Folder
    from senior_backend.migrate.plan import Plan
    from senior_backend.migrate.statements import Engine


def up(options: argparse.Namespace) -> tuple[Report, str]:
    """Apply what is pending.

    Raises:
        ToolError: nothing was run.
    """
    folder = session.folder_of(options)
    held: list[str] = []

    def make_plan(state: State, database: Database) -> Plan:
        wanted = plan.plan_up(folder, state, database.engine, to=options.to, after_deploy=options.after_deploy)
        held[:] = [one.version for one in wanted.held]
        return wanted

    outcome = _run(options, folder, "up", make_plan)
    report, body = _report(options, outcome, "up")
    if held and report.exit_code == ExitCode.OK:
        finding = Finding(
            "held", "info", f"{held[0]} waits for the application to be deployed", held[0],
            "Deploy the application, then: db_migrate.py up --after-deploy",
        )  # fmt: skip
        data = {**report.data, "held": held}
        report = Report(report.tool, report.exit_code, report.summary, (*report.findings, finding), data, report.next)
    return report, body


def down(options: argparse.Namespace) -> tuple[Report, str]:
    """Take back what was applied last.

    Raises:
        ToolError: nothing was run.
    """
    folder = session.folder_of(options)
    goal: list[str] = []  # fixed by the first plan: after a lost connection the rest of it is due, not one file more

    def make_plan(state: State, database: Database) -> Plan:
        if not goal:
            applied = sorted(state.applied)
            rest = (
                [version for version in applied if version <= options.to] if options.to else applied[: -options.steps]
            )
            goal.append(rest[-1] if rest else "0")
        to = goal[0]
        return plan.plan_down(folder, state, database.engine, database, to=to)

    outcome = _run(options, folder, "down", make_plan)
    return _report(options, outcome, "down")


def _run(
    options: argparse.Namespace,
    folder: Folder,
    direction: Direction,
    make_plan: Callable[[State, Database], Plan],
) -> Outcome:
    address = session.address_of(options)
    settings = Settings(
        lock=options.lock_timeout,
        statement=options.statement_timeout,
        attempts=options.lock_retries,
        wait=options.wait,
        reconnect=options.reconnect,
        interrupted=options.interrupted,
        max_lag=options.max_lag,
        replicas=_replicas(options.replica, address.engine),
    )
    if address.engine == "sqlite" and address.path is not None and not address.path.exists():
        if direction == "down":
            raise UnavailableError(
                f"there is no database {address.shown}",
                code="database-unavailable",
                where=address.shown,
                hint="Name it with --database-url or DATABASE_URL.",
            )
        # A plan that is refused must not leave an empty database behind.
        plan.plan_up(folder, State(), "sqlite", to=options.to, after_deploy=options.after_deploy)
    with Progress("migrations", len(folder.migrations)) as progress:
        return apply(
            lambda: open_database(address),
            make_plan,
            settings=settings,
            token=options.token,
            random=random.Random(),  # noqa: S311 - jitter
            progress=progress,
            before=_backup,
        )


def _replicas(urls: Sequence[str], engine: Engine) -> tuple[Address, ...]:
    if not urls:
        return ()
    from senior_backend.migrate import replicas

    return replicas.named(urls, engine)


def _backup(database: Database, wanted: Plan) -> str | None:
    """Copy an SQLite database with data before a plan drops or rebuilds anything."""
    from senior_backend.migrate.databases.sqlite import SqliteDatabase

    if not isinstance(database, SqliteDatabase) or database.address.path is None:
        return None
    risky = any(step.traits.destroys or step.traits.verb == "DROP" for item in wanted.items for step in item.steps)
    own = {"schema_migrations", "_db_migrate_ledger"}
    if not risky or not any(
        database.query(f"SELECT 1 FROM {database.quoted(table)} LIMIT 1")  # noqa: S608 - a quoted identifier
        for table in database.tables().keys() - own
    ):
        return None
    path = database.address.path
    stamp = datetime.now(UTC).strftime("%Y%m%d%H%M%S")
    target = path.with_name(f"{path.name}.{stamp}-before-{wanted.items[0].migration.version}.backup")
    database.backup(target)
    return str(target)


def _report(options: argparse.Namespace, outcome: Outcome, direction: Direction) -> tuple[Report, str]:
    shown = session.address_of(options).shown
    count = len(outcome.finished)
    done = (
        f"{count} {'file' if count == 1 else 'files'} {'applied to' if direction == 'up' else 'taken back on'} {shown}"
    )
    findings = list(outcome.notes)
    code, summary = ExitCode.OK, done if count else f"nothing to do: {shown} is up to date"
    if direction == "down" and not count:
        summary = f"nothing to take back on {shown}"
    if outcome.interrupted:
        code, summary = ExitCode.INTERRUPTED, f"interrupted; {done}"
    elif outcome.failed is not None:
        code, summary = ExitCode.FAILED, f"{outcome.failed.message.splitlines()[0]}; {done}"
        findings.append(outcome.failed)
    elif outcome.error is not None:
        code, summary = outcome.error.exit_code, f"{outcome.error.message.splitlines()[0]}; {done}"
        findings.extend(outcome.error.findings)
    if outcome.backup:
        findings.append(Finding("backup", "info", "the database as it was before", outcome.backup))
    following = (
        (NextCommand(calls.command("status", like=options), "see what is applied"),) if code != ExitCode.OK else ()
    )
    data = {"database": shown, "direction": direction, "finished": outcome.finished, "backup": outcome.backup}
    rows = [[one["version"], f"{one['seconds']:.3f} s", one["file"]] for one in outcome.finished[-100:]]
    return Report("db_migrate", code, summary, tuple(findings), data, following), table(rows)
