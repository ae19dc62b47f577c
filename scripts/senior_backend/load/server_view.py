"""Sets the server's own figures beside the client's view: in words, in the text report, and in the HTML page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from senior_backend.console.errors import InputError
from senior_backend.console.output import table
from senior_backend.console.report import Finding
from senior_backend.load import charts, rails, server_metrics
from senior_backend.load.report_text import ms

if TYPE_CHECKING:
    import argparse

    from senior_backend.load.charts import Chart
    from senior_backend.load.model import TLSOptions
    from senior_backend.load.report_html import Table
    from senior_backend.load.server_metrics import Watched, Watcher
    from senior_backend.load.statistics import Summary

HIDDEN_SHARE = 2.0
HIDDEN_MS = 5.0
"""What clients see beyond the server's own p99 is worth a word when it is twice as much, and 5 ms more."""


def watcher(options: argparse.Namespace, tls: TLSOptions, duration_s: float) -> Watcher:
    """Return the watcher that the options ask for; without --metrics-url and --pid it watches nothing.

    Raises:
        ToolError: the URL is wrong, unknown, or not ours to ask.
    """
    metrics = None
    if options.metrics_url:
        parts = urlsplit(options.metrics_url)
        if not parts.netloc:
            raise InputError(
                f"--metrics-url '{options.metrics_url}' is not a URL",
                code="bad-url",
                hint="http://127.0.0.1:8000/metrics",
            )
        to = rails.destination(f"{parts.scheme}://{parts.netloc}", options.i_own, tls)
        metrics = (to, (parts.path or "/metrics") + (f"?{parts.query}" if parts.query else ""))
    if options.pid is not None and options.pid < 1:
        raise InputError("--pid must be a process id", code="out-of-range", where="--pid")
    interval = max(server_metrics.INTERVAL_S, duration_s / server_metrics.MOST_SCRAPES)
    return server_metrics.Watcher(metrics, options.pid, interval)


def text(view: dict[str, Any], summary: Summary) -> str:
    """Return the server's part of the text report, empty where nothing was watched."""
    rows = [
        [
            row["metric"],
            f"{row['count']:,}",
            ms(row["mean_ms"]),
            ms(row["p50_ms"]),
            ms(row["p90_ms"]),
            ms(row["p99_ms"]),
        ]
        for row in view.get("latency", ())
    ]
    parts = []
    if rows:
        at = summary.columns["service"].at
        ours = summary.columns["service"]
        seen = [ms(ours.mean_ms), ms(at.get(0.5)), ms(at.get(0.9)), ms(at.get(0.99))]
        rows.append(["(service time here)", f"{ours.count:,}", *seen])
        parts.append(table(rows, ["server's own", "count", "mean", "p50", "p90", "p99"]))
    usage = []
    if view.get("cpu_cores") is not None:
        usage.append(f"{view['cpu_cores']:.2f} cores")
    if view.get("memory_peak_mb") is not None:
        usage.append(f"{view['memory_peak_mb']:,.0f} MB at most")
    usage += [f"{row['metric']} {row['least']:g} to {row['most']:g}" for row in view.get("gauges", ())[:4]]
    if usage:
        parts.append("server used " + ", ".join(usage))
    return "\n".join(parts)


def _latency_rows(view: dict[str, Any]) -> list[list[str]]:
    times = ("mean_ms", "p50_ms", "p90_ms", "p99_ms")
    return [
        [row["metric"], f"{row['count']:,}", *(ms(row[name]) for name in times)] for row in view.get("latency") or ()
    ]


def findings(view: dict[str, Any], watched: Watched, summary: Summary) -> list[Finding]:
    """Return what the two views together say."""
    found = []
    if watched.failures:
        message = f"{watched.failures} looks at the server failed during the run: {watched.problem}"
        found.append(Finding("metrics-lost", "warning", message))
    rows = view.get("latency") or []
    service = summary.columns["service"].at.get(0.99)
    if not rows or service is None or not summary.planned:
        return found
    main = rows[0]
    own = main["p99_ms"]
    same_requests = 0.7 <= main["count"] / summary.planned <= 2.0
    if same_requests and own is not None and service > HIDDEN_SHARE * own and service - own > HIDDEN_MS:
        message = (
            f"the server counts p99 {ms(own)} ({main['metric']}), clients wait {ms(service)} after sending: "
            "the rest is queueing before its handler starts, or the network"
        )
        found.append(
            Finding("queueing-before-handler", "warning", message, fix="Look at workers, pools and event loop.")
        )
    return found


def page_parts(view: dict[str, Any], watched: Watched) -> tuple[list[Chart], list[Table]]:
    """Return charts and tables for the HTML page."""
    lines = server_metrics.series(watched)
    drawn = [
        charts.series_chart("Server CPU", "cores", [("cores in use", "answered", lines["cpu_cores"])]),
        charts.series_chart("Server memory", "MB", [("resident memory, MB", "answered", lines["memory_mb"])]),
    ]
    tables: list[Table] = []
    rows = [
        [
            row["metric"],
            f"{row['count']:,}",
            ms(row["mean_ms"]),
            ms(row["p50_ms"]),
            ms(row["p90_ms"]),
            ms(row["p99_ms"]),
        ]
        for row in view.get("latency", ())
    ]
    if rows:
        note = "Counted by the server between the first and the last look; its buckets limit how exact that is."
        tables.append(
            ("Latency by the server's own count", note, ["metric", "count", "mean", "p50", "p90", "p99"], rows)
        )
    moved = [
        [row["metric"], f"{row['least']:g}", f"{row['most']:g}", f"{row['last']:g}"] for row in view.get("gauges", ())
    ]
    if moved:
        tables.append(("Queues and pools of the server", "", ["metric", "least", "most", "last"], moved))
    return [chart for chart in drawn if chart is not None], tables
