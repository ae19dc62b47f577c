"""Comments that silence a rule, each with its reason: `-- db_migrate: ignore RULE-ID because REASON`.

Such a comment holds for the statement behind it, or for the one in whose line or text it stands; `ignore-file` holds
for the whole file. A comment without a reason silences nothing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from senior_backend.console.report import Severity
    from senior_backend.migrate.operations import ParsedStatement

_MARK = "db_migrate:"
_COMMENT_OR_QUOTED = (
    r"""(?P<comment>--[^\n]*|\#[^\n]*db_migrate:[^\n]*|/\*(?:[^*]|\*(?!/))*\*/)"""
    r"""|'(?:[^']|'')*'|"(?:[^"]|"")*"|`[^`]*`|(?P<tag>\$(?:[A-Za-z_]\w*)?\$).*?(?P=tag)"""
)
_IGNORE = (
    r"db_migrate:[ \t]*(?P<word>ignore(?:-file)?)\b[ \t]*(?P<rules>[a-z0-9][a-z0-9-]*(?:[ \t]*,[ \t]*[a-z0-9-]+)*)?"
    r"[ \t]*(?:(?:because|reason)\b[ \t:=]*(?P<reason>[^\n]*))?"
)


@dataclass(frozen=True, slots=True)
class Suppression:
    """One such comment; it covers statements that start between `first` and `last`."""

    rules: tuple[str, ...]
    reason: str
    start: int
    end: int
    line: int
    column: int
    first: int
    last: int

    def covers(self, rule: str, start: int) -> bool:
        """Whether the comment silences `rule` for a statement that starts at `start`."""
        return rule in self.rules and self.first <= start <= self.last

    def problem(self, known: Collection[str], *, used: bool) -> tuple[str, Severity, str, str] | None:
        """Return what is wrong with the comment as code, severity, message and fix; None where nothing is."""
        shape = "-- db_migrate: ignore RULE-ID because REASON"
        if not self.rules:
            return "suppression-without-rule", "error", "the comment names no rule", f"Write {shape}."
        if not self.reason:
            return (
                "suppression-without-reason",
                "error",
                f"the comment silences {', '.join(self.rules)} without a reason, so it silences nothing",
                f"Say why it is safe here: -- db_migrate: ignore {', '.join(self.rules)} because …",
            )
        unknown = [rule for rule in self.rules if rule not in known]
        if unknown:
            return (
                "suppression-of-unknown-rule",
                "warning",
                f"the comment names {', '.join(unknown)}, and no rule that runs here has that name",
                "Correct the name, or remove the comment; `lint --list-rules` lists the rules.",
            )
        if not used:
            return (
                "suppression-unused",
                "info",
                f"the comment silences {', '.join(self.rules)}, and nothing here is reported by that rule",
                "Remove the comment.",
            )
        return None


def suppressions_in(text: str, statements: list[ParsedStatement]) -> list[Suppression]:
    """Return the comments of a text that silence rules."""
    if _MARK not in text:
        return []
    return [
        _suppression(text, match, inner, statements)
        for match in re.finditer(_COMMENT_OR_QUOTED, text, re.DOTALL)
        if match["comment"] and (inner := re.search(_IGNORE, match["comment"]))
    ]


def _suppression(
    text: str, token: re.Match[str], match: re.Match[str], statements: list[ParsedStatement]
) -> Suppression:
    start = token.start()
    line_start = text.rfind("\n", 0, start) + 1
    places = [(parsed.statement.start, parsed.statement.end) for parsed in statements]
    if match["word"] == "ignore-file":
        first, last = 0, len(text)
    else:
        inside = [place for place in places if place[0] <= start < place[1]]
        on_line = [place for place in places if place[0] < start and place[1] > line_start]
        after = [place for place in places if place[0] >= start]
        chosen = (inside or on_line or after[:1] or [(start, start)])[-1]
        first = last = chosen[0]
    rules = tuple(rule.strip() for rule in (match["rules"] or "").split(",") if rule.strip() not in ("", "because"))
    reason = (match["reason"] or "").strip().removesuffix("*/").strip().strip('"').strip()
    return Suppression(
        rules,
        reason,
        start,
        token.end(),
        text.count("\n", 0, start) + 1,
        start - line_start + 1,
        first,
        last,
    )
