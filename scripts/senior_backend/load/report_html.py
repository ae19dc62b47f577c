"""The HTML report: one page without scripts or network, for light and dark screens and for paper."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from senior_backend import __version__
from senior_backend.console.exit_codes import ExitCode
from senior_backend.load import charts, rendering
from senior_backend.load.report_text import SHARES, example_text, ms, stages_sentence
from senior_backend.load.samples import needed

if TYPE_CHECKING:
    from senior_backend.console.report import Finding
    from senior_backend.load.charts import Chart
    from senior_backend.load.model import RunResult
    from senior_backend.load.slo import Judged
    from senior_backend.load.statistics import Latency, Summary

REQUEST_ROWS = 100
TONES = {"error": "bad", "warning": "warn", "info": "note"}
_VERDICTS = {
    ExitCode.OK: ("good", "Holds."),
    ExitCode.FAILED: ("bad", "Does not hold."),
    ExitCode.UNDECIDED: ("warn", "Not decided."),
    ExitCode.REFUSED: ("warn", "Stopped."),
    ExitCode.ENVIRONMENT: ("bad", "Not reached."),
    ExitCode.INTERRUPTED: ("warn", "Interrupted."),
}
_STATES = {"holds": "holds", "broken": "broken", "undecided": "not enough data"}

Table = tuple[str, str, Sequence[str], Sequence[Sequence[str]]]
"""Heading, note, column names, rows."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a page shows beside the run itself."""

    title: str
    exit_code: ExitCode
    sentence: str
    findings: Sequence[Finding] = ()
    judged: Sequence[Judged] = ()
    charts: Sequence[Chart] = ()
    """Shown first: the curve of find-max, the two curves of a comparison."""
    tables: Sequence[Table] = field(default=())
    more_charts: Sequence[Chart] = ()
    """Shown last, as are the tables: the server's own figures."""
    more_tables: Sequence[Table] = field(default=())
    tiles: Sequence[tuple[str, str]] = field(default=())
    """Shown where there is no single run."""


def page(shown: Page, result: RunResult | None, summary: Summary | None) -> str:
    """Return the page of a run, or of a series of runs where there is no single one."""
    tone, verdict = _VERDICTS.get(shown.exit_code, ("warn", ""))
    drawn: list[Chart | None] = [*shown.charts]
    tables: list[Table] = [*shown.tables]
    tiles = list(shown.tiles)
    if summary is not None and result is not None:
        service = charts_curve(result)
        drawn += [
            charts.heat_chart(summary.heat if result.samples.folded else charts.fine_heat(result.samples)),
            charts.curve_chart(
                [("response time", "answered", summary.curve), ("service time alone", "service", service)]
            ),
            charts.rate_chart(summary.timeline),
        ]
        tiles = _tiles(summary)
        tables += _tables(result, summary)
    tables += shown.more_tables
    drawn += shown.more_charts
    return rendering.render(
        "reports/load.html.jinja",
        {},
        {
            "title": shown.title,
            "plan": stages_sentence(result.plan) if result else "",
            "started": time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(result.started_at)) if result else "",
            "tone": tone,
            "verdict": verdict,
            "sentence": shown.sentence,
            "tiles": tiles,
            "objectives": [(item.objective.text, _STATES[item.state], item.message) for item in shown.judged],
            "findings": [(TONES[finding.severity], finding.message, finding.fix) for finding in shown.findings],
            "charts": [chart for chart in drawn if chart is not None],
            "tables": tables,
            "version": __version__,
        },
    )


def charts_curve(result: RunResult) -> tuple[tuple[float, float], ...]:
    """Return the percentile curve of service time: what a closed loop would have shown."""
    from senior_backend.load.statistics import curve

    return curve(result.samples.distribution("service"))


def _tiles(summary: Summary) -> list[tuple[str, str]]:
    tiles = []
    for share, name in ((0.5, "p50"), (0.99, "p99"), (0.999, "p99.9")):
        value = summary.response.at.get(share)
        tiles.append((ms(value), name if value is not None else f"{name} needs {needed(share):,} requests"))
    tiles.append((ms(summary.response.greatest_ms), "slowest"))
    tiles.append((f"{summary.achieved_rate:,.0f}/s", f"answered of {summary.asked_rate:,.0f}/s"))
    tiles.append((f"{summary.error_share:.2%}", f"failed of {summary.planned:,}"))
    return tiles


def _tables(result: RunResult, summary: Summary) -> list[Table]:
    header = ["", "mean", "p50", "p90", "p99", "p99.9", "max"]
    parts = [
        _row("response time", summary.response),
        _row("  schedule lag (ours)", summary.columns["lag"]),
        _row("  connection wait", summary.columns["wait"]),
        _row("  service", summary.columns["service"]),
        _row("  of that: first byte", summary.columns["first_byte"]),
    ]
    if summary.connect.count:
        parts.append(_row("opening a connection", summary.connect))
    if summary.handshake.count:
        parts.append(_row("TLS handshake", summary.handshake))
    tables: list[Table] = [("What response time is made of", "", header, parts)]
    if len(summary.requests) > 1:
        rows = [
            [row.name, f"{row.count:,}", f"{row.failed:,}", *_row("", row.response)[1:]]
            for row in summary.requests[:REQUEST_ROWS]
        ]
        tables.append(("Requests", "", ["request", "count", "failed", *header[1:]], rows))
    if summary.errors:
        rows = [
            [error.kind.label.replace("_", " "), f"{error.count:,}", example_text(error.example)]
            for error in summary.errors
        ]
        tables.append(("Errors by class", "", ["class", "count", "example"], rows))
    statuses = [[str(status), f"{count:,}"] for status, count in sorted(result.statuses.items())]
    if statuses:
        tables.append(("Statuses", "", ["status", "count"], statuses))
    stats = result.generator
    descriptors = f"{stats.fds_open} of {stats.fds_limit}" if stats.fds_limit else str(stats.fds_open)
    generator = [
        ["CPU", f"{stats.cpu_share:.0%} of a core"],
        ["connections at most", f"{stats.connections_peak} of {stats.connections_cap}"],
        ["connections opened", f"{stats.connections_opened:,}"],
        ["file descriptors", descriptors],
        ["closed by the server", f"{stats.server_closes:,}"],
    ]
    tables.append(("Generator", "Whether the tool itself was a limit.", ["", ""], generator))
    return tables


def _row(name: str, latency: Latency) -> list[str]:
    return [name, ms(latency.mean_ms), *(ms(latency.at.get(share)) for share in SHARES), ms(latency.greatest_ms)]
