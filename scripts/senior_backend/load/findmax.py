"""The highest rate that meets the objectives: bracket by doubling, then bisect, on open-loop rates.

A rate is sustained when the objectives hold, the backlog does not grow, and requests do not fail. Near saturation a
short probe cannot tell: a backlog that grows by one request a second is lost in the noise of some seconds, and matters
within the hour. So short probes only narrow the answer down. It is never above what the server answered when it was
overloaded, and it is held for longer, with the objectives met in each half of that time. The search itself is pure:
it asks a `probe` for points, so it can be tested on servers that exist only as arithmetic.
"""

from __future__ import annotations

import dataclasses
import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from senior_backend.console.report import Finding
from senior_backend.load import engine, findings, slo, statistics, validity
from senior_backend.load.model import NANOSECONDS, Plan, Stage
from senior_backend.load.samples import needed
from senior_backend.load.verdict import DEFAULT_ERROR_SHARE

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from senior_backend.load.model import Arrivals, Progress, ProgressCallback, RunResult, StaticWorkload, Workload
    from senior_backend.load.slo import Judged, Objective
    from senior_backend.load.sockets import Address
    from senior_backend.load.statistics import Summary

Cause = Literal[
    "generator",
    "cap",
    "redirects",
    "stall",
    "leak",
    "concurrency-limit",
    "errors",
    "throughput",
    "latency",
    "interrupted",
    "none",
]
Depth = Literal["look", "probe", "confirm"]
"""How much a probe has to tell: that a rate is far below the limit, on which side of it, or that it holds."""

GROWTH_SHARE = 0.02
"""A backlog that grows by more than 2 % of the rate is not sustained."""
GROWTH_REQUESTS = 4.0
"""And by at least this many requests within the probe: fewer can be chance."""
KNEE_FACTOR = 2.0
"""The knee is the highest sustained rate at which p90 is at most twice what it is at the lowest rate."""
LEAK_GROWTH = 0.25
LEAK_LEAST_MS = 1.0
LEAK_LOOKS = 2
"""A server leaks when its p50 at the lowest rate is 25 % and 1 ms higher at the end than at first, twice in a row."""
CLOSE = 0.9
"""A rate of which at least this share was answered has failed narrowly: perhaps by chance."""
GENERATOR_TRIES = 4
"""A probe during which the generator was disturbed says nothing: it is repeated before the search gives up."""
CONFIRM_FACTOR = 6.0
CONFIRM_PARTS = 2
"""The answer is confirmed by a probe of six times the length, in each half of which the objectives hold."""
STEPS_DOWN = (0.5, 1.0, 1.5, 2.5, 4.0)
"""Where a confirmation fails, the next is lower by so many tolerances."""
UTILISATION = 0.99
RELAXATIONS = 12.0
"""The answer is at most this share of what the overloaded server answered: it must be able to catch up.

With Poisson arrivals a queue near saturation remembers for about 1 / (limit * (1 - share)^2) seconds. A confirmation
shows its ups and downs, and so the percentile, when it lasts at least twelve times as long.
"""
LOOK_SAMPLES = 110
"""Where a rate is only passed on the way up, so many requests show whether a percentile is far from its limit."""
OVERLOAD_S = 3.0
"""A probe is cut short when this many seconds' worth of requests are due and unanswered."""
STALL_FACTOR = 4.0
"""A probe with one or two pauses is repeated with this many times its length."""
SETTLE_S = 10.0
GREATEST_PROBE_S = 60.0


@dataclass(frozen=True, slots=True)
class Options:
    """How to search. A probe lasts `probe_s`, or longer where the objectives' percentiles need more samples."""

    start_rate: float = 10.0
    greatest_rate: float = 100_000.0
    probe_s: float = 5.0
    tolerance: float = 0.04
    """The search ends when the lowest rate that failed is at most this share above the highest that held."""
    greatest_probes: int = 30
    arrivals: Arrivals = "poisson"


