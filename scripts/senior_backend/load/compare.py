"""Saved runs and comparisons: is this build slower than that one, or is it chance?

Requests near each other in time share queues and pauses, so single requests say less than their number suggests. Runs
are cut into time blocks; whole blocks are resampled (block bootstrap), and a difference counts only when its
confidence interval excludes no change and it exceeds the noise floor: what the two halves of each run differ by
anyway. The confidence level is divided by the number of statistics compared (Bonferroni).
"""

from __future__ import annotations

import dataclasses
import json
import math
import platform
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Literal

from senior_backend import __version__
from senior_backend.console.errors import InputError
from senior_backend.console.files import write_atomically
from senior_backend.load import engine, statistics
from senior_backend.load.histogram import Histogram
from senior_backend.load.model import Stage, StaticWorkload
from senior_backend.load.samples import enough
from senior_backend.load.statistics import MS, BlockTable, binomial_tail, percentile_name

if TYPE_CHECKING:
    from senior_backend.load.model import Plan, ProgressCallback, RunResult, Workload
    from senior_backend.load.sockets import Address

FORMAT = "senior-backend/load-run"
FORMAT_VERSION = 1
SAVED_FIGURES = ("name", "started_at", "measured_s", "asked_rate", "achieved_rate", "planned", "failed", "valid")
BLOCKS = 20
LEAST_BLOCKS = 8
ROUNDS = 1000
CONFIDENCE = 0.99
"""Of the whole comparison; each statistic gets its part."""
ORDER = 0.02
"""Chance of blocks being in such order without a difference, as a second opinion that outliers cannot sway."""
FLOOR_SHARE = 0.03
FLOOR_MS = 0.1
"""Differences below 3 % or 0.1 ms are noise on any shared machine."""
SHARES = (0.5, 0.9, 0.99)
DIFFERENT_LOAD = 0.1

Measure = Callable[[BlockTable, Sequence[int]], float]
Change = Literal["same", "regression", "improvement", "not-enough-data"]


