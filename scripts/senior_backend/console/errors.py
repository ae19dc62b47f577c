"""Errors that a user can cause and mend; everything else is a bug and keeps its traceback."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.report import Finding, Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class ToolError(Exception):
    """A run that ends without its result.

    `code` is stable and in kebab-case, `where` names the place (`file:line:column`), `hint` what to try.
    A check of an input file passes everything it found as `findings`, so that all problems are told at once.
    """

    exit_code: ClassVar[ExitCode] = ExitCode.USAGE

    def __init__(
        self,
        message: str,
        *,
        code: str,
        hint: str | None = None,
        where: str | None = None,
        findings: Sequence[Finding] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint
        self.where = where
        self.findings = tuple(findings) or (Finding(code, "error", message, where, hint),)

    def to_report(self, tool: str) -> Report:
        """Return the error as the report of a finished call."""
        return Report(tool, self.exit_code, self.message.splitlines()[0], self.findings)


class InputError(ToolError):
    """The call or its input is wrong; nothing was done."""

    exit_code = ExitCode.USAGE


class UndecidedError(ToolError):
    """A choice is needed, or a measurement is not valid."""

    exit_code = ExitCode.UNDECIDED


class UnavailableError(ToolError):
    """A target cannot be reached, a driver is missing, or a permission is."""

    exit_code = ExitCode.ENVIRONMENT


class RefusedError(ToolError):
    """A safety rail refused the call."""

    exit_code = ExitCode.REFUSED


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ` (did you mean 'x'?)` for the nearest known word, or an empty string."""
    import difflib

    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f" (did you mean '{near[0]}'?)" if near else ""