@dataclass(frozen=True, slots=True)
class Point:
    """One probe: the rate asked and what came of it. `cause` says why it was not sustained."""

    rate: float
    seconds: float
    achieved: float
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    error_share: float
    backlog_growth: float
    """Requests per second by which the backlog grew."""
    sustained: bool
    cause: Cause
    reason: str
    findings: tuple[Finding, ...] = ()
    doubtful: bool = False
    """A percentile is above its limit, of too few samples to tell it: enough to go on, not enough to rest on."""
    overloaded: bool = False
    """The backlog grew: `achieved` is what the server can answer."""

    def to_json(self) -> dict[str, object]:
        """Return the point as the report shows it."""
        document = {
            name: getattr(self, name)
            for name in (
                "rate",
                "seconds",
                "achieved",
                "p50_ms",
                "p90_ms",
                "p99_ms",
                "error_share",
                "backlog_growth",
                "sustained",
                "cause",
                "reason",
            )
        }
        return {key: round(value, 4) if isinstance(value, float) else value for key, value in document.items()}


@dataclass(frozen=True, slots=True)
class FindMaxResult:
    """The search's answer. `highest` is None when not even the lowest rate was sustained.

    `cause` and `reason` say what broke first above it; "none" means that the greatest allowed rate held.
    """

    points: tuple[Point, ...]
    highest: Point | None
    lowest_failed: Point | None
    knee: Point | None
    cause: Cause
    reason: str
    decided: bool
    """False when the generator or the cap was the limit: the server may carry more."""
    findings: tuple[Finding, ...] = ()

    @property
    def rate(self) -> float | None:
        """Return the highest sustained rate."""
        return self.highest.rate if self.highest else None

    def to_json(self) -> dict[str, object]:
        """Return the result as the report shows it."""
        return {
            "highest_rate": None if self.highest is None else round(self.highest.rate, 3),
            "lowest_failed_rate": None if self.lowest_failed is None else round(self.lowest_failed.rate, 3),
            "knee_rate": None if self.knee is None else round(self.knee.rate, 3),
            "cause": self.cause,
            "reason": self.reason,
            "decided": self.decided,
            "points": [point.to_json() for point in self.points],
        }


def find_max(
    plan: Plan,
    workload: StaticWorkload | Workload,
    objectives: Sequence[Objective],
    options: Options,
    *,
    progress: ProgressCallback | None = None,
    told: Callable[[Point], None] | None = None,
    address: Address | None = None,
) -> FindMaxResult:
    """Search with real probes. `plan` gives target, connections, arrivals and timeouts; `told` hears of each point."""
    prober = Prober(plan, workload, objectives, options, progress=progress, address=address)

    def probe(rate: float, depth: Depth) -> Point:
        point = prober.probe(rate, depth)
        if told:
            told(point)
        return point

    result = search(probe, options)
    if result.cause == "interrupted" or len(result.points) == 1 or not any(point.sustained for point in result.points):
        return result
    return with_leak_check(with_pool(result, prober.alone), probe, prober.alone_ms)


def search(probe: Callable[[float, Depth], Point], options: Options) -> FindMaxResult:
    """Bracket, bisect and confirm."""
    asking = _Asking(probe, options)
    best, failed = _bracket(asking, options)
    if best and failed and _pauses(failed):
        held, low = _far_below(asking, failed)
        if held is None:
            return _conclude(asking.points, None, low)
    best, failed = _bisect(asking, best, failed)
    return _conclude(asking.points, *_confirm(asking, best, failed))


def _pauses(failed: Point) -> bool:
    """Whether pauses alone broke an objective: they do at any rate, and short probes do not meet them."""
    return failed.cause == "stall" and not failed.overloaded and failed.achieved > CLOSE * failed.rate


def _bisect(asking: _Asking, best: Point | None, failed: Point | None) -> tuple[Point | None, Point | None]:
    """Return the highest sustained and the lowest failed point when they are within the tolerance."""
    tolerance = asking.options.tolerance
    guessed = False
    while best and failed and asking.worthwhile(failed) and failed.rate > best.rate * (1 + tolerance):
        middle = (best.rate + failed.rate) / 2
        guess = failed.achieved * (1 - tolerance / 2)
        if not guessed and failed.cause == "throughput" and best.rate < guess < failed.rate:
            # An overloaded server answers about as fast as it can: that is a better guess than the middle.
            middle = guess
        guessed = not guessed
        point = asking.ask(middle)
        best, failed = (point, failed) if point.sustained else (best, point)
    return best, failed


