"""`--export`: writes the test for another engine, and sends nothing."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from senior_backend.console.errors import UndecidedError
from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.files import write_atomically
from senior_backend.console.report import Finding, NextCommand, Report
from senior_backend.load import export_k6, export_locust, rendering
from senior_backend.load.exports import Export

if TYPE_CHECKING:
    from senior_backend.load.application import Prepared


def report(call: Prepared) -> tuple[Report, str]:
    """Write the file and return the report.

    Raises:
        UndecidedError: another file of that name is there.
        UnavailableError: it cannot be written.
    """
    kind = call.options.export
    writer = export_k6 if kind == "k6" else export_locust
    path: Path = call.options.export_file or Path(writer.FILE)
    export = Export(call.source.scenario, call.to.url, call.settings.plan, call.objectives, path.parent)
    text, secrets = writer.write(export, path.name, rendering.render)
    if path.exists() and path.read_bytes() != text.encode():
        raise UndecidedError(
            f"{path} is there already, with other content",
            code="file-exists",
            where=str(path),
            hint="Remove it, or name another with --export-file.",
        )
    write_atomically(path, text)
    findings = list(call.notes)
    if secrets:
        names = ", ".join(secrets)
        message = f"the file holds no secret: set {names} where it runs"
        findings.append(Finding("secret-left-out", "info", message, str(path)))
    findings += [replace(finding, where=finding.where or str(path)) for finding in writer.losses(export)]
    given = "".join(f"{name}=... " for name in secrets)
    run = f"k6 run {shlex.quote(str(path))}" if kind == "k6" else f"locust -f {shlex.quote(str(path))} --headless"
    steps = [NextCommand(given + run, "Run it on this machine first.")]
    if kind == "locust":
        steps.append(NextCommand(f"{given}{run} --master --expect-workers 2", "Then with workers on other machines."))
    data = {"file": str(path), "format": kind, "environment": list(secrets)}
    return Report("load_test", ExitCode.OK, f"wrote {path}; nothing was sent", tuple(findings), data, tuple(steps)), ""
