"""`--find-max`: the search with its progress, its text, its page and its verdict."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.files import write_atomically
from senior_backend.console.output import table
from senior_backend.console.progress import Progress as Bar
from senior_backend.console.report import Finding, NextCommand, Report
from senior_backend.load import advice, charts, findmax, rails, server_metrics, server_view, trial, validity
from senior_backend.load.report_text import ms

if TYPE_CHECKING:
    from senior_backend.load.application import Prepared
    from senior_backend.load.charts import Chart
    from senior_backend.load.findmax import FindMaxResult, Point
    from senior_backend.load.model import Progress

DEFAULT_START = 10.0
GREATEST_WAIT_S = 60.0
"""Of Retry-After between two probes."""


def report(call: Prepared) -> tuple[Report, str]:
    """Search, and return the report.

    Raises:
        UnavailableError: login or setup fails.
    """
    options, plan = call.options, call.settings.plan
    start = options.rps or min(max(stage.start_rate for stage in plan.stages), DEFAULT_START)
    greatest = options.max_rate or (rails.PRIVATE_CAPS if call.to.private else rails.PUBLIC_CAPS).rate
    search = findmax.Options(start_rate=min(start, greatest), greatest_rate=greatest, arrivals=plan.arrivals)
    watcher = server_view.watcher(options, call.tls, 0.0)
    with watcher, Bar("find-max") as bar:
        call, workload = trial.opened(call)
        number, asked_to_wait = 0, 0.0

        def progress(now: Progress) -> None:
            nonlocal asked_to_wait
            asked_to_wait = max(asked_to_wait, now.retry_after_s or 0.0)
            p99 = f"p99 {now.p99_ms:.1f} ms" if now.p99_ms is not None else ""
            bar.update(number + 1, f"{now.rate:.0f}/s of {now.asked_rate:.0f}/s {p99}")

        def told(point: Point) -> None:
            nonlocal number, asked_to_wait
            number += 1
            bar.update(number, f"{point.rate:.0f}/s {'held' if point.sustained else point.cause}")
            if asked_to_wait:
                time.sleep(min(asked_to_wait, GREATEST_WAIT_S))
                asked_to_wait = 0.0

        result = findmax.find_max(plan, workload, call.objectives, search, progress=progress, told=told)
    code, sentence = verdict(result, call)
    findings = (*_unique(result), *call.notes)
    view = server_metrics.summarize(watcher.watched)
    seen = watcher.watched.points or watcher.watched.usage
    data = {
        "target": call.to.url,
        "slo": call.settings.slo,
        "find_max": result.to_json(),
        "server": view if seen else None,
    }
    if options.html:
        _write_page(call, result, code, sentence, findings)
    body = f"{call.source.label} at {call.to.url}\nhighest rate that meets {call.settings.slo}\n\n{text(result)}"
    return Report("load_test", code, sentence, findings, data, tuple(_next(call, result))), body


def verdict(result: FindMaxResult, call: Prepared) -> tuple[ExitCode, str]:
    """Return the exit code and the sentence of a search."""
    slo = call.settings.slo
    if result.cause == "interrupted":
        held = f"; {result.highest.rate:,.0f} requests/s held until then" if result.highest else ""
        return ExitCode.INTERRUPTED, f"interrupted after {len(result.points)} probes{held}"
    if result.highest is None:
        lowest = min((point.rate for point in result.points), default=0.0)
        code = ExitCode.UNDECIDED if result.cause in ("generator", "cap", "redirects") else ExitCode.FAILED
        return code, f"not even {lowest:g} requests/s meet {slo}: {result.reason}"
    rate = f"{result.highest.rate:,.0f} requests/s"
    if result.cause == "none":
        return ExitCode.OK, f"at least {rate} meet {slo}: that is as high as was tried"
    knee = f", the knee is at {result.knee.rate:,.0f}/s" if result.knee else ""
    if not result.decided:
        return ExitCode.UNDECIDED, f"at least {rate} meet {slo}, but the {result.cause} was the limit: {result.reason}"
    return ExitCode.OK, f"{rate} meet {slo}{knee}; above it: {result.reason}"


def text(result: FindMaxResult) -> str:
    """Return the probes as a table, in the order of their rates."""
    rows = [
        [
            f"{point.rate:,.1f}",
            f"{point.achieved:,.1f}",
            ms(point.p50_ms),
            ms(point.p99_ms),
            f"{point.error_share:.2%}",
            outcome(point, result)[:110],
        ]
        for point in result.points
    ]
    return table(rows, ["asked/s", "answered/s", "p50", "p99", "failed", ""])


def outcome(point: Point, result: FindMaxResult) -> str:
    """Return whether a rate held, and why not."""
    if point.sustained and result.highest and point.rate > result.highest.rate:
        return f"held for {point.seconds:.0f} s, which is too short to tell"
    if point.sustained:
        return "held"
    return point.reason if point.reason.startswith(point.cause) else f"{point.cause}: {point.reason}"


def chart(result: FindMaxResult) -> Chart | None:
    """Return latency against rate, with the highest rate that held and the knee."""
    marks = []
    if result.highest:
        marks.append((result.highest.rate, "highest that held"))
    if result.knee and result.highest and result.knee.rate == result.highest.rate:
        marks = [(result.knee.rate, "knee, and highest that held")]
    elif result.knee:
        marks.insert(0, (result.knee.rate, "knee"))
    rows = [
        (point.rate, point.p50_ms, point.p99_ms, _state(point, result), outcome(point, result))
        for point in result.points
        if point.p50_ms and point.p99_ms
    ]
    return charts.rate_latency_chart(rows, marks)


def _state(point: Point, result: FindMaxResult) -> str:
    if point.sustained and result.highest and point.rate > result.highest.rate:
        return "brief"
    return "good" if point.sustained else "void" if point.cause in ("generator", "interrupted") else "bad"


def _unique(result: FindMaxResult) -> list[Finding]:
    seen: dict[tuple[str, str], Finding] = {}
    for finding in result.findings:
        seen.setdefault((finding.code, finding.message), finding)
    return list(seen.values())


def _next(call: Prepared, result: FindMaxResult) -> list[NextCommand]:
    steps = []
    if result.cause == "cap":
        more = str(call.settings.plan.connections * 4)
        steps.append(
            NextCommand(advice.command("--connections", more, without=("--connections",)), "The cap was the limit.")
        )
    if result.cause == "generator" and validity.DISTURBED in result.reason:
        steps.append(NextCommand(advice.command(), "Other work disturbed this machine; repeat it when that is done."))
    elif result.cause == "generator":
        more = str(call.settings.plan.processes * 2)
        again = advice.command("--processes", more, without=("--processes",))
        steps.append(NextCommand(again, "The generator was the limit."))
    if result.highest and result.decided:
        rate = f"{max(1.0, 0.8 * result.highest.rate):.0f}"
        again = advice.command(
            "--rps", rate, "--duration", "1m", without=("--rps", "--duration"), flags_without=("--find-max",)
        )
        steps.append(NextCommand(again, "Hold four fifths of it for a minute: does it stay?"))
    return steps


def _write_page(
    call: Prepared, result: FindMaxResult, code: ExitCode, sentence: str, findings: tuple[Finding, ...]
) -> None:
    from senior_backend.load import report_html

    drawn = chart(result)
    header = ["asked/s", "answered/s", "p50", "p99", "failed", "result"]
    rows = [
        [
            f"{point.rate:,.1f}",
            f"{point.achieved:,.1f}",
            ms(point.p50_ms),
            ms(point.p99_ms),
            f"{point.error_share:.2%}",
            outcome(point, result),
        ]
        for point in result.points
    ]
    tiles = [
        (f"{result.highest.rate:,.0f}/s" if result.highest else "-", "highest rate that held"),
        (f"{result.knee.rate:,.0f}/s" if result.knee else "-", "knee"),
        (result.cause, "limit"),
        (f"{len(result.points)}", "probes"),
    ]
    page = report_html.Page(
        title=f"Highest rate of {call.source.label} at {call.to.url}",
        exit_code=code,
        sentence=sentence,
        findings=findings,
        charts=[drawn] if drawn else [],
        tables=[("Probes", f"Each rate was held on its own; the objective is {call.settings.slo}.", header, rows)],
        tiles=tiles,
    )
    write_atomically(call.options.html, report_html.page(page, None, None))
