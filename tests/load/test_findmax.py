from __future__ import annotations

import multiprocessing
import re
from array import array
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from senior_backend.load import findmax, slo, statistics
from senior_backend.load.findmax import Cause, Depth, FindMaxResult, Options, Point
from senior_backend.load.model import Gauges
from tests.load import harness
from tests.load.harness import server

if TYPE_CHECKING:
    from collections.abc import Mapping

    from senior_backend.load.model import RunResult


def point(
    rate: float, *, sustained: bool, cause: Cause = "throughput", achieved: float = 0.0, p90: float = 5.0
) -> Point:
    return Point(
        rate=rate,
        seconds=1.0,
        achieved=achieved or rate,
        p50_ms=p90 / 2,
        p90_ms=p90,
        p99_ms=p90 * 2,
        error_share=0.0,
        backlog_growth=0.0,
        sustained=sustained,
        cause="none" if sustained else cause,
        reason="",
    )


def search(
    capacity: float, options: Options, *, cause: Cause = "throughput", noise: int = 0
) -> tuple[FindMaxResult, int]:
    """Search an arithmetic server; every `noise`-th probe fails by chance."""
    asked = 0

    def probe(rate: float, _: Depth) -> Point:
        nonlocal asked
        asked += 1
        if noise and asked % noise == 0 and rate <= capacity:
            return point(rate, sustained=False, cause="stall")
        answered = min(rate, capacity)
        return point(
            rate, sustained=rate <= capacity, cause=cause, achieved=answered, p90=5 / max(0.05, 1 - rate / capacity)
        )

    return findmax.search(probe, options), asked


@pytest.mark.parametrize("capacity", [3.0, 11.0, 100.0, 137.7, 4000.0, 70_000.0])
@pytest.mark.parametrize("cause", ["throughput", "latency"])
def test_the_search_ends_within_its_tolerance(capacity: float, cause: Cause) -> None:
    result, asked = search(capacity, Options(greatest_probes=60), cause=cause)
    assert result.rate is not None
    assert capacity / 1.05 <= result.rate <= capacity
    assert result.cause == cause
    assert result.decided
    assert asked < 45


def test_single_failures_by_chance_do_not_mislead() -> None:
    result, _ = search(100.0, Options(greatest_probes=60), noise=4)
    assert result.rate == pytest.approx(100, rel=0.06)


def test_the_greatest_allowed_rate_is_not_passed() -> None:
    result, _ = search(1e9, Options(greatest_rate=500))
    assert result.rate == 500
    assert result.cause == "none"
    assert not result.decided


def test_a_server_that_sustains_nothing() -> None:
    result, asked = search(0.01, Options())
    assert result.rate is None
    assert result.lowest_failed is not None
    assert asked < 15


def test_the_knee_is_below_the_highest_rate() -> None:
    result, _ = search(1000.0, Options())
    assert result.knee is not None
    assert result.rate is not None
    assert result.knee.rate < 0.75 * result.rate


def test_a_generator_that_gives_out_decides_nothing() -> None:
    result, _ = search(100.0, Options(), cause="generator")
    assert not result.decided


TRIES = 3
AT_ONCE = 3
"""Searches that are carried out at the same time: each server and each generator uses a tenth of a core."""


@dataclass(frozen=True)
class Search:
    """A server of known capacity, how it is searched, and what has to come out; `rate` None means that none holds."""

    server: str
    objectives: str
    start: float
    cause: Cause
    rate: float | None = None
    any_rate: bool = False
    connections: int = 200

    def is_right(self, result: FindMaxResult) -> bool:
        right = result.rate is None if self.rate is None else result.rate == pytest.approx(self.rate, rel=0.05)
        return result.cause == self.cause and (right or self.any_rate)


STALLING = "--workers 5 --service-ms 5 --stall-at 0.3 --stall-for 0.3 --stall-every 1"
SEARCHES = {
    # The longest first.
    "generous": Search(STALLING, "p90<2s,errors<1%", 640, "stall", 700, connections=1000),
    "leak": Search("--workers 2 --service-ms 10 --leak-ms-per-s 1", "p90<200ms", 100, "leak", any_rate=True),
    "slow leak": Search("--workers 2 --service-ms 10 --leak-ms-per-s 0.3", "p90<500ms", 100, "leak", any_rate=True),
    "limit": Search("--workers 1000 --service-ms 100 --fail-above 11", "errors<1%", 80, "concurrency-limit", 105),
    "pool": Search("--workers 5 --service-ms 25", "p90<500ms,errors<1%", 150, "throughput", 200),
    "strict": Search(STALLING, "p90<100ms", 40, "stall"),
}


