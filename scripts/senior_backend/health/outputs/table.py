"""A table for people: the dependency tree, states, times, and why."""

from __future__ import annotations

from senior_backend.console.output import Colour, paint
from senior_backend.health.model import Result
from senior_backend.health.verdict import Verdict, explain

SHOWN = 60
"""Rows before healthy services are left out."""
NOTE_WIDTH = 90
_COLOURS: dict[str, Colour] = {"up": "green", "degraded": "yellow", "down": "red", "unknown": "blue", "blocked": "red"}
_SIGNS = {"up": "✓", "degraded": "!", "down": "✗", "unknown": "?", "blocked": "·"}


def render(verdict: Verdict, *, colour: bool = False, everything: bool = False) -> str:
    """Return the table; a large one shows only what is not up, unless `everything` is wanted."""
    rows, left_out = _rows(verdict, everything=everything)
    header = ("SERVICE", "STATE", "TYPE", "TIME", "")
    widths = [max(len(row[0]) for row in [(header[0],), *[(row[0],) for row in rows]]), 10, 10, 9]
    lines = ["  ".join(text.ljust(width) for text, width in zip(header, [*widths, 0], strict=True)).rstrip()]
    for name, result, note in rows:
        if result is None:
            lines.append(name)
            continue
        state = f"{_SIGNS[result.state]} {result.state}"
        cells = [
            name.ljust(widths[0]),
            paint(state.ljust(widths[1]), _COLOURS[result.state], on=colour),
            result.service.type.ljust(widths[2]),
            _time(result).rjust(widths[3]),
            note,
        ]
        lines.append("  ".join(cells).rstrip())
    if left_out:
        lines.append(f"… {left_out} more are up; --all shows them")
    return "\n".join(lines) + "\n"


def _rows(verdict: Verdict, *, everything: bool) -> tuple[list[tuple[str, Result | None, str]], int]:
    if len(verdict.results) > SHOWN and not everything:
        bad = [result for result in verdict.worst_first() if result.state != "up"]
        rows = [(result.service.name, result, _note(result)) for result in bad[:SHOWN]]
        listed: list[tuple[str, Result | None, str]] = list(rows)
        if len(bad) > SHOWN:
            listed.append((f"… {len(bad) - SHOWN} more are not up; --all shows them", None, ""))
        return listed, len(verdict.results) - len(bad)
    return _tree(verdict), 0


def _tree(verdict: Verdict) -> list[tuple[str, Result | None, str]]:
    """Return the rows as a tree: a service, and below it what it depends on; what was shown above is not repeated."""
    by_name = {result.service.name: result for result in verdict.results}
    needed = {name for result in verdict.results for name in result.service.depends_on}
    rows: list[tuple[str, Result | None, str]] = []
    shown: set[str] = set()
    roots = [result for result in verdict.results if result.service.name not in needed]
    stack: list[tuple[str, str, str]] = [(result.service.name, "", "") for result in reversed(roots)]
    while stack:
        name, lead, below = stack.pop()
        result = by_name[name]
        if name in shown:
            rows.append((f"{lead}{name}", result, "(above)"))
            continue
        shown.add(name)
        rows.append((f"{lead}{name}", result, _note(result)))
        children = [item for item in result.service.depends_on if item in by_name]
        for index, child in reversed(list(enumerate(children))):
            last = index == len(children) - 1
            stack.append((child, f"{below}{'└─ ' if last else '├─ '}", f"{below}{'   ' if last else '│  '}"))
    return rows


def _note(result: Result) -> str:
    marks = []
    if result.flaky:
        marks.append("flaky: answered at the second attempt")
    if not result.service.critical and result.state not in ("up", "degraded"):
        marks.append("not critical")
    if result.service.tls_options.insecure:
        marks.append("certificate not verified")
    text = explain(result)
    if result.state == "blocked":
        text = f"behind {', '.join(result.causes)} ({result.own_reason})"
    elif result.reason:
        text = f"{result.reason}: {result.detail}" if result.detail else result.reason
    text = text if len(text) <= NOTE_WIDTH else text[: NOTE_WIDTH - 1] + "…"
    return " · ".join([*([text] if text else []), *marks])


def _time(result: Result) -> str:
    total = result.phases.get("total")
    if total is None or result.service.type in ("disk", "process"):
        return ""
    return f"{total:.1f} ms" if total < 1000 else f"{total / 1000:.2f} s"
