"""What a run measured, in the numbers that reports and verdicts need; nothing here is told without enough samples."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from itertools import accumulate, compress
from typing import TYPE_CHECKING

from senior_backend.load.arrivals import expected_between
from senior_backend.load.histogram import Histogram, bucket_middle
from senior_backend.load.model import NANOSECONDS, ErrorExample, ErrorKind
from senior_backend.load.samples import COLUMNS, Column, Distribution, needed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from senior_backend.load.model import RunResult
    from senior_backend.load.samples import Samples

PERCENTILES = (0.5, 0.75, 0.9, 0.95, 0.99, 0.999, 0.9999)
MS = 1e6
"""Nanoseconds in a millisecond."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
HEAT_COLUMNS = 120
CURVE_POINTS = 120


def percentile_name(share: float) -> str:
    """Return `p99.9` for 0.999."""
    return f"p{share * 100:.6f}".rstrip("0").rstrip(".")


@dataclass(frozen=True, slots=True)
class Latency:
    """A distribution in milliseconds. `at` has None where there are not enough samples for the percentile."""

    count: int
    mean_ms: float | None
    least_ms: float | None
    greatest_ms: float | None
    at: Mapping[float, float | None]
    exact: bool

    @classmethod
    def of(cls, distribution: Distribution) -> Latency:
        """Return the figures of a distribution."""
        return cls(
            distribution.count,
            _ms(distribution.mean),
            _ms(distribution.least),
            _ms(distribution.greatest),
            {share: _ms(distribution.guarded(share)) for share in PERCENTILES},
            distribution.exact,
        )

    def to_json(self) -> dict[str, object]:
        """Return a flat object: `count`, `mean_ms`, `min_ms`, `p50_ms` ... `max_ms`, and what is not known and why."""
        known: dict[str, object] = {
            "count": self.count,
            "mean_ms": _rounded(self.mean_ms),
            "min_ms": _rounded(self.least_ms),
        }
        known |= {f"{percentile_name(share)}_ms": _rounded(value) for share, value in self.at.items()}
        known["max_ms"] = _rounded(self.greatest_ms)
        known["exact"] = self.exact
        short = {percentile_name(share): needed(share) for share, value in self.at.items() if value is None}
        return known | ({"not_enough_data": short} if short else {})


@dataclass(frozen=True, slots=True)
class RequestSummary:
    """One request of the workload."""

    name: str
    count: int
    failed: int
    response: Latency


