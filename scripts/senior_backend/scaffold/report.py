"""What a run tells: the envelope's data for machines, a short text for people."""

from __future__ import annotations

import difflib
import shlex
import sys
from typing import TYPE_CHECKING, Any, Final

from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.output import table
from senior_backend.console.report import Finding, NextCommand, Report
from senior_backend.scaffold.plan import CHANGING, FilePlan
from senior_backend.scaffold.state import digest
from senior_backend.scaffold.verify import verdict

if TYPE_CHECKING:
    from senior_backend.scaffold.generate import Prepared
    from senior_backend.scaffold.verify import Verification

TOOL: Final = "api_scaffold"
SHOWN: Final = 12
"""Lines of files that people see by name; a project's first generation has many."""


def program() -> str:
    """Return how this program was called, for commands to type next."""
    door = sys.argv[0] if sys.argv[0].endswith(f"{TOOL}.py") else f"scripts/{TOOL}.py"
    return f"python3 {shlex.quote(door)}"


def data(prepared: Prepared, verification: Verification | None = None) -> dict[str, Any]:
    """Return the tool's part of the envelope."""
    plan = prepared.plan
    return {
        "target": str(prepared.target.root),
        "service": prepared.service.name,
        "stack": prepared.service.stack,
        "spec": prepared.spec_text,
        "spec_sha256": digest(prepared.spec_text),
        "files": [_file(item) for item in plan.files],
        "counts": _counts(plan.files),
        "routes": [
            {
                "method": route.method,
                "path": route.path,
                "operation_id": route.operation_id,
                "auth": route.auth,
                "roles": list(route.roles),
            }
            for route in prepared.routes
        ],
        "migrations": list(plan.migrations),
        "environment": list(prepared.stack.environment(prepared.service)),
        "verify": verification.to_json() if verification else None,
    }


def _file(item: FilePlan) -> dict[str, Any]:
    hash_ = None if item.secret or item.after is None else digest(item.after)
    return {"path": item.path, "action": item.action, "owner": item.owner, "sha256": hash_}


