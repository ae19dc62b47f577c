"""The report for people at a terminal: what was asked, what users felt, what it is made of, what failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.console.output import Colour, paint, table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.load.model import ErrorExample, Plan, RunResult
    from senior_backend.load.slo import Judged
    from senior_backend.load.statistics import Latency, Summary
    from senior_backend.load.validity import Validity

SHARES = (0.5, 0.9, 0.99, 0.999)
ROWS = 12
EXAMPLE_LENGTH = 160
_STATE: dict[str, tuple[str, Colour]] = {
    "holds": ("holds", "green"),
    "broken": ("BROKEN", "red"),
    "undecided": ("not enough data", "yellow"),
}


def ms(value: float | None) -> str:
    """Return milliseconds for people; `-` for what is not known."""
    if value is None:
        return "-"
    return f"{value:,.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def run_text(
    result: RunResult,
    summary: Summary,
    validity: Validity,
    judged: Sequence[Judged],
    *,
    heading: str,
    server: str = "",
    colour: bool,
) -> str:
    """Return the body of the report of one run."""
    parts = [paint(heading, "bold", on=colour), _rates(result, summary), _latencies(summary)]
    if len(summary.requests) > 1:
        parts.append(_requests(summary))
    if summary.errors or any(status >= 300 for status in result.statuses):
        parts.append(_failures(result, summary))
    if judged:
        parts.append(_objectives(judged, colour=colour))
    parts.append(server)
    parts.append(_validity(result, validity, colour=colour))
    return "\n\n".join(part for part in parts if part)


def stages_sentence(plan: Plan) -> str:
    """Return the plan in a few words."""
    warm, stages = plan.warmup_s, list(plan.stages)
    while stages and warm > 1e-9:
        warm -= stages.pop(0).seconds
    shown = [
        f"{stage.seconds:g} s at {stage.start_rate:g}/s"
        if stage.start_rate == stage.end_rate
        else f"{stage.seconds:g} s from {stage.start_rate:g} to {stage.end_rate:g}/s"
        for stage in stages[:4]
    ]
    more = f", and {len(stages) - 4} more stages" if len(stages) > 4 else ""
    after = f" after {plan.warmup_s:g} s warm-up" if plan.warmup_s else ""
    return f"{', '.join(shown)}{more}{after}, {plan.arrivals} arrivals"


def _rates(result: RunResult, summary: Summary) -> str:
    rows = [
        ["plan", stages_sentence(result.plan)],
        ["rate", f"asked {summary.asked_rate:,.1f}/s, answered {summary.achieved_rate:,.1f}/s"],
        ["requests", f"{summary.planned:,} measured, {summary.succeeded:,} succeeded, {summary.failed:,} failed"],
    ]
    return table(rows)


def _cells(name: str, latency: Latency) -> list[str]:
    return [name, ms(latency.mean_ms), *(ms(latency.at.get(share)) for share in SHARES), ms(latency.greatest_ms)]


def _latencies(summary: Summary) -> str:
    if not summary.planned:
        return ""
    header = ["", "mean", "p50", "p90", "p99", "p99.9", "max"]
    rows = [_cells("response time", summary.response)]
    for name, column in (
        ("  schedule lag", summary.columns["lag"]),
        ("  connection wait", summary.columns["wait"]),
        ("  service", summary.columns["service"]),
        ("    first byte", summary.columns["first_byte"]),
    ):
        rows.append(_cells(name, column))
    if summary.handshake.count:
        rows.append(_cells("tls handshake", summary.handshake))
    text = table(rows, header)
    if any(summary.response.at.get(share) is None for share in SHARES):
        text += "\n- not enough data for that percentile"
    return text


def _requests(summary: Summary) -> str:
    rows = [
        [row.name, f"{row.count:,}", f"{row.failed:,}", *(ms(row.response.at.get(share)) for share in (0.5, 0.9, 0.99))]
        for row in summary.requests[:ROWS]
    ]
    text = table(rows, ["request", "count", "failed", "p50", "p90", "p99"])
    return text + (f"\n… and {len(summary.requests) - ROWS} more" if len(summary.requests) > ROWS else "")


def _failures(result: RunResult, summary: Summary) -> str:
    statuses = ", ".join(f"{status}: {count:,}" for status, count in sorted(result.statuses.items()))
    rows = [[error.kind.label, f"{error.count:,}", example_text(error.example)] for error in summary.errors]
    lines = [f"statuses  {statuses}"] if statuses else []
    return "\n".join([*lines, *([table(rows, ["error", "count", "example"])] if rows else [])])


def example_text(example: ErrorExample | None) -> str:
    """Return one example of an error in one line."""
    if example is None:
        return ""
    shown = example.message if len(example.message) <= EXAMPLE_LENGTH else example.message[:EXAMPLE_LENGTH] + "…"
    return f"{shown} ({example.request}, at {example.at_s:.1f} s)"


def _objectives(judged: Sequence[Judged], *, colour: bool) -> str:
    width = max(len(item.objective.text) for item in judged)
    lines = []
    for item in judged:
        word, shade = _STATE[item.state]
        lines.append(f"slo  {item.objective.text.ljust(width)}  {paint(word, shade, on=colour)}  {item.message}")
    return "\n".join(lines)


def _validity(result: RunResult, validity: Validity, *, colour: bool) -> str:
    stats = result.generator
    word = paint("valid", "green", on=colour) if validity.valid else paint("NOT VALID", "red", on=colour)
    limit = {
        "none": "nothing was at its limit",
        "generator": "the generator was the limit",
        "cap": "the connection cap was the limit",
        "server": "the server was the limit",
    }[validity.limit]
    return (
        f"measurement {word}: {limit}; generator used {stats.cpu_share:.0%} of a core, "
        f"{stats.connections_peak} of {stats.connections_cap} connections"
    )
