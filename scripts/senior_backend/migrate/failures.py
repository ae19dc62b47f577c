"""What a run says when it cannot go on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.console.errors import RefusedError, ToolError, UnavailableError
from senior_backend.console.report import Finding

if TYPE_CHECKING:
    from senior_backend.migrate.databases.base import Database, DatabaseError
    from senior_backend.migrate.plan import Step


class StatementFailedError(Exception):
    """The server refused a statement of a migration; nothing can be done about it but to change the file."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.message)
        self.finding = finding


def refused(step: Step, error: DatabaseError) -> ToolError | StatementFailedError:
    """Return the error for a statement that the server refused, at the place that the server names."""
    if error.trouble == "environment":
        return environment(error, None, step.where)
    place = step.where
    if error.position is not None:
        before = step.statement.text[: error.position]
        line, newline = step.statement.line + before.count("\n"), before.rfind("\n")
        column = step.statement.column + len(before) if newline < 0 else len(before) - newline
        place = f"{step.where.rsplit(':', 2)[0]}:{line}:{column}"
    hint = "Correct the statement and run the command again; what is done is not repeated."
    if error.trouble == "timeout":
        hint = (
            "It held its locks too long. Split it into steps that do not block (db_migrate.py rewrite), or give it "
            "more time with --statement-timeout SECONDS."
        )
    return StatementFailedError(Finding("statement-failed", "error", error.message, place, hint))


def environment(error: DatabaseError, database: Database | None, place: str | None = None) -> UnavailableError:
    """Return the error for a database that cannot be written."""
    return UnavailableError(
        f"the database cannot be written: {error.message}",
        code="database-unavailable",
        where=place or (database.address.shown if database else None),
        hint="The file under way was rolled back. Check space and permissions, then run the command again.",
    )


def lost(error: DatabaseError, database: Database | None) -> UnavailableError:
    """Return the error for a connection that did not come back."""
    return UnavailableError(
        f"the connection was lost and did not come back: {error.message}",
        code="connection-lost",
        where=database.address.shown if database else None,
        hint="Run the command again when the server answers; it goes on where this run stopped.",
    )


def edited_half_way(step: Step) -> RefusedError:
    """Return the error for a file whose done statements have changed."""
    return RefusedError(
        "this statement was already run, and is another one now",
        code="edited",
        where=step.where,
        hint="The file was interrupted half-way: restore the statements that were done, change only those behind them.",
    )


def gave_way(step: Step, attempts: int, blockers: list[str]) -> UnavailableError:
    """Return the error for a lock that never came, with those who may hold it."""
    who = "; ".join(blockers)
    return UnavailableError(
        f"gave way to other sessions {attempts} times; nothing of this statement was done",
        code="lock-not-available",
        where=step.where,
        hint=(f"Holding locks now: {who}. " if who else "")
        + "Run the command again when the long transaction has ended, or raise --lock-retries.",
    )