def _confirm(asking: _Asking, best: Point | None, failed: Point | None) -> tuple[Point | None, Point | None]:
    """Return the highest rate that held for long, and what failed above it."""
    tolerance = asking.options.tolerance
    if best is None or failed is None:
        return best, failed
    rate = best.rate
    for step in STEPS_DOWN:
        ceilings = (_ceiling(limit, best, asking.options) for limit in _throughputs(asking.points))
        point = asking.ask(min([rate, *ceilings]), "confirm")
        if point.sustained:
            return point, failed
        failed, rate = point, point.rate * (1 - tolerance * step)
        if _pauses(point) or point.cause == "generator" or not asking.worthwhile(point):
            break
    return _far_below(asking, failed)


def _far_below(asking: _Asking, failed: Point) -> tuple[Point | None, Point]:
    """Return a rate that holds for long although those near the answer do not, and what failed above it.

    That is half of what failed, or else the lowest; where pauses are why, half of the rate is no better. Without more
    probes, what short ones say has to do.
    """
    lower = [point for point in asking.points if point.sustained and point.rate < failed.rate and not point.doubtful]
    lowest = min(lower, key=_rate, default=None)
    if lowest is None or failed.cause == "generator" or not asking.worthwhile(failed):
        return max(lower, key=_rate, default=None), failed
    rates = [lowest.rate] if _pauses(failed) else [max(failed.rate / 2, lowest.rate), lowest.rate]
    for rate in rates:
        if rate < failed.rate and asking.worthwhile(failed):
            point = asking.ask(rate, "confirm")
            if point.sustained:
                return point, failed
            failed = point
    return None, failed


def _ceiling(limit: float, best: Point, options: Options) -> float:
    """Return the highest rate that a confirmation can show, of a server that answers `limit` when it is overloaded."""
    if options.arrivals == "constant":
        return UTILISATION * limit
    seconds = min(GREATEST_PROBE_S, CONFIRM_FACTOR * best.seconds)
    return limit * max(0.5, min(UTILISATION, 1 - math.sqrt(RELAXATIONS / (limit * seconds))))


def _throughputs(points: Sequence[Point]) -> list[float]:
    """Return the most that the overloaded server answered, in a list; an empty one where it was not overloaded.

    The most, because some servers answer less the more they are overloaded.
    """
    answered = [point.achieved for point in points if point.overloaded]
    return [max(answered)] if answered else []


def _rate(point: Point) -> float:
    return point.rate


class _Asking:
    """Probes, all kept. A failure that chance may explain is asked for again, once."""

    def __init__(self, probe: Callable[[float, Depth], Point], options: Options) -> None:
        self.probe = probe
        self.options = options
        self.points: list[Point] = []

    def ask(self, rate: float, depth: Depth = "probe") -> Point:
        """Return the point of a rate."""
        point = self._one(rate, depth)
        for _ in range(GENERATOR_TRIES - 1):
            if point.cause != "generator" or not self.worthwhile(point):
                break
            point = self._one(rate, depth)
        # A rate that holds only now and then does not hold: a confirmation is not asked for again.
        by_chance = depth != "confirm" and (
            point.cause in ("stall", "latency", "leak") or point.achieved > CLOSE * rate
        )
        return self._one(rate, "probe") if not point.sustained and by_chance and self.worthwhile(point) else point

    def _one(self, rate: float, depth: Depth) -> Point:
        point = self.probe(rate, depth)
        self.points.append(point)
        return self._one(rate, "probe") if depth == "look" and point.doubtful and self.worthwhile(point) else point

    def worthwhile(self, failed: Point) -> bool:
        """Whether to go on after a failure."""
        return failed.cause != "interrupted" and len(self.points) < self.options.greatest_probes


def _bracket(asking: _Asking, options: Options) -> tuple[Point | None, Point | None]:
    """Return the highest sustained and the lowest failed point of doubling (or halving) rates."""
    best: Point | None = None
    rate = min(options.start_rate, options.greatest_rate)
    point = asking.ask(rate, "look")
    while point.sustained:
        best = point
        if rate >= options.greatest_rate:
            return best, None
        rate = min(rate * 2, options.greatest_rate)
        point = asking.ask(rate, "look")
    failed = point
    while (
        best is None
        and failed.cause not in ("interrupted", "redirects", "stall")
        and rate > max(1.0, options.start_rate / 8)
    ):
        rate /= 2
        point = asking.ask(rate)
        best, failed = (point, failed) if point.sustained else (None, point)
    return best, failed