@dataclass(frozen=True, slots=True)
class Second:
    """Requests whose intended start lies in one second of the run. `asked` is what the plan expects."""

    second: int
    asked: float
    sent: int
    answered: int
    """Responses that were complete in this second, whenever their request was due."""
    failed: int
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    max_ms: float | None


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Counts of response times by time and size: `counts[column][row]`, rows between `edges_ms`."""

    start_s: float
    column_s: float
    edges_ms: tuple[float, ...]
    counts: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class ErrorSummary:
    """One class of errors."""

    kind: ErrorKind
    count: int
    example: ErrorExample | None


@dataclass(frozen=True, slots=True)
class Summary:
    """A run in figures. Response time is the headline; the other columns say what it is made of."""

    planned: int
    succeeded: int
    failed: int
    asked_rate: float
    """Requests that fell due, per second."""
    achieved_rate: float
    """Complete responses inside the measured time, per second."""
    measured_s: float
    columns: Mapping[Column, Latency]
    connect: Latency
    handshake: Latency
    requests: tuple[RequestSummary, ...]
    timeline: tuple[Second, ...]
    heat: HeatMap
    curve: tuple[tuple[float, float], ...]
    """Response time at many percentiles: (share, ms), up to where the samples end."""
    errors: tuple[ErrorSummary, ...]

    @property
    def response(self) -> Latency:
        """Return intended start to last byte."""
        return self.columns["response"]

    @property
    def error_share(self) -> float:
        """Return failed requests as a share of all, 0 to 1."""
        return self.failed / self.planned if self.planned else 0.0


def summarize(result: RunResult) -> Summary:
    """Return the figures of a run."""
    samples = result.samples
    warm, measured = result.plan.warmup_s, max(result.measured_s, 1e-9)
    timeline = _timeline(result)
    return Summary(
        planned=len(samples),
        succeeded=len(samples) - result.failed,
        failed=result.failed,
        asked_rate=len(samples) / measured,
        achieved_rate=answered_between(result, warm, warm + result.measured_s) / measured,
        measured_s=measured,
        columns={column: Latency.of(samples.distribution(column)) for column in COLUMNS},
        connect=Latency.of(Distribution(samples.connects)),
        handshake=Latency.of(Distribution(samples.handshakes)),
        requests=_by_request(result),
        timeline=timeline,
        heat=heat_map(samples),
        curve=curve(samples.distribution()),
        errors=tuple(
            ErrorSummary(kind, count, result.examples.get(kind))
            for kind, count in sorted(result.errors.items(), key=lambda item: -item[1])
        ),
    )


def redirected(result: RunResult) -> Counter[int]:
    """Return the statuses of redirects, with their numbers, that no request is meant to get."""
    meant = result.plan.redirects_expected
    rows = zip(result.samples.status, result.samples.request, result.samples.error, strict=True)
    return Counter(
        status for status, request, error in rows if status in REDIRECTS and request not in meant and not error
    )


def answered_between(result: RunResult, start_s: float, end_s: float) -> int:
    """Return how many complete responses came in a time of the run; folded requests count where they fell due.

    What was left of the warm-up is part of what the server did in that time: an overloaded one answers it first.
    """
    start, end = start_s * NANOSECONDS, end_s * NANOSECONDS
    exact = sum(
        1
        for samples in _parts(result)
        for intended, response, status in zip(samples.intended, samples.response, samples.status, strict=True)
        if status and start <= intended + response < end
    )
    folded = result.samples.folded.seconds if result.samples.folded else {}
    return exact + sum(histogram.total for second, histogram in folded.items() if start_s <= second < end_s)


def _parts(result: RunResult) -> list[Samples]:
    """Return the measured samples and those of the warm-up."""
    return [result.samples, *([result.warmup_samples] if result.warmup_samples else [])]


def _by_request(result: RunResult) -> tuple[RequestSummary, ...]:
    samples = result.samples
    folded = samples.folded
    failures = Counter(compress(samples.request, samples.error))
    rows = []
    for index, name in enumerate(result.names):
        distribution = samples.distribution("response", index)
        failed = failures[index]
        failed += folded.failed_requests.get(index, 0) if folded else 0
        rows.append(RequestSummary(name, distribution.count, failed, Latency.of(distribution)))
    return tuple(rows)


def _timeline(result: RunResult) -> tuple[Second, ...]:
    samples = result.samples
    failed: dict[int, int] = dict(samples.folded.failed_seconds) if samples.folded else {}
    for intended, error in zip(samples.intended, samples.error, strict=True):
        if error:
            second = intended // NANOSECONDS
            failed[second] = failed.get(second, 0) + 1
    answered: Counter[int] = Counter()
    for part in _parts(result):
        ended = zip(part.intended, part.response, part.status, strict=True)
        answered.update((intended + response) // NANOSECONDS for intended, response, status in ended if status)
    seconds = samples.by_second()
    rows = []
    for second in range(int(result.plan.warmup_s), max([*seconds, *answered], default=-1) + 1):
        distribution = seconds.get(second, Distribution(()))
        asked = 0.0 if result.plan.arrivals == "closed" else expected_between(result.plan.stages, second, second + 1)
        rows.append(
            Second(
                second,
                asked,
                distribution.count,
                answered.get(second, 0),
                failed.get(second, 0),
                *(_ms(distribution.at(share)) for share in (0.5, 0.9, 0.99, 1.0)),
            )
        )
    return tuple(rows)


def heat_map(samples: Samples) -> HeatMap:
    """Return response times by time and size, in at most 120 columns and rows of 1, 2, 5 steps."""
    seconds = {second: distribution.histogram() for second, distribution in samples.by_second().items()}
    whole = [histogram for histogram in seconds.values() if histogram.total]
    if not whole:
        return HeatMap(0.0, 1.0, (), ())
    least = max(1_000, min(histogram.least or 1_000 for histogram in whole))
    greatest = max(histogram.greatest or 0 for histogram in whole)
    edges = _steps(least, max(greatest, least))
    start = min(seconds)
    span = max(seconds) - start + 1
    per_column = max(1, math.ceil(span / HEAT_COLUMNS))
    counts = [[0] * (len(edges) - 1) for _ in range(math.ceil(span / per_column))]
    for second, histogram in seconds.items():
        column = counts[(second - start) // per_column]
        for bucket, count in histogram.counts.items():
            row = bisect_right(edges, bucket_middle(bucket)) - 1
            column[min(max(row, 0), len(edges) - 2)] += count
    return HeatMap(start, per_column, tuple(edge / MS for edge in edges), tuple(map(tuple, counts)))


def _steps(least: float, greatest: float) -> list[float]:
    """Return 1-2-5 steps of nanoseconds that cover a range."""
    edges = []
    power = 10.0 ** math.floor(math.log10(least))
    while True:
        for factor in (1, 2, 5):
            edges.append(power * factor)
            if edges[-1] > greatest:
                first = max(0, bisect_right(edges, least) - 1)
                return edges[first:]
        power *= 10


def curve(distribution: Distribution) -> tuple[tuple[float, float], ...]:
    """Return the percentile curve: dense towards the end, and no further than the samples carry."""
    if not distribution.count:
        return ()
    nines = math.log10(max(distribution.count, 2))
    shares = [1 - 10 ** (-nines * step / CURVE_POINTS) for step in range(CURVE_POINTS + 1)]
    return tuple((share, (distribution.at(share) or 0.0) / MS) for share in shares)


STANDSTILL_SAMPLES = 3
STANDSTILL_REQUESTS = 3
"""A standstill: nothing is answered for three samples of the gauges (150 ms), and three more requests fall due."""
STANDSTILLS_ENOUGH = 3
"""From so many on, the backlog before each says whether the server catches up between them."""


def standstills(result: RunResult, end_s: float) -> list[tuple[float, float]]:
    """Return the second at which each standstill after the warm-up began, and the backlog at that time."""
    gauges, backlog = result.gauges, result.gauges.backlog
    found = []
    start = 0
    for place in range(1, len(backlog) + 1):
        if place < len(backlog) and gauges.completed[place] == gauges.completed[start]:
            continue
        long = place - start > STANDSTILL_SAMPLES and backlog[place - 1] - backlog[start] >= STANDSTILL_REQUESTS
        at = gauges.at_ns[start] / NANOSECONDS
        if long and result.plan.warmup_s <= at <= end_s:
            found.append((at, float(backlog[start])))
        start = place
    return found


def backlog_growth(result: RunResult, start_s: float, end_s: float) -> float:
    """Return by how many requests per second the backlog (due and unanswered) grew, by least squares.

    Where the server stands still again and again the backlog is a sawtooth: only its height before each stop is looked
    at, else the answer depends on where in a tooth the time ends.
    """
    stops = standstills(result, end_s)
    if len(stops) >= STANDSTILLS_ENOUGH:
        return slope(stops)
    points = [
        (at / NANOSECONDS, backlog)
        for at, backlog in zip(result.gauges.at_ns, result.gauges.backlog, strict=True)
        if start_s * NANOSECONDS <= at <= end_s * NANOSECONDS
    ]
    return slope(points)


GROWTH_BLOCKS = 9
GROWTH_NOISE = 3.0
"""A backlog grows slowly when the slope of its means in nine blocks of time is three times its own standard error."""


def grows_slowly(result: RunResult, least: float) -> bool:
    """Whether the backlog grew by at least so many requests, and by more than its own ups and downs explain.

    Of a run at one rate. The first third is left out: in it the server fills up.
    """
    end = result.measured_s
    stops = standstills(result, end)
    if len(stops) >= STANDSTILLS_ENOUGH:
        points = stops
    else:
        groups: list[list[int]] = [[] for _ in range(GROWTH_BLOCKS)]
        for at, backlog in zip(result.gauges.at_ns, result.gauges.backlog, strict=True):
            place = int((at / NANOSECONDS - end / 3) / (end * 2 / 3) * GROWTH_BLOCKS)
            if 0 <= place < GROWTH_BLOCKS:
                groups[place].append(backlog)
        points = [(float(place), sum(group) / len(group)) for place, group in enumerate(groups) if group]
    rise = slope(points)
    grown = rise * (points[-1][0] - points[0][0]) if points else 0.0
    return grown >= least and rise > GROWTH_NOISE * slope_error(points, rise)


def slope_error(points: Sequence[tuple[float, float]], rise: float) -> float:
    """Return the standard error of a least-squares slope; infinite for fewer than four points."""
    if len(points) < 4:
        return math.inf
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    left = sum((y - mean_y - rise * (x - mean_x)) ** 2 for x, y in points)
    return math.sqrt(left / (len(points) - 2) / sum((x - mean_x) ** 2 for x, _ in points))


GROWTH_SHARE = 0.02
CHANCE = 2.0
"""A server falls behind when its backlog grows by more than 2 % of the rate, and by more than chance makes of it: with
Poisson arrivals the number that comes in a time varies by its square root."""


def falls_behind(result: RunResult) -> float | None:
    """Return by how many requests per second the backlog grew, if the server did not keep up; else None."""
    if result.plan.arrivals == "closed" or result.measured_s < 1:
        return None
    end = result.plan.warmup_s + result.measured_s
    window = result.measured_s * 2 / 3
    growth = backlog_growth(result, end - window, end)
    arrivals = len(result.samples) * 2 / 3
    by_chance = CHANCE * math.sqrt(arrivals) if result.plan.arrivals == "poisson" else CHANCE
    if growth <= GROWTH_SHARE * arrivals / window or growth * window <= by_chance:
        return None
    return growth


def steady_rate(result: RunResult) -> float:
    """Return responses per second in the last two thirds of the time: under overload, what the server can do.

    Where the server stands still again and again, it is the time from the first stop to the last: else the answer
    depends on how many of them the time happens to hold.
    """
    end = min(result.elapsed_s, result.plan.duration_s)
    start = end - result.measured_s * 2 / 3
    stops = [at for at, _ in standstills(result, end)]
    if len(stops) >= STANDSTILLS_ENOUGH and stops[-1] - stops[0] >= result.measured_s / 2:
        start, end = stops[0], stops[-1]
    return answered_between(result, start, end) / max(end - start, 1e-9)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Return the least-squares slope; 0 for fewer than three points."""
    if len(points) < 3:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def blocks(samples: Samples, start_s: float, end_s: float, seconds: float) -> list[list[int]]:
    """Return response times grouped by blocks of time of the intended start; the exact rows only."""
    number = max(1, round((end_s - start_s) / seconds))
    width = (end_s - start_s) * NANOSECONDS / number
    groups: list[list[int]] = [[] for _ in range(number)]
    for intended, response in zip(samples.intended, samples.response, strict=True):
        groups[min(number - 1, max(0, int((intended - start_s * NANOSECONDS) / width)))].append(response)
    return groups