def find(search: Search) -> FindMaxResult:
    """Search; again, if that gave something else: on a disturbed machine requests do arrive in bunches."""
    for _ in range(TRIES):
        with server("queue", *search.server.split()) as port:
            result = findmax.find_max(
                harness.plan(port, 1, 1, arrivals="constant", connections=search.connections),
                harness.get(port),
                slo.parse(search.objectives),
                Options(start_rate=search.start, probe_s=1.0, arrivals="constant"),
            )
        if search.is_right(result):
            break
    return result


@pytest.fixture(scope="module")
def found() -> Mapping[str, FindMaxResult]:
    """All searches, several at a time."""
    with multiprocessing.get_context("fork").Pool(AT_ONCE) as pool:
        return dict(zip(SEARCHES, pool.map(find, SEARCHES.values(), chunksize=1), strict=True))


def right(found: Mapping[str, FindMaxResult], name: str) -> FindMaxResult:
    assert SEARCHES[name].is_right(found[name]), found[name].to_json()
    return found[name]


@pytest.mark.timing
@pytest.mark.slow
def test_the_capacity_of_a_worker_pool(found: Mapping[str, FindMaxResult]) -> None:
    """Five workers of 25 ms: 200 requests per second, and not one more."""
    assert "5 at a time" in right(found, "pool").reason


@pytest.mark.timing
@pytest.mark.slow
def test_a_limit_of_concurrent_requests(found: Mapping[str, FindMaxResult]) -> None:
    """Requests of 100 ms, refused while eleven are in work: from 105 to 110 a second on, by the server's jitter."""
    assert "11" in right(found, "limit").reason


@pytest.mark.timing
@pytest.mark.slow
def test_a_periodic_stall_breaks_a_latency_objective_at_any_rate(found: Mapping[str, FindMaxResult]) -> None:
    reason = right(found, "strict").reason
    assert re.search(r"stalls of about 0\.(2[7-9]|3[0-6]) s, one every (0\.9|1\.[0-2])", reason), reason


@pytest.mark.timing
@pytest.mark.slow
def test_a_periodic_stall_costs_its_share_of_the_capacity(found: Mapping[str, FindMaxResult]) -> None:
    """Five workers of 5 ms make 1,000 a second; standing still for 0.3 s of each second, they make 700."""
    reason = right(found, "generous").reason
    assert re.search(r"not made up for between them.*one every (0\.9|1\.[0-2])", reason), reason


@pytest.mark.timing
@pytest.mark.slow
@pytest.mark.parametrize("leak", ["leak", "slow leak"])
def test_a_slow_leak_is_named(found: Mapping[str, FindMaxResult], leak: str) -> None:
    """Service time grows by 1 ms, or 0.3 ms, each second: whatever breaks at the end, the leak is why."""
    assert "at first" in right(found, leak).reason


def test_a_backlog_that_swings_with_stalls_is_measured_at_the_same_point_of_each() -> None:
    """A sawtooth of 1 s, 70 high, in 50 ms samples: level, it does not grow; on a slope of 20/s it does."""

    def gauges(slope: float) -> RunResult:
        samples = range(100)
        at = [place * 50_000_000 for place in samples]
        phase = [place % 20 for place in samples]
        tooth = [10 * one if one < 7 else max(0, 70 - 6 * (one - 6)) for one in phase]
        done = [0]
        for place in samples[1:]:
            done.append(done[-1] + (0 if phase[place] < 7 else 50))
        waiting = [int(height + slope * place * 0.05) for place, height in zip(samples, tooth, strict=True)]
        columns = (array("q", at), array("q", waiting), array("q", [0] * 100), array("q", done))
        return SimpleNamespace(gauges=Gauges(*columns), plan=harness.plan(1, 100, 5))  # type: ignore[return-value]

    for end in (4.2, 4.5, 4.9):
        assert abs(statistics.backlog_growth(gauges(0), end / 3, end)) < 1
        assert statistics.backlog_growth(gauges(20), end / 3, end) == pytest.approx(20, abs=2)
