"""One line and performance data for Nagios and its relatives, with their exit codes."""

from __future__ import annotations

from senior_backend.health.verdict import Verdict, explain

_WORDS = {0: "OK", 1: "WARNING", 2: "CRITICAL", 3: "UNKNOWN"}


def render(verdict: Verdict) -> str:
    """Return the plugin output: a summary, performance data, and a line for everything that is not up."""
    data = " ".join(
        f"'{result.service.name}'={result.phases['total']:.3f}ms"
        for result in verdict.results
        if result.phases.get("total") is not None
    )
    lines = [f"HEALTH {_WORDS[exit_code(verdict)]} - {_safe(verdict.summary)} | {data}"]
    lines += [
        f"{result.service.name}: {result.state}: {_safe(explain(result))}"
        for result in verdict.worst_first()
        if result.state != "up"
    ]
    return "\n".join(lines) + "\n"


def exit_code(verdict: Verdict) -> int:
    """Return 2 when something critical fails, 3 when it is unknown, 1 for any other trouble, else 0."""
    critical = [result for result in verdict.results if result.service.critical]
    if any(result.failing for result in critical):
        return 2
    if not verdict.results or any(result.state == "unknown" for result in critical):
        return 3
    return 1 if any(result.state != "up" for result in verdict.results) else 0


def _safe(text: str) -> str:
    return text.replace("|", "/").replace("\n", " ")
