"""`plan`: what would run, what it would destroy, and the token for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import options as shared

if TYPE_CHECKING:
    import argparse

    from senior_backend.console.report import Report
    from senior_backend.migrate.plan import Plan

NAME = "plan"
SUMMARY = "Show what `up` (or `down`) would run, with the token that dangerous plans need; changes nothing"


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    shared.add_folder_option(parser)
    shared.add_url_option(parser)
    parser.add_argument("--down", action="store_true", help="plan `down` instead of `up`")
    parser.add_argument("--to", metavar="VERSION", help="up to and with this version; down: back to it (0 for all)")
    parser.add_argument("--steps", type=shared.positive, default=1, metavar="N", help="down: so many files (default 1)")
    parser.add_argument("--after-deploy", action="store_true", help="include files that wait for a deploy")


def handle(options: argparse.Namespace) -> tuple[Report, str]:
    """Return the plan: 0, or 1 where the linter found errors in what would run."""
    from senior_backend.console.exit_codes import ExitCode
    from senior_backend.console.report import Finding, NextCommand, Report
    from senior_backend.migrate import calls, plan, session
    from senior_backend.migrate.preflight import preflight

    view = session.look(options)
    if options.down:
        database = session.connect_to_read(view.address)
        try:
            wanted = plan.plan_down(view.folder, view.state, view.engine, database, count=options.steps, to=options.to)
        finally:
            if database is not None:
                database.close()
    else:
        wanted = plan.plan_up(view.folder, view.state, view.engine, to=options.to, after_deploy=options.after_deploy)
    direction = wanted.direction
    reasons = plan.reasons(wanted, local=view.address.local, shown=view.address.shown)
    token = plan.token_of(wanted, view.state, view.identity) if wanted.items else None
    findings = [*reasons]
    if direction == "up":
        findings.extend(preflight([item.migration for item in wanted.items], view.folder, view.engine, view.version))
    findings.extend(
        Finding(
            "held", "info", f"{held.path.name} waits", str(held.path), "Deploy the application, then --after-deploy"
        )
        for held in wanted.held[:1]
    )
    following = []
    if wanted.items:
        needed = ["--token", str(token)] if reasons else []
        call = calls.command(direction, *_words(options), *needed, like=options)
        following.append(NextCommand(call, "run exactly this plan"))
    count = len(wanted.items)
    summary = f"{count} file{'s' if count != 1 else ''} would run {direction} on {view.address.shown}"
    if not wanted.items:
        summary = f"nothing to run on {view.address.shown}"
    if reasons:
        summary += f"; token {token}"
    data = {
        "database": view.address.shown,
        "engine": view.engine,
        "direction": direction,
        "token": token,
        "token_needed": bool(reasons),
        "files": [
            {
                "version": item.migration.version,
                "file": str(item.migration.path),
                "mode": item.mode,
                "done": sorted(view.state.steps.get(item.migration.version, {})),
                "statements": [
                    {"where": step.where, "sql": step.statement.text[:2000], "destroys": step.traits.destroys}
                    for step in item.steps[:200]
                ],
            }
            for item in wanted.items[:100]
        ],
        "held": [held.version for held in wanted.held],
    }
    wrong = any(finding.severity == "error" for finding in findings)
    return Report(
        "db_migrate", ExitCode.FAILED if wrong else ExitCode.OK, summary, tuple(findings), data, tuple(following)
    ), _body(wanted)


def _words(options: argparse.Namespace) -> list[str]:
    words = ["--to", options.to] if options.to else []
    if options.down and options.steps != 1:
        words += ["--steps", str(options.steps)]
    if options.after_deploy and not options.down:
        words.append("--after-deploy")
    return words


def _body(wanted: Plan) -> str:
    lines: list[str] = []
    for item in wanted.items[:20]:
        how = "one transaction" if item.mode == "transaction" else "statement by statement"
        lines.append(f"{item.migration.path.name}  ({how})")
        for step in item.steps[:10]:
            first = " ".join(step.statement.text.split())
            lines.append(f"  {step.number}. {first if len(first) <= 100 else first[:99] + '…'}")
        if len(item.steps) > 10:
            lines.append(f"  … and {len(item.steps) - 10} more statements")
    if len(wanted.items) > 20:
        lines.append(f"… and {len(wanted.items) - 20} more files")
    return "\n".join(lines)
