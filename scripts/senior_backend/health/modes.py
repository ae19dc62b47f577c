"""The ways to run: once, wait, watch, and what needs no check at all."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from senior_backend.console.errors import InputError, did_you_mean
from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.output import colours_wanted
from senior_backend.console.report import Finding, NextCommand, Report
from senior_backend.health.session import Session

if TYPE_CHECKING:
    from senior_backend.health.check import Checker
    from senior_backend.health.verdict import Verdict

TOOL = "health_check"
Targets = list[tuple[str, Path]]


def once(session: Session, options: argparse.Namespace) -> tuple[Report, str]:
    """Check once and report."""
    from senior_backend.console.progress import Progress
    from senior_backend.health.verdict import reach

    targets = write_targets(options.write or [])
    with Progress("checking", len(session.services)) as progress:
        done = make_checker(session).check(session.services, until=session.until, progress=progress.update)
    verdict = reach(done, session.path, session.redactor, fail_on_degraded=session.fail_on_degraded)
    return report_on(session, options, verdict, targets)


def check_config(session: Session) -> tuple[Report, str]:
    """Report that the file can be used; nothing is checked, and no network is touched."""
    count = len(session.services)
    types = sorted({service.type for service in session.services})
    summary = f"{session.path} is valid: {count} service{'s' if count != 1 else ''} ({', '.join(types)})"
    data = {
        "services": [
            {"name": item.name, "type": item.type, "target": session.redactor.text(item.target)}
            for item in session.services
        ]
    }
    following = NextCommand(f"python3 scripts/health_check.py --services {session.path}", "checks them")
    return Report(TOOL, ExitCode.OK, summary, tuple(session.warnings), data, (following,)), ""


def make_checker(session: Session) -> Checker:
    """Return a checker for the session."""
    from senior_backend.health.check import Checker
    from senior_backend.health.engine import Engine
    from senior_backend.health.security import AddressPolicy

    engine = Engine(AddressPolicy(session.configuration.allow_addresses))
    return Checker(engine, concurrency=session.concurrency)


def report_on(
    session: Session,
    options: argparse.Namespace,
    verdict: Verdict,
    targets: Targets,
    extra: tuple[Finding, ...] = (),
) -> tuple[Report, str]:
    """Return report and text of a verdict, after writing the files that were asked for."""
    from senior_backend.health.outputs import _data, load, table
    from senior_backend.health.verdict import findings, next_commands

    report = Report(
        TOOL,
        verdict.exit_code,
        verdict.summary,
        (*extra, *session.warnings, *findings(verdict)),
        _data.of_verdict(verdict),
        next_commands(verdict, session.path),
    )
    for name, path in targets:
        write_format(name, path, report, verdict)
    if options.format == "table":
        return report, table.render(verdict, colour=colours_wanted(sys.stdout), everything=options.all)
    if options.format == "json":
        options.document = json.dumps(report.to_json(), indent=2, ensure_ascii=False)
        return report, options.document
    module = load(options.format)
    options.document = module.render(verdict)
    if hasattr(module, "exit_code"):
        options.own_code = module.exit_code(verdict)
    return report, options.document


def write_targets(words: list[str]) -> Targets:
    """Return the formats and files of `--write`.

    Raises:
        InputError: a word is not FORMAT=FILE, or the format is not known.
    """
    from senior_backend.health.outputs import names

    targets = []
    for word in words:
        name, equals, file = word.partition("=")
        known = [*names(), "json"]
        if name not in known or not file or not equals:
            near = did_you_mean(name, known)
            raise InputError(
                f"--write {word}: expected FORMAT=FILE{near}", code="usage", hint=f"Formats: {', '.join(known)}."
            )
        targets.append((name, Path(file)))
    if any(name == "html" for name, _ in targets):
        from senior_backend.console.environment import ensure

        ensure("health", ["jinja2"])
    return targets


def write_format(name: str, path: Path, report: Report, verdict: Verdict) -> None:
    """Write one format to a file, whole or not at all."""
    from senior_backend.console.files import write_atomically
    from senior_backend.health.outputs import load

    text: str = json.dumps(report.to_json(), indent=2) if name == "json" else load(name).render(verdict)
    write_atomically(path, text if text.endswith("\n") else text + "\n")
