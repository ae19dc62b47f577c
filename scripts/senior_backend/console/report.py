"""The envelope that every tool prints with `--json`; its schema is `envelope.schema.json` beside this file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from senior_backend import __version__
from senior_backend.console.exit_codes import ExitCode

if TYPE_CHECKING:
    from collections.abc import Mapping

Severity = Literal["error", "warning", "info"]

FINDINGS_SHOWN = 100
"""Findings on standard output; an agent's context is finite, `--output FILE` holds all of them."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing a tool has to say about its subject.

    `code` is a stable identifier in kebab-case, `where` is `file:line:column`, a URL or a name,
    `fix` says what to do about it, as a command where there is one.
    """

    code: str
    severity: Severity
    message: str
    where: str | None = None
    fix: str | None = None

    def to_json(self) -> dict[str, str | None]:
        """Return the finding as the envelope shows it."""
        return {
            "code": self.code,
            "severity": self.severity,
            "message": self.message,
            "where": self.where,
            "fix": self.fix,
        }


@dataclass(frozen=True, slots=True)
class NextCommand:
    """A command worth running now, and why."""

    command: str
    why: str

    def to_json(self) -> dict[str, str]:
        """Return the command as the envelope shows it."""
        return {"command": self.command, "why": self.why}


@dataclass(frozen=True, slots=True)
class Document:
    """A text in a format of its own (JUnit, a schema, a configuration) that a command prints in place of its report.

    With `--json` the report is printed all the same. `exit_code` is for formats whose readers expect other codes.
    """

    text: str
    exit_code: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one call of one tool; `data` is the tool's own part."""

    tool: str
    exit_code: ExitCode
    summary: str
    findings: tuple[Finding, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    next: tuple[NextCommand, ...] = ()

    def to_json(self, findings_shown: int | None = None) -> dict[str, Any]:
        """Return the envelope, with at most `findings_shown` findings; `omitted` counts the rest."""
        shown = self.findings if findings_shown is None else self.findings[:findings_shown]
        return {
            "tool": self.tool,
            "version": __version__,
            "exit_code": int(self.exit_code),
            "summary": self.summary,
            "findings": [finding.to_json() for finding in shown],
            "omitted": len(self.findings) - len(shown),
            "data": dict(self.data),
            "next": [command.to_json() for command in self.next],
        }