def _conclude(points: list[Point], best: Point | None, failed: Point | None) -> FindMaxResult:
    cause: Cause = failed.cause if failed else "none"
    reason = failed.reason if failed else "the greatest allowed rate held"
    # A few failures just above the limit do not show what they have in common, and a backlog that grows slowly does not
    # show why; a little more load does.
    telling = {"errors": "concurrency-limit", "throughput": "stall"}.get(cause)
    clearer = next((point for point in sorted(points, key=_rate) if point.cause == telling), None)
    if failed and clearer and (cause == "errors" or clearer.rate < failed.rate / CLOSE):
        cause, reason = clearer.cause, clearer.reason
    held = sorted((p for p in points if p.sustained and best and p.rate <= best.rate), key=_rate)
    knee = None
    if held and held[0].p90_ms is not None:
        base = held[0].p90_ms
        knee = next((p for p in reversed(held) if p.p90_ms is not None and p.p90_ms <= KNEE_FACTOR * base), held[0])
    return FindMaxResult(
        points=tuple(sorted(points, key=_rate)),
        highest=best,
        lowest_failed=failed,
        knee=knee,
        cause=cause,
        reason=reason,
        decided=cause not in ("generator", "cap", "redirects", "interrupted", "none"),
        findings=failed.findings if failed else (),
    )


def with_pool(result: FindMaxResult, alone: Sequence[int]) -> FindMaxResult:
    """Say how many requests the server works on at a time, where throughput was the limit.

    `alone` is what single requests took between the probes, in ns.
    """
    limits = _throughputs(result.points)
    message = findings.pool_sentence(limits[0], alone) if limits and result.cause == "throughput" else None
    if message is None:
        return result
    told = Finding("pool", "warning", message, fix=findings.POOL_FIX)
    others = tuple(finding for finding in result.findings if finding.code != told.code)
    return dataclasses.replace(result, reason=message, findings=(told, *others))


def with_leak_check(
    result: FindMaxResult, probe: Callable[[float, Depth], Point], alone_ms: Sequence[float]
) -> FindMaxResult:
    """Repeat the lowest sustained rate; a server that is slower now than at first leaks, and that was the limit.

    What single requests took between the probes, `alone_ms`, has to say so too: a backlog that is still being worked
    off makes others wait, and then it is gone.
    """
    first = next(point for point in result.points if point.sustained)
    points = result.points
    for _ in range(LEAK_LOOKS):
        last = probe(first.rate, "look")
        points = (*points, last)
        if not (alone_ms and _risen(first.p50_ms, last.p50_ms) and _risen(alone_ms[0], alone_ms[-1])):
            return dataclasses.replace(result, points=points)
    reason = (
        f"the server became slower during the search: at {first.rate:.0f}/s p50 was {first.p50_ms:.1f} ms at first and "
        f"{last.p50_ms:.1f} ms at the end; what broke then was {result.cause} ({result.reason})"
    )
    return dataclasses.replace(result, points=points, cause="leak", reason=reason)


def _risen(first_ms: float | None, last_ms: float | None) -> bool:
    before, after = first_ms or 0.0, last_ms or 0.0
    return after - before > max(LEAK_GROWTH * before, LEAK_LEAST_MS)


