"""Text for people and JSON for machines, from one report."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Literal, TextIO

from senior_backend.console.report import FINDINGS_SHOWN, Document, Report

if TYPE_CHECKING:
    from pathlib import Path

Colour = Literal["red", "green", "yellow", "blue", "bold", "dim"]
_SGR: dict[Colour, str] = {"red": "31", "green": "32", "yellow": "33", "blue": "34", "bold": "1", "dim": "2"}
_SEVERITY_COLOUR: dict[str, Colour] = {"error": "red", "warning": "yellow", "info": "blue"}


def colours_wanted(stream: TextIO) -> bool:
    """Whether `stream` is a terminal that shows colours (NO_COLOR, https://no-color.org, and TERM=dumb say no)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def paint(text: str, colour: Colour, *, on: bool) -> str:
    """Return `text` in `colour` where `on` says that colours are wanted."""
    return f"\x1b[{_SGR[colour]}m{text}\x1b[0m" if on else text


def table(rows: list[list[str]], header: list[str] | None = None) -> str:
    """Return rows as left-aligned columns two spaces apart; widths count characters, so paint afterwards."""
    lines = [header, *rows] if header else rows
    if not lines:
        return ""
    widths = [max(len(row[i]) for row in lines if i < len(row)) for i in range(max(map(len, lines)))]
    return "\n".join("  ".join(cell.ljust(widths[i]) for i, cell in enumerate(row)).rstrip() for row in lines)


def findings_text(report: Report, *, colour: bool) -> str:
    """Return the findings, worst first in the order given, bounded by `FINDINGS_SHOWN`."""
    lines: list[str] = []
    for finding in report.findings[:FINDINGS_SHOWN]:
        label = paint(f"{finding.severity}[{finding.code}]", _SEVERITY_COLOUR[finding.severity], on=colour)
        place = f"{finding.where}: " if finding.where else ""
        lines.append(f"{place}{label} {finding.message}")
        if finding.fix:
            lines.extend(
                f"  fix: {line}" if i == 0 else f"       {line}" for i, line in enumerate(finding.fix.splitlines())
            )
    omitted = len(report.findings) - FINDINGS_SHOWN
    if omitted > 0:
        lines.append(f"… and {omitted} more; --output FILE writes all of them")
    return "\n".join(lines)


def report_text(report: Report, body: str = "", *, colour: bool) -> str:
    """Return a whole report as text: the tool's own body, findings, summary, next commands."""
    parts = [part for part in (body.rstrip(), findings_text(report, colour=colour)) if part]
    verdict: Colour = "green" if report.exit_code == 0 else "red"
    parts.append(paint(report.summary, verdict, on=colour))
    if report.next:
        parts.append("\n".join(["next:", *(f"  {step.command}\n      {step.why}" for step in report.next)]))
    return "\n\n".join(parts) + "\n"


def emit(report: Report, body: str | Document = "", *, as_json: bool, output: Path | None = None) -> int:
    """Print a report, or a document in its place, and return the exit code of what was printed.

    The whole envelope is written to `output` where that is given.
    """
    code = int(report.exit_code)
    if output is not None:
        import json

        from senior_backend.console.files import write_atomically

        write_atomically(output, json.dumps(report.to_json(), indent=2, ensure_ascii=False) + "\n")
    if as_json:
        import json

        sys.stdout.write(json.dumps(report.to_json(FINDINGS_SHOWN), indent=2, ensure_ascii=False) + "\n")
    elif isinstance(body, Document):
        sys.stdout.write(body.text if body.text.endswith("\n") else f"{body.text}\n")
        code = code if body.exit_code is None else body.exit_code
    else:
        stream = sys.stderr if report.exit_code in (2, 4, 5, 70) else sys.stdout
        stream.write(report_text(report, body, colour=colours_wanted(stream)))
    sys.stdout.flush()
    return code