def _counts(files: tuple[FilePlan, ...]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for item in files:
        counts[item.action] = counts.get(item.action, 0) + 1
    return counts


def _counted(files: tuple[FilePlan, ...]) -> str:
    return ", ".join(f"{count} {action}" for action, count in sorted(_counts(files).items())) or "no files"


def written(prepared: Prepared, verification: Verification | None, notes: tuple[Finding, ...]) -> tuple[Report, str]:
    """Return the report of a run that wrote."""
    plan = prepared.plan
    findings = [*notes, *prepared.findings]
    done = f"{prepared.target.shown}: {_counted(plan.files)}"
    if plan.conflicts:
        code, summary = ExitCode.UNDECIDED, f"{done}; {len(plan.conflicts)} need you"
    elif verification is None:
        code, summary = ExitCode.OK, f"{done}; not verified"
    elif verification.ok:
        code, summary = ExitCode.OK, f"{done}; verified at level {verification.level}"
        if verification.skipped:
            summary += f", without {', '.join(step.name for step in verification.skipped)}"
    else:
        names = ", ".join(step.name for step in verification.failed) or "nothing was checked"
        code, summary = ExitCode.FAILED, f"{done}; verification failed: {names}"
        findings += [
            Finding(
                "verify-failed",
                "error",
                f"{step.name}: {step.detail or 'failed'}" + (f"\n{step.output}" if step.output else ""),
                prepared.target.shown,
                "Mend what it names, or report it where nothing was edited.",
            )
            for step in verification.failed
        ]
    body = [files_text(plan.files)]
    if any(item.action in CHANGING for item in plan.files):
        body += [_routes_text(prepared), _environment_text(prepared)]
    if plan.migrations:
        body.append("migrations: " + ", ".join(plan.migrations))
    if verification:
        rows = [[verdict(step), step.name, f"{step.seconds:.1f} s", step.detail] for step in verification.steps]
        body.append(table(rows))
    report = Report(TOOL, code, summary, tuple(findings), data(prepared, verification), _next(prepared, verification))
    return report, "\n\n".join(part for part in body if part)


def _routes_text(prepared: Prepared) -> str:
    by_path: dict[str, list[str]] = {}
    for route in prepared.routes:
        by_path.setdefault(route.path, []).append(route.method)
    shown = list(by_path.items())[:SHOWN]
    rows = table([[" ".join(methods), path] for path, methods in shown])
    more = f"\n… and {len(by_path) - len(shown)} more paths" if len(by_path) > len(shown) else ""
    return f"routes:\n{rows}{more}"


def _environment_text(prepared: Prepared) -> str:
    required = [str(item["name"]) for item in prepared.stack.environment(prepared.service) if item["required"]]
    return f"environment: {', '.join(required)} required" if required else ""


def planned(prepared: Prepared) -> tuple[Report, str]:
    """Return the report of `--dry-run`: what would be written."""
    plan = prepared.plan
    code = ExitCode.UNDECIDED if plan.conflicts else ExitCode.OK
    summary = f"{prepared.target.shown}: would be {_counted(plan.files)}; nothing was written"
    return Report(TOOL, code, summary, prepared.findings, data(prepared)), files_text(plan.files)


def compared(prepared: Prepared) -> tuple[Report, str]:
    """Return the report of `--diff`: the changes as a patch."""
    plan = prepared.plan
    code = ExitCode.UNDECIDED if plan.conflicts else ExitCode.OK
    patch = "".join(_patch(item) for item in plan.files)
    summary = f"{prepared.target.shown}: would be {_counted(plan.files)}; nothing was written"
    return Report(TOOL, code, summary, prepared.findings, {**data(prepared), "diff": patch}), patch


def checked(prepared: Prepared) -> tuple[Report, str]:
    """Return the report of `--check`: whether the tree is what the specification says."""
    drift = prepared.plan.drift
    findings = [
        *prepared.findings,
        *(
            Finding("drift", "error", f"would be {item.action}", item.path, "Run the tool without --check.")
            for item in drift
            if item.action not in ("conflict", "left")
        ),
    ]
    if drift:
        summary = f"{prepared.target.shown}: {len(drift)} files are not what the specification says"
        return Report(TOOL, ExitCode.FAILED, summary, tuple(findings), data(prepared)), ""
    summary = f"{prepared.target.shown}: all {len(prepared.plan.files)} files are what the specification says"
    return Report(TOOL, ExitCode.OK, summary, tuple(findings), data(prepared)), ""


def files_text(files: tuple[FilePlan, ...]) -> str:
    """Return what happens to which files, shortened where nothing needs the reader."""
    rows = [[item.action, item.path] for item in files if item.action in CHANGING]
    rows.sort(key=lambda row: row[0] == "created")
    shown = rows if len(rows) <= SHOWN else rows[: SHOWN - 1]
    text = table(shown)
    if len(rows) > len(shown):
        text += f"\n… and {len(rows) - len(shown)} more (--json lists all)"
    return text


def _patch(item: FilePlan) -> str:
    if item.before == item.after:
        return ""
    if item.secret:
        return f"--- /dev/null\n+++ b/{item.path} (secret, not shown)\n"
    try:
        old, new = ((content or b"").decode().splitlines(keepends=True) for content in (item.before, item.after))
    except UnicodeDecodeError:
        return f"Binary files differ: {item.path}\n"
    names = (
        "/dev/null" if item.before is None else f"a/{item.path}",
        "/dev/null" if item.after is None else f"b/{item.path}",
    )
    lines = difflib.unified_diff(old, new, *names)
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _next(prepared: Prepared, verification: Verification | None) -> tuple[NextCommand, ...]:
    folder = shlex.quote(str(prepared.target.shown))
    if prepared.plan.conflicts:
        return (NextCommand(f"find {folder} -name '*.rej'", "These changes wait for you; delete each file when done."),)
    commands = []
    if verification is None:
        proof = f"{program()} --out {folder} --verify=test"
        commands.append(NextCommand(proof, "prove it: lint, OpenAPI, its own tests, migrations up and down"))
    commands += [
        NextCommand(f"cd {folder} && {command}" if prepared.target.shown != "." else command, why)
        for command, why in prepared.stack.next_commands(prepared.service)
    ]
    return tuple(commands)