class Prober:
    """Runs probes, lets the server recover between them, and judges them."""

    def __init__(
        self,
        plan: Plan,
        workload: StaticWorkload | Workload,
        objectives: Sequence[Objective],
        options: Options,
        *,
        progress: ProgressCallback | None = None,
        address: Address | None = None,
    ) -> None:
        self.plan = plan
        self.workload = workload
        self.objectives = objectives
        self.options = options
        self.progress = progress
        self.address = address
        self.number = 0
        self.base_ms: float | None = None
        self.alone: list[int] = []
        self.alone_ms: list[float] = []
        """What single requests took, in ns, and their median, in ms, before each probe but the first."""
        self.least_s = 0.0
        """How long a probe must be to hold several of the server's pauses, once those are known."""

    def seconds(self, rate: float, depth: Depth = "probe") -> float:
        """Return how long a probe has to be for the percentiles of the objectives."""
        shares = [objective.share for objective in self.objectives if objective.share]
        samples = max((1.1 * needed(share) for share in shares), default=50)
        if depth == "look":
            samples = min(samples, LOOK_SAMPLES)
        seconds = max(self.options.probe_s, self.least_s, samples / rate)
        return min(GREATEST_PROBE_S, seconds * (CONFIRM_FACTOR if depth == "confirm" else 1.0))

    def probe(self, rate: float, depth: Depth) -> Point:
        """Carry out one probe."""
        if self.number:
            settled = self._settle()
            self.alone += settled
            if settled:
                self.alone_ms.append(settled[len(settled) // 2] / statistics.MS)
        self.number += 1
        seconds = self.seconds(rate, depth)
        plan = dataclasses.replace(
            self.plan,
            stages=(Stage(seconds, rate, rate),),
            seed=self.plan.seed + self.number,
            warmup_s=0.0,
            grace_s=min(self.plan.grace_s, max(OVERLOAD_S, seconds)),
        )

        def watch(state: Progress) -> str | None:
            reason = self.progress(state) if self.progress else None
            overloaded = state.waiting + state.in_flight > max(OVERLOAD_S * rate, 50)
            return reason or (OVERLOADED if overloaded else None)

        result = engine.run(plan, self.workload, watch, address=self.address)
        summary = statistics.summarize(result)
        stops = len(findings.stalls_of(result, summary))
        if 0 < stops < statistics.STANDSTILLS_ENOUGH and result.stopped is None and seconds < GREATEST_PROBE_S:
            # One or two pauses do not tell whether the server makes up for them: a longer probe holds more of them.
            seconds = min(GREATEST_PROBE_S, STALL_FACTOR * seconds)
            plan = dataclasses.replace(plan, stages=(Stage(seconds, rate, rate),))
            result = engine.run(plan, self.workload, watch, address=self.address)
            summary = statistics.summarize(result)
            if len(findings.stalls_of(result, summary)) >= statistics.STANDSTILLS_ENOUGH:
                self.least_s = seconds
        point = judge(result, summary, self.objectives, rate, thorough=depth == "confirm")
        if self.base_ms is None:
            self.base_ms = point.p50_ms
        return point

    def _settle(self) -> list[int]:
        """Let the server recover: wait until single requests are about as fast as at first, or no longer get faster.

        Return what those took that succeeded in the end, sorted, in ns.
        """
        plan = dataclasses.replace(
            self.plan,
            stages=(Stage(0.1, 0, 0),),
            arrivals="closed",
            connections=1,
            processes=1,
            grace_s=SETTLE_S,
            timeout_s=SETTLE_S,
            warmup_s=0.0,
        )
        end = time.monotonic() + SETTLE_S
        before: float | None = None
        took: list[int] = []
        while time.monotonic() < end:
            result = engine.run(plan, self.workload, address=self.address)
            p50 = result.samples.distribution().at(0.5)
            if result.interrupted or p50 is None:
                break
            quick = self.base_ms is None or p50 / statistics.MS <= 1.5 * self.base_ms + 1
            done = (quick and not result.errors) or (before is not None and p50 > 0.9 * before)
            before = p50
            took = sorted(
                one for one, error in zip(result.samples.service, result.samples.error, strict=True) if not error
            )
            if done:
                break
        return took


OVERLOADED = "overloaded"


def judge(
    result: RunResult, summary: Summary, objectives: Sequence[Objective], rate: float, *, thorough: bool = False
) -> Point:
    """Return the point of a probe: whether its rate is sustained, and if not, why.

    A thorough look wants the objectives met in each half of the time, and a backlog that does not even grow slowly.
    """
    measured = max(result.measured_s, 1e-9)
    growth = statistics.backlog_growth(result, measured / 3, measured)
    judged = slo.judge(objectives, result, summary)
    if thorough and all(item.state == "holds" for item in judged):
        judged += _judged_in_parts(objectives, result, summary)
    explained = findings.explain(result, summary)
    doubtful = [item for item in judged if _looks_broken(item, result)]
    growing = _grows(result, summary, growth) or (thorough and statistics.grows_slowly(result, GROWTH_REQUESTS))
    if thorough:
        judged = tuple(dataclasses.replace(item, state="broken") if item in doubtful else item for item in judged)
    cause, reason = _cause(result, summary, judged, explained, growth if growing else None)
    overloaded = growing and cause in ("throughput", "stall")
    response = result.samples.distribution()
    p50, p90, p99 = (response.at(share) for share in (0.5, 0.9, 0.99))
    return Point(
        rate=rate,
        seconds=measured,
        achieved=statistics.steady_rate(result) if overloaded else summary.achieved_rate,
        p50_ms=None if p50 is None else p50 / statistics.MS,
        p90_ms=None if p90 is None else p90 / statistics.MS,
        p99_ms=None if p99 is None else p99 / statistics.MS,
        error_share=summary.error_share,
        backlog_growth=growth,
        sustained=cause == "none",
        cause=cause,
        reason=reason,
        findings=explained,
        doubtful=bool(doubtful),
        overloaded=overloaded,
    )


def _judged_in_parts(objectives: Sequence[Objective], result: RunResult, summary: Summary) -> tuple[Judged, ...]:
    """Return the objectives about time, judged in each part of the run alone."""
    timed = [objective for objective in objectives if objective.is_time]
    width = result.measured_s * NANOSECONDS / CONFIRM_PARTS
    found: tuple[Judged, ...] = ()
    for part in range(CONFIRM_PARTS):
        rows = result.samples.where([int(due / width) == part for due in result.samples.intended])
        for item in slo.judge(timed, dataclasses.replace(result, samples=rows), summary):
            start, end = (edge * width / NANOSECONDS for edge in (part, part + 1))
            found += (dataclasses.replace(item, message=f"{item.message} from {start:.0f} s to {end:.0f} s"),)
    return found


def _looks_broken(item: Judged, result: RunResult) -> bool:
    """Whether a percentile with too few samples to be told is above its limit with those."""
    objective = item.objective
    if item.state != "undecided" or not objective.share:
        return False
    index = result.names.index(objective.request) if objective.request in result.names else None
    seen = result.samples.distribution("response", index).at(objective.share)
    return seen is not None and seen / statistics.MS > objective.limit and objective.relation in ("<", "<=")


def _grows(result: RunResult, summary: Summary, growth: float) -> bool:
    """Whether the backlog clearly grew, or so much that the probe was cut short."""
    clearly = growth > GROWTH_SHARE * max(summary.asked_rate, 1e-9)
    return result.stopped == OVERLOADED or (clearly and growth * result.measured_s * 2 / 3 > GROWTH_REQUESTS)


def _cause(
    result: RunResult, summary: Summary, judged: Sequence[Judged], explained: Sequence[Finding], growth: float | None
) -> tuple[Cause, str]:
    if result.interrupted or (result.stopped and result.stopped != OVERLOADED):
        return "interrupted", result.stopped or "interrupted"
    broken = [item for item in judged if item.state == "broken"]
    told_errors = any(item.objective.metric == "errors" for item in judged)
    failing = summary.error_share > DEFAULT_ERROR_SHARE and not told_errors
    trusted = validity.judge(result, summary)
    if not trusted.valid and trusted.limit != "cap":
        return "generator" if trusted.limit == "generator" else "redirects", trusted.reasons[0].message
    if not (broken or failing or growth is not None):
        return "none", "sustained"
    if trusted.limit == "cap":
        return "cap", trusted.reasons[0].message
    said = {finding.code: finding.message for finding in explained}
    if "concurrency-limit" in said:
        return "concurrency-limit", said["concurrency-limit"]
    stalled = next((said[code] for code in ("periodic-stall", "stalls", "stall") if code in said), None)
    if growth is not None:
        return _overload(result, summary, stalled, growth)
    if stalled:
        return "stall", stalled
    if "leak" in said:
        return "leak", said["leak"]
    wrong = "; ".join(f"{item.objective.text}: {item.message}" for item in broken)
    if failing or any(item.objective.metric == "errors" for item in broken):
        return "errors", wrong or f"{summary.failed:,} of {summary.planned:,} requests failed"
    return "latency", wrong


def _overload(
    result: RunResult, summary: Summary, stalled: str | None, growth: float
) -> tuple[Literal["stall", "throughput"], str]:
    """Return why the backlog grew: the time lost in stalls, if that is as much as was missing, else the work itself."""
    rate, steady = max(summary.asked_rate, 1e-9), statistics.steady_rate(result)
    if stalled and 1 - steady / rate <= findings.stalled_share(result, summary):
        return "stall", f"what falls due during the stalls is not made up for between them: {stalled}"
    message = f"{steady:.0f} of {rate:.0f} requests/s were answered; the backlog grew"
    if steady > (1 - GROWTH_SHARE) * rate:
        message = f"the backlog grew steadily, by {growth:.1f} of {rate:.0f} requests/s"
    return "throughput", message + (f"; {stalled}" if stalled else "")