class BlockTable:
    """Time blocks of a run, prepared for resampling: cumulated counts over common buckets.

    Requests near each other in time are alike (queues, pauses), so single requests may not be resampled: intervals
    from that are far too narrow. Whole blocks are.
    """

    __slots__ = ("_buckets", "_cumulated", "_sums", "_totals")

    def __init__(self, blocks: Sequence[Histogram]) -> None:
        self._buckets = sorted(set().union(*(block.counts for block in blocks)))
        self._cumulated = [
            list(accumulate(block.counts.get(bucket, 0) for bucket in self._buckets)) for block in blocks
        ]
        self._totals = [block.total for block in blocks]
        self._sums = [block.total_value for block in blocks]

    def __len__(self) -> int:
        return len(self._totals)

    def quantile(self, chosen: Sequence[int], share: float) -> float:
        """Return a quantile of the chosen blocks together, in nanoseconds."""
        total = sum(self._totals[block] for block in chosen)
        rank = max(0, math.ceil(share * total - 1e-9) - 1)
        columns = [self._cumulated[block] for block in chosen]
        low, high = 0, len(self._buckets) - 1
        while low < high:
            middle = (low + high) // 2
            if sum(column[middle] for column in columns) > rank:
                high = middle
            else:
                low = middle + 1
        return bucket_middle(self._buckets[low])

    def mean(self, chosen: Sequence[int]) -> float:
        """Return the mean of the chosen blocks together, in nanoseconds."""
        return sum(self._sums[block] for block in chosen) / sum(self._totals[block] for block in chosen)


def binomial_tail(trials: int, successes: int, chance: float) -> float:
    """Return the probability of at least that many successes."""
    if successes <= 0:
        return 1.0
    below = 0.0
    for number in range(successes):
        below += math.exp(
            math.lgamma(trials + 1)
            - math.lgamma(number + 1)
            - math.lgamma(trials - number + 1)
            + number * math.log(chance)
            + (trials - number) * math.log1p(-chance)
        )
    return max(0.0, 1.0 - below)


def _ms(nanoseconds: float | None) -> float | None:
    return None if nanoseconds is None else nanoseconds / MS


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def show_ms(nanoseconds: float) -> str:
    """Return a time for people: three digits, in the unit that fits."""
    value = nanoseconds / MS
    if value >= 10_000:
        return f"{value / 1000:.1f} s"
    return f"{value:.0f} ms" if value >= 100 else f"{value:.1f} ms" if value >= 1 else f"{value:.3f} ms"