@dataclass(frozen=True, slots=True)
class SavedRun:
    """A run as it is kept: histograms of response time by time block, failures, and what was asked."""

    name: str
    started_at: float
    measured_s: float
    asked_rate: float
    achieved_rate: float
    planned: int
    failed: int
    blocks: tuple[Histogram, ...]
    columns: dict[str, Histogram]
    plan: dict[str, object]
    valid: bool = True

    @property
    def response(self) -> Histogram:
        """Return response times of the whole run."""
        return self.columns["response"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One statistic of two runs; `low` and `high` bound the relative change (0.1 is 10 % more) with confidence."""

    statistic: str
    before: float | None
    after: float | None
    unit: Literal["ms", "share"]
    change: float | None
    low: float | None
    high: float | None
    floor: float
    """The change that noise alone makes, relative."""
    verdict: Change

    def to_json(self) -> dict[str, object]:
        """Return it as the report shows it."""
        values = dataclasses.asdict(self)
        return {key: round(value, 5) if isinstance(value, float) else value for key, value in values.items()}


@dataclass(frozen=True, slots=True)
class Comparison:
    """All statistics of two runs. `regressed` decides the exit code; `comparable` is False for different loads."""

    before: str
    after: str
    differences: tuple[Difference, ...]
    comparable: bool
    reason: str = ""

    @property
    def regressed(self) -> bool:
        """Whether anything became significantly worse."""
        return any(difference.verdict == "regression" for difference in self.differences)

    @property
    def sentence(self) -> str:
        """Return the result in one sentence."""
        if not self.comparable:
            return f"not comparable: {self.reason}"
        worse = [item for item in self.differences if item.verdict == "regression"]
        better = [item for item in self.differences if item.verdict == "improvement"]
        for label, items in (("slower", worse), ("faster", better)):
            if items:
                said = ", ".join(_said(item) for item in items)
                return f"{self.after} is {label} than {self.before}: {said}"
        if all(item.verdict == "not-enough-data" for item in self.differences):
            return "not enough data to compare"
        return f"no significant difference between {self.before} and {self.after}"

    def to_json(self) -> dict[str, object]:
        """Return it as the report shows it."""
        return {
            "before": self.before,
            "after": self.after,
            "comparable": self.comparable,
            "reason": self.reason,
            "regressed": self.regressed,
            "sentence": self.sentence,
            "differences": [item.to_json() for item in self.differences],
        }


def _said(item: Difference) -> str:
    if item.unit == "share":
        return f"{item.statistic} {item.before:.2%} to {item.after:.2%}"
    span = f" ({item.low:+.0%} to {item.high:+.0%})" if item.low is not None and item.high is not None else ""
    return f"{item.statistic} {item.before:.2f} to {item.after:.2f} ms{span}"


def saved_from(result: RunResult, name: str = "run", *, valid: bool = True) -> SavedRun:
    """Return what is kept of a run."""
    summary = statistics.summarize(result)
    start, end = result.plan.warmup_s, result.plan.warmup_s + max(result.measured_s, 1e-3)
    return SavedRun(
        name=name,
        started_at=result.started_at,
        measured_s=result.measured_s,
        asked_rate=summary.asked_rate,
        achieved_rate=summary.achieved_rate,
        planned=summary.planned,
        failed=summary.failed,
        blocks=time_blocks(result, start, end),
        columns={column: result.samples.distribution(column).histogram() for column in summary.columns},
        plan={
            "target": result.plan.target.url,
            "arrivals": result.plan.arrivals,
            "stages": [[stage.seconds, stage.start_rate, stage.end_rate] for stage in result.plan.stages],
            "connections": result.plan.connections,
            "requests": list(result.names),
        },
        valid=valid,
    )


def time_blocks(result: RunResult, start_s: float, end_s: float) -> tuple[Histogram, ...]:
    """Return response times by blocks of time; folded requests come by their seconds."""
    samples = result.samples
    seconds = (end_s - start_s) / BLOCKS
    if samples.folded and samples.folded.total:
        return tuple(distribution.histogram() for distribution in samples.by_second().values())
    return tuple(Histogram.of(block) for block in statistics.blocks(samples, start_s, end_s, seconds))


def save(saved: SavedRun, path: Path) -> None:
    """Write a run as JSON, atomically."""
    document = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "version": __version__,
        "host": platform.node(),
        "saved_at": time.time(),
        **{
            name: getattr(saved, name)
            for name in (
                "name",
                "started_at",
                "measured_s",
                "asked_rate",
                "achieved_rate",
                "planned",
                "failed",
                "valid",
            )
        },
        "plan": saved.plan,
        "columns": {column: histogram.to_json() for column, histogram in saved.columns.items()},
        "blocks": [block.to_json() for block in saved.blocks],
    }
    write_atomically(path, json.dumps(document, separators=(",", ":")) + "\n")


def load(path: Path) -> SavedRun:
    """Read a saved run; raise InputError when it is none, is damaged or comes from a newer version."""
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"no saved run at {path}", code="baseline-missing", hint=f"--save {path}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}", code="baseline-unreadable") from error
    except json.JSONDecodeError as error:
        where = f"{path}:{error.lineno}:{error.colno}"
        raise InputError(f"not a saved run: {error.msg}", code="baseline-invalid", where=where) from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError("not a saved run: made by something else", code="baseline-invalid", where=str(path))
    if document.get("format_version") != FORMAT_VERSION:
        message = f"saved by another version (format {document.get('format_version')}, expected {FORMAT_VERSION})"
        raise InputError(message, code="baseline-version", where=str(path), hint="save the baseline again")
    try:
        return _from_json(document)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"a damaged saved run: {error!r}", code="baseline-invalid", where=str(path)) from error


def _from_json(document: dict[str, Any]) -> SavedRun:
    return SavedRun(
        name=str(document["name"]),
        started_at=float(document["started_at"]),
        measured_s=float(document["measured_s"]),
        asked_rate=float(document["asked_rate"]),
        achieved_rate=float(document["achieved_rate"]),
        planned=int(document["planned"]),
        failed=int(document["failed"]),
        blocks=tuple(Histogram.from_json(block) for block in document["blocks"]),
        columns={str(name): Histogram.from_json(value) for name, value in document["columns"].items()},
        plan=dict(document["plan"]),
        valid=bool(document["valid"]),
    )


def against(baseline: SavedRun, now: SavedRun, *, seed: int = 1, paired: bool = False) -> Comparison:
    """Compare a run with an earlier one; runs under different loads are not comparable.

    With `paired`, block i of one run was measured next to block i of the other: they are resampled together, so that
    what disturbed both counts for neither.
    """
    reason = _incomparable(baseline, now)
    if reason:
        return Comparison(baseline.name, now.name, (), comparable=False, reason=reason)
    pairs = [
        (one, other)
        for one, other in zip_longest(baseline.blocks, now.blocks, fillvalue=Histogram())
        if not paired or (one.total and other.total)
    ]
    tables = [BlockTable([block for block in blocks if block.total]) for blocks in zip(*pairs, strict=True)]
    draws = _draws([len(table) for table in tables], seed, paired=paired)
    measures: list[tuple[str, float, Measure]] = [
        (percentile_name(share), share, lambda table, chosen, share=share: table.quantile(chosen, share))  # type: ignore[misc]
        for share in SHARES
    ]
    measures.append(("mean", 0.0, lambda table, chosen: table.mean(chosen)))
    differences = []
    for name, share, measure in measures:
        if share and not all(enough(run.planned, share) for run in (baseline, now)):
            missing = Difference(name, None, None, "ms", None, None, None, 0.0, "not-enough-data")
            differences.append(missing)
        else:
            differences.append(_difference(name, tables, draws, measure, paired=paired))
    differences.append(_error_difference(baseline, now))
    return Comparison(baseline.name, now.name, tuple(differences), comparable=True)


def _draws(sizes: Sequence[int], seed: int, *, paired: bool) -> list[list[list[int]]]:
    """Return the block numbers of each resampled run, for both runs."""
    draw = random.Random(seed)  # noqa: S311 - a simulation
    drawn = [[draw.choices(range(size), k=size) for _ in range(ROUNDS)] for size in sizes]
    return [drawn[0], drawn[0]] if paired else drawn


def _incomparable(baseline: SavedRun, now: SavedRun) -> str:
    for run in (baseline, now):
        if not run.valid:
            return f"{run.name} is not a valid measurement"
        if not run.planned:
            return f"{run.name} measured nothing"
    for what in ("arrivals", "requests"):
        if baseline.plan.get(what) != now.plan.get(what):
            return f"different {what}: {baseline.plan.get(what)} and {now.plan.get(what)}"
    ratio = now.asked_rate / baseline.asked_rate if baseline.asked_rate else math.inf
    if baseline.plan.get("arrivals") != "closed" and abs(math.log(max(ratio, 1e-9))) > DIFFERENT_LOAD:
        return f"different rates: {baseline.asked_rate:.0f}/s and {now.asked_rate:.0f}/s"
    return ""


def _difference(
    name: str,
    tables: Sequence[BlockTable],
    draws: Sequence[Sequence[Sequence[int]]],
    measure: Measure,
    *,
    paired: bool,
) -> Difference:
    before, after = (measure(table, range(len(table))) for table in tables)
    floor = max(FLOOR_SHARE, FLOOR_MS * MS / max(before, 1.0))
    if not paired:
        floor = max(floor, *(_own_noise(table, measure) for table in tables))
    if min(len(table) for table in tables) < LEAST_BLOCKS:
        return Difference(name, before / MS, after / MS, "ms", None, None, None, floor, "not-enough-data")
    logs = [
        [math.log(max(measure(table, chosen), 1.0)) for chosen in drawn]
        for table, drawn in zip(tables, draws, strict=True)
    ]
    variance = (
        _variance([one - other for one, other in zip(*logs, strict=True)])
        if paired
        else sum(_variance(values) for values in logs)
    )
    # The bootstrap gives the standard error, too small by (n - 1) / n; Student's factor stands for few blocks.
    blocks = min(len(table) for table in tables)
    spread = _factor(blocks - 1) * math.sqrt(variance * blocks / (blocks - 1))
    middle = math.log(max(after, 1.0) / max(before, 1.0))
    low, high = math.expm1(middle - spread), math.expm1(middle + spread)
    change = math.expm1(middle)
    verdict: Change = "same"
    orderly = _orderly([[measure(table, [block]) for block in range(len(table))] for table in tables], paired=paired)
    if low > 0 and change > floor and orderly:
        verdict = "regression"
    elif high < 0 and change < -floor and orderly:
        verdict = "improvement"
    return Difference(name, before / MS, after / MS, "ms", change, low, high, floor, verdict)


def _orderly(values: Sequence[Sequence[float]], *, paired: bool) -> bool:
    """Whether the blocks of one run lie above the other's as a rule, not only in a few disturbed blocks.

    The sign test where blocks are pairs, the rank sum test of Mann and Whitney where they are not.
    """
    before, after = values
    if paired:
        signs = [other > one for one, other in zip(before, after, strict=True)]
        more = max(sum(signs), len(signs) - sum(signs))
        return 2 * binomial_tail(len(signs), more, 0.5) < ORDER
    wins = sum((other > one) + 0.5 * (other == one) for one in before for other in after)
    n, m = len(before), len(after)
    error = math.sqrt(n * m * (n + m + 1) / 12)
    return abs(wins - n * m / 2) > NormalDist().inv_cdf(1 - ORDER / 2) * error


def _variance(values: Sequence[float]) -> float:
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1)


def _factor(freedom: int) -> float:
    """Return how many standard errors the interval spans to each side: Student's quantile by Cornish and Fisher."""
    tests = len(SHARES) + 2
    normal = NormalDist().inv_cdf(1 - (1 - CONFIDENCE) / (2 * tests))
    first = (normal**3 + normal) / 4
    second = (5 * normal**5 + 16 * normal**3 + 3 * normal) / 96
    return normal + first / freedom + second / freedom**2


def _own_noise(table: BlockTable, measure: Measure) -> float:
    """Return by how much a run differs from itself: even blocks from odd ones, so that a trend does not count."""
    if len(table) < 2:
        return math.inf
    low, high = sorted((measure(table, range(0, len(table), 2)), measure(table, range(1, len(table), 2))))
    # Halves have half the samples each: they differ by about twice as much as two whole runs do.
    return (high / max(low, 1.0) - 1) / 2


def _error_difference(baseline: SavedRun, now: SavedRun) -> Difference:
    """Compare error shares by the two-proportion z test, with the same confidence as the rest."""
    before, after = baseline.failed / baseline.planned, now.failed / now.planned
    pooled = (baseline.failed + now.failed) / (baseline.planned + now.planned)
    error = math.sqrt(pooled * (1 - pooled) * (1 / baseline.planned + 1 / now.planned))
    change = abs(after - before)
    significant = error > 0 and change > 0.001 and change > _factor(min(baseline.planned, now.planned)) * error
    verdict: Change = "same"
    if significant:
        verdict = "regression" if after > before else "improvement"
    return Difference("errors", before, after, "share", None, None, None, 0.001, verdict)


@dataclass(frozen=True, slots=True)
class Side:
    """One of two targets that are compared side by side."""

    name: str
    plan: Plan
    workload: StaticWorkload | Workload
    address: Address | None = None


def interleaved(
    first: Side, second: Side, *, rounds: int = 10, progress: ProgressCallback | None = None, seed: int = 1
) -> tuple[Comparison, SavedRun, SavedRun]:
    """Run short slices of two plans alternately (A B, B A, ...) and compare them.

    What disturbs the machine disturbs both alike. Each slice is a block; both sides get the same arrival times.
    """
    slices: tuple[list[RunResult], list[RunResult]] = ([], [])
    sides = (first, second)
    order = [which for number in range(rounds) for which in ((0, 1) if number % 2 == 0 else (1, 0))]
    for place, which in enumerate(order):
        side = sides[which]
        plan = _slice(side.plan, rounds, seed + place // 2)
        result = engine.run(plan, side.workload, progress, address=side.address)
        slices[which].append(result)
        if result.interrupted or result.stopped:
            break
    runs = [_joined(side.name, side.plan, parts) for side, parts in zip(sides, slices, strict=True)]
    return against(runs[0], runs[1], seed=seed, paired=True), runs[0], runs[1]


def _slice(plan: Plan, rounds: int, seed: int) -> Plan:
    """Return a plan of a part of the duration at the mean rate, after a short warm-up."""
    seconds = (plan.duration_s - plan.warmup_s) / rounds
    rate = sum(stage.expected for stage in plan.stages) / max(plan.duration_s, 1e-9)
    warm_up = min(0.2, 0.1 * seconds)
    return dataclasses.replace(plan, stages=(Stage(seconds + warm_up, rate, rate),), warmup_s=warm_up, seed=seed)


def _joined(name: str, plan: Plan, parts: Sequence[RunResult]) -> SavedRun:
    saved = [saved_from(part, name) for part in parts]
    columns: dict[str, Histogram] = {}
    for each in saved:
        for column, histogram in each.columns.items():
            columns.setdefault(column, Histogram()).merge(histogram)
    seconds = sum(each.measured_s for each in saved)
    return SavedRun(
        name=name,
        started_at=saved[0].started_at if saved else 0.0,
        measured_s=seconds,
        asked_rate=sum(each.planned for each in saved) / max(seconds, 1e-9),
        achieved_rate=sum(each.achieved_rate * each.measured_s for each in saved) / max(seconds, 1e-9),
        planned=sum(each.planned for each in saved),
        failed=sum(each.failed for each in saved),
        blocks=tuple(each.response for each in saved),
        columns=columns,
        plan=(saved[0].plan if saved else {}) | {"target": plan.target.url},
    )
