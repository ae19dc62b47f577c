"""The ways to run: once, wait, watch, and what needs no check at all."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from senior_backend.console.errors import InputError, UnavailableError, UndecidedError, did_you_mean
from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.output import colours_wanted
from senior_backend.console.report import Document, Finding, NextCommand, Report
from senior_backend.health.session import Session

if TYPE_CHECKING:
    from senior_backend.health.check import Checker
    from senior_backend.health.verdict import Verdict

TOOL = "health_check"
WAIT_REPORTS = 3.0
"""Seconds between the lines that say what --wait still waits for."""
Targets = list[tuple[str, Path]]


def once(session: Session, options: argparse.Namespace) -> tuple[Report, str | Document]:
    """Check once and report."""
    from senior_backend.console.progress import Progress
    from senior_backend.health.verdict import reach

    targets = write_targets(options.write or [])
    with Progress("checking", len(session.services)) as progress:
        done = make_checker(session).check(session.services, until=session.until, progress=progress.update)
    verdict = reach(done, session.path, session.redactor, fail_on_degraded=session.fail_on_degraded)
    if done.interrupted:
        verdict = replace(verdict, exit_code=ExitCode.INTERRUPTED, summary=f"interrupted: {verdict.summary}")
    return report_on(session, options, verdict, targets)


def check_config(session: Session) -> tuple[Report, str | Document]:
    """Report that the file can be used; nothing is checked, and no network is touched."""
    from senior_backend.health.verdict import NO_FILES

    count = len(session.services)
    types = sorted({service.type for service in session.services})
    summary = f"{session.path} is valid: {count} service{'s' if count != 1 else ''} ({', '.join(types)})"
    data = {
        "services": [
            {"name": item.name, "type": item.type, "target": session.redactor.text(item.target)}
            for item in session.services
        ]
    }
    steps: tuple[NextCommand, ...] = ()
    if session.path not in NO_FILES:
        steps = (NextCommand(f"python3 scripts/health_check.py --services {session.path}", "checks them"),)
    return Report(TOOL, ExitCode.OK, summary, tuple(session.warnings), data, steps), ""


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
) -> tuple[Report, str | Document]:
    """Return report and text of a verdict, after writing the files that were asked for."""
    from senior_backend.health.outputs import _data, load, table
    from senior_backend.health.verdict import findings, next_commands

    report = Report(
        TOOL,
        verdict.exit_code,
        verdict.summary,
        (*extra, *session.warnings, *findings(verdict)),
        _data.of_verdict(verdict, None if options.output else _data.SHOWN),
        next_commands(verdict, session.path, waited=bool(options.wait)),
    )
    for name, path in targets:
        write_format(name, path, report, verdict)
    if options.format == "table":
        return report, table.render(verdict, colour=colours_wanted(sys.stdout), everything=options.all)
    if options.format == "json":
        return report, Document(json.dumps(report.to_json(), indent=2, ensure_ascii=False))
    module = load(options.format)
    return report, Document(module.render(verdict), module.exit_code(verdict) if hasattr(module, "exit_code") else None)


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

    if name == "json":
        from senior_backend.health.outputs._data import of_verdict

        text = json.dumps(replace(report, data=of_verdict(verdict)).to_json(), indent=2, ensure_ascii=False)
    else:
        text = load(name).render(verdict)
    write_atomically(path, text if text.endswith("\n") else text + "\n")


def schema() -> tuple[Report, str | Document]:
    """Return the JSON Schema of services.yaml as the document of the call."""
    from senior_backend.health.config.schema import schema as made

    whole = made()
    report = Report(TOOL, ExitCode.OK, "the JSON Schema of services.yaml", data=whole)
    return report, Document(json.dumps(whole, indent=2))


def wait(session: Session, options: argparse.Namespace) -> tuple[Report, str | Document]:
    """Wait until everything critical is up, then run the command, if there is one."""
    import time

    from senior_backend.health.check import Pass
    from senior_backend.health.session import duration_option
    from senior_backend.health.verdict import reach
    from senior_backend.health.wait import wait as wait_for

    limit = duration_option("--wait", options.wait) or 0.0
    if not 1 <= options.stable <= 100:
        raise InputError("--stable takes a number from 1 to 100", code="usage")
    targets = write_targets(options.write or [])
    until = min(session.started + limit, session.until or float("inf"))
    said = [time.perf_counter()]

    def told(done: Pass, streak: int) -> None:
        now = time.perf_counter()
        if now - said[0] >= WAIT_REPORTS and not streak:
            said[0] = now
            missing = [result.service.name for result in done.results if result.state not in ("up", "degraded")]
            sys.stderr.write(f"waiting for {', '.join(missing[:8])}{' …' if len(missing) > 8 else ''}\n")
            sys.stderr.flush()

    done, holds = wait_for(
        make_checker(session),
        session.services,
        until=until,
        stable=options.stable,
        fail_on_degraded=session.fail_on_degraded,
        told=told,
    )
    verdict = reach(done, session.path, session.redactor, fail_on_degraded=session.fail_on_degraded)
    waited = time.perf_counter() - session.started
    if not holds:
        code = verdict.exit_code if verdict.exit_code is not ExitCode.OK else ExitCode.FAILED
        verdict = replace(verdict, exit_code=code, summary=f"not up within {waited:.1f} s: {verdict.summary}")
        return report_on(session, options, verdict, targets)
    verdict = replace(verdict, summary=f"{verdict.summary}, after {waited:.1f} s")
    report, body = report_on(session, options, verdict, targets)
    if options.command:
        import os

        sys.stdout.flush()
        sys.stderr.write(f"{verdict.summary}; running {options.command[0]}\n")
        sys.stderr.flush()
        try:
            os.execvp(options.command[0], options.command)  # noqa: S606 - the user's own command, no shell
        except OSError as error:
            raise UnavailableError(
                f"cannot run {options.command[0]}: {error.strerror}", code="command", hint="Check its path."
            ) from error
    return report, body


def watch(session: Session, options: argparse.Namespace) -> tuple[Report, str | Document]:
    """Repeat passes until interrupted, until --passes or until --deadline."""
    from senior_backend.health.watch_view import follow

    targets = write_targets(options.write or [])
    if options.passes is not None and options.passes < 1:
        raise InputError("--passes takes a number from 1", code="usage")
    verdict, interrupted = follow(session, options, targets)
    if interrupted:
        verdict = replace(verdict, exit_code=ExitCode.INTERRUPTED)
    return report_on(session, options, verdict, targets)


def discover(paths: Sequence[Path]) -> tuple[Report, str | Document]:
    """Print a services.yaml made from a project's own files."""
    from senior_backend.health.discover import discover as look
    from senior_backend.health.discover import render

    found = look(paths)
    count = len(found.found)
    findings = tuple(Finding("left-out", "info", item.reason, item.origin) for item in found.skipped)
    data = {"services": [{"name": item.name, "origin": item.origin, **item.values} for item in found.found]}
    if not count:
        raise UndecidedError("no service was found", code="nothing-found", findings=findings or ())
    summary = f"{count} service{'s' if count > 1 else ''} found"
    command = "python3 scripts/health_check.py --services services.yaml --check-config"
    report = Report(TOOL, ExitCode.OK, summary, findings, data, (NextCommand(command, "checks the saved file"),))
    return report, Document(render(found))


def export(session: Session, name: str) -> tuple[Report, str | Document]:
    """Print a configuration for another monitor; what it cannot express is told on standard error."""
    from senior_backend.health.exports import render

    text, losses = render(name, session.services)
    text = session.redactor.text(text)
    for loss in losses:
        sys.stderr.write(f"not carried over: {loss}\n")
    findings = tuple(Finding("not-exported", "warning", loss) for loss in losses)
    report = Report(TOOL, ExitCode.OK, f"{name} configuration", findings, {"format": name, "text": text})
    return report, Document(text)
