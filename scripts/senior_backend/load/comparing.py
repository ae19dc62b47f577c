"""`--baseline` and `--compare`: what changed between two runs, in words, on a page and as an exit code."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from senior_backend.console.exit_codes import ExitCode
from senior_backend.console.files import write_atomically
from senior_backend.console.output import table
from senior_backend.console.progress import Progress as Bar
from senior_backend.console.report import NextCommand, Report
from senior_backend.load import advice, charts, compare, planning, trial
from senior_backend.load.statistics import MS

if TYPE_CHECKING:
    from senior_backend.load.application import Prepared
    from senior_backend.load.charts import Chart
    from senior_backend.load.compare import Comparison, Difference, SavedRun
    from senior_backend.load.model import Progress

CURVE_POINTS = 120
ROUNDS = 10
_VERDICTS = {
    "same": "no significant change",
    "regression": "WORSE",
    "improvement": "better",
    "not-enough-data": "not enough data",
}


def report(first: Prepared, second: Prepared) -> tuple[Report, str]:
    """Run two services in alternating slices and return the report; worse than the first is exit 1.

    Raises:
        UnavailableError: login or setup fails on one of them.
    """
    watch = planning.watch(first.options, first.source.scenario)
    (first, first_workload), (second, second_workload) = trial.opened(first), trial.opened(second)
    sides = [
        compare.Side(call.to.url, call.settings.plan, workload)
        for call, workload in ((first, first_workload), (second, second_workload))
    ]
    with Bar("compare") as bar:
        done = 0
        stopped: str | None = None

        def progress(now: Progress) -> str | None:
            nonlocal done, stopped
            done += 1
            bar.update(done, f"{now.rate:.0f}/s of {now.asked_rate:.0f}/s")
            stopped = stopped or watch(now)
            return stopped

        seed = first.settings.plan.seed
        comparison, before, after = compare.interleaved(sides[0], sides[1], rounds=ROUNDS, progress=progress, seed=seed)
    code, sentence = verdict(comparison)
    if stopped:
        code, sentence = ExitCode.REFUSED if watch.asked_to_stop else ExitCode.FAILED, f"stopped: {stopped}"
    elif broken := _broken_budget(first, before) or _broken_budget(second, after):
        code, sentence = ExitCode.FAILED, broken
    elif len(before.blocks) + len(after.blocks) < 2 * ROUNDS:
        code, sentence = ExitCode.INTERRUPTED, f"interrupted; until then: {sentence}"
    notes = tuple(dict.fromkeys(first.notes + second.notes))
    body = f"A  {first.to.url}\nB  {second.to.url}\n\n{text(comparison, before, after)}"
    data = {"comparison": comparison.to_json(), "slo": first.settings.slo}
    if first.options.html:
        from senior_backend.load import report_html

        drawn = curves(before, after)
        page = report_html.Page(
            title=f"{first.to.url} and {second.to.url}",
            exit_code=code,
            sentence=sentence,
            findings=notes,
            charts=[drawn] if drawn else [],
            tables=[page_table(comparison)],
        )
        write_atomically(first.options.html, report_html.page(page, None, None))
    steps = []
    if code == ExitCode.UNDECIDED:
        longer = advice.command("--duration", "1m", without=("--duration",))
        steps.append(NextCommand(longer, "More time gives the comparison more blocks."))
    return Report("load_test", code, sentence, notes, data, tuple(steps)), body


def _broken_budget(call: Prepared, run: SavedRun) -> str | None:
    """Return what is to be said of a service that fails too much to be compared."""
    budget = call.settings.error_budget
    if budget is None or not run.planned or run.failed <= budget * run.planned:
        return None
    return f"{run.failed:,} of {run.planned:,} requests to {call.to.url} failed: nothing to compare"


def verdict(comparison: Comparison) -> tuple[ExitCode, str]:
    """Return the exit code and the sentence of a comparison."""
    if not comparison.comparable:
        return ExitCode.UNDECIDED, comparison.sentence
    if comparison.regressed:
        return ExitCode.FAILED, comparison.sentence
    # A share of errors can always be compared; without any response time nothing was decided.
    if all(item.verdict == "not-enough-data" for item in comparison.differences if item.unit == "ms"):
        return ExitCode.UNDECIDED, "not enough data to compare response times"
    return ExitCode.OK, comparison.sentence


def text(comparison: Comparison, before: SavedRun, after: SavedRun) -> str:
    """Return the differences as a table."""
    if not comparison.comparable:
        return f"not comparable: {comparison.reason}"
    header = ["", "before", "after", "change", "99% interval", ""]
    counts = f"{before.planned:,} requests before, {after.planned:,} after"
    return table([_row(item) for item in comparison.differences], header) + f"\n{counts}"


def page_table(comparison: Comparison) -> tuple[str, str, list[str], list[list[str]]]:
    """Return the differences for the page."""
    note = comparison.reason or "A change counts when its interval excludes none and it exceeds the runs' own noise."
    header = ["", "before", "after", "change", "interval", "verdict"]
    return "Comparison", note, header, [_row(item) for item in comparison.differences]


def _row(item: Difference) -> list[str]:
    def value(number: float | None) -> str:
        if number is None:
            return "-"
        return f"{number:.2%}" if item.unit == "share" else f"{number:,.2f} ms"

    change = "-" if item.change is None else f"{item.change:+.1%}"
    interval = "-" if item.low is None or item.high is None else f"{item.low:+.1%} to {item.high:+.1%}"
    return [item.statistic, value(item.before), value(item.after), change, interval, _VERDICTS[item.verdict]]


def curves(before: SavedRun, after: SavedRun) -> Chart | None:
    """Return both percentile curves in one chart."""
    return charts.curve_chart([("before", "service", _curve(before)), ("after", "answered", _curve(after))])


def _curve(run: SavedRun) -> list[tuple[float, float]]:
    histogram = run.response
    if not histogram.total:
        return []
    nines = math.log10(max(histogram.total, 2))
    shares = [1 - 10 ** (-nines * step / CURVE_POINTS) for step in range(CURVE_POINTS + 1)]
    ranks = [max(0, math.ceil(share * histogram.total - 1e-9) - 1) for share in shares]
    return [(share, histogram.value_at(rank) / MS) for share, rank in zip(shares, ranks, strict=True)]
