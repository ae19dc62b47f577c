"""`status`: what is applied, what is pending, and what does not fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import options as shared

if TYPE_CHECKING:
    import argparse

    from senior_backend.console.report import Report

NAME = "status"
SUMMARY = "Show which migrations are applied and which are pending; changes nothing"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    shared.add_folder_option(parser)
    shared.add_url_option(parser)


def handle(options: argparse.Namespace) -> tuple[Report, str]:
    """Return the state of the database: 0, or 1 where files and database do not fit."""
    from senior_backend.console.exit_codes import ExitCode
    from senior_backend.console.output import table
    from senior_backend.console.report import NextCommand, Report
    from senior_backend.migrate import calls, session

    view = session.look(options)
    rows = session.rows(view.folder, view.state)
    findings = session.problems(view)
    count = {state: sum(1 for row in rows if row.state == state) for state in ("applied", "pending", "half-way")}
    wrong = any(finding.severity == "error" for finding in findings)
    summary = f"{count['applied']} applied, {count['pending']} pending in {view.address.shown}"
    shown = rows if len(rows) <= 200 else rows[-200:]
    body = table([[row.version, row.state, row.name, " ".join(row.marks)] for row in shown])
    data = {
        "database": view.address.shown,
        "engine": view.engine,
        "migrations": [row.to_json() for row in shown],
        "counts": count,
        "earlier_omitted": len(rows) - len(shown),
    }
    following = (NextCommand(calls.command("plan", like=options), "read what would run"),) if count["pending"] else ()
    code = ExitCode.FAILED if wrong else ExitCode.OK
    return Report("db_migrate", code, summary, tuple(findings), data, following), body
