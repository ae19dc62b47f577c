from __future__ import annotations

import multiprocessing
import re
from array import array
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from senior_backend.load import engine, findmax, slo, statistics
from senior_backend.load.findmax import Cause, Depth, FindMaxResult, Options, Point
from senior_backend.load.model import Gauges
from tests.load import harness
from tests.load import simulated as simulated_servers
from tests.load.harness import server
from tests.load.simulated import Server, exponential, fixed
from tests.load.test_judgement import made

if TYPE_CHECKING:
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
        overloaded=not sustained and cause == "throughput",
    )


def search(
    capacity: float, options: Options, *, cause: Cause = "throughput", noise: int = 0
) -> tuple[FindMaxResult, int]:
    """Search an arithmetic server; every `noise`-th probe fails by chance."""
    asked = 0

    def probe(rate: float, _depth: Depth) -> Point:
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
    result, asked = search(capacity, Options(greatest_probes=60, arrivals="constant"), cause=cause)
    assert result.rate is not None
    assert capacity / 1.05 <= result.rate <= capacity
    assert result.cause == cause
    assert result.decided
    assert asked < 45


def test_single_failures_by_chance_do_not_mislead() -> None:
    result, _ = search(100.0, Options(greatest_probes=60, arrivals="constant"), noise=4)
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


def simulated(server: simulated_servers.Server, objectives: str, start: float, **options: Any) -> FindMaxResult:
    """Search a server in virtual time; everything but the engine is real."""
    plan = simulated_servers.plan(**{"arrivals": "constant", **options})
    search = Options(start_rate=start, probe_s=1.0, arrivals=plan.arrivals)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "run", server.run)
        return findmax.find_max(plan, simulated_servers.WORKLOAD, slo.parse(objectives), search)


STALLS = (0.3, 0.3, 1.0)
"""From 0.3 s on, 0.3 s of each second."""


def test_an_answer_is_never_above_what_the_server_can_do_for_long() -> None:
    """Four workers of 20.6 ms make 194.17 a second: at 194.6 the backlog grows by one request every two seconds."""
    result = simulated(Server(4, fixed(0.0206)), "p99<200ms", 10)
    assert result.rate is not None
    assert 0.98 * 4 / 0.0206 < result.rate < 4 / 0.0206
    assert result.cause == "throughput"
    assert "4 at a time: a pool of 4?" in result.reason


def test_no_rate_holds_that_is_above_the_throughput_under_overload() -> None:
    """Probes that are too short to see it hold up to 3 % more than 100 a second, of which 100 are answered."""

    def probe(rate: float, _depth: Depth) -> Point:
        return point(rate, sustained=rate < 103, achieved=min(rate, 100))

    result = findmax.search(probe, Options(arrivals="constant"))
    assert result.rate == pytest.approx(99)


def test_a_slow_growth_is_seen_beside_the_queue_s_own_ups_and_downs() -> None:
    """Of 35 s: half a request a second with constant arrivals; with Poisson ones at 90 % of capacity mostly nothing."""

    def grows(rate: float, **options: Any) -> bool:
        result = Server(4, fixed(0.0206)).run(simulated_servers.plan(rate, 35, **options), None)
        return statistics.grows_slowly(result, findmax.GROWTH_REQUESTS)

    assert grows(194.7, arrivals="constant")
    assert not grows(193.5, arrivals="constant")
    assert sum(grows(175, seed=seed) for seed in range(8)) <= 1
    assert sum(grows(200, seed=seed) for seed in range(8)) >= 5


def test_an_answer_is_confirmed_in_each_half_of_its_time() -> None:
    """One request in eight is slow in the second half: one in sixteen of all, which p90 allows."""
    result = made([5.0] * 1000 + [300.0 if place % 8 == 0 else 5.0 for place in range(1000)])
    summary, objectives = statistics.summarize(result), slo.parse("p90<200ms")
    assert findmax.judge(result, summary, objectives, 100).sustained
    thorough = findmax.judge(result, summary, objectives, 100, thorough=True)
    assert (thorough.sustained, thorough.cause) == (False, "latency")
    assert "p90 300.0 ms from 10 s to 20 s" in thorough.reason


def test_a_percentile_that_cannot_be_told_yet_is_nothing_to_rest_on() -> None:
    """Two of a hundred are slow: p99 is not to be told of so few, and looks broken."""
    result = made([300.0 if place in (30, 70) else 5.0 for place in range(100)])
    summary, objectives = statistics.summarize(result), slo.parse("p99<200ms")
    first = findmax.judge(result, summary, objectives, 100)
    assert first.sustained
    assert first.doubtful
    assert not findmax.judge(result, summary, objectives, 100, thorough=True).sustained


def test_a_lucky_quarter_of_a_minute_is_not_believed() -> None:
    """The same with Poisson arrivals: from 182 a second on, the p99 of hours is above 200 ms; of seconds, by chance."""
    for seed in (2, 5):
        result = simulated(Server(4, fixed(0.0206)), "p99<200ms", 160, arrivals="poisson", seed=seed * 1000)
        assert result.rate is not None
        assert 160 <= result.rate < 187, seed


def test_one_number_of_workers_is_not_told_from_another_by_times_that_vary() -> None:
    result = simulated(Server(4, exponential(0.02)), "p99<400ms", 40)
    assert result.rate is not None
    assert result.rate < 200
    assert not re.search(r"\b[1-9] at a time", result.reason)


def test_a_backlog_that_is_still_worked_off_is_no_leak() -> None:
    """The lowest rate is slower at the end because others wait; single requests are as quick as ever then."""
    result = FindMaxResult(
        (point(10, sustained=True, p90=5),), point(10, sustained=True), None, None, "latency", "", True
    )

    def probe(rate: float, _depth: Depth) -> Point:
        return point(rate, sustained=True, p90=50)

    assert findmax.with_leak_check(result, probe, [2.5, 2.6]).cause == "latency"
    assert findmax.with_leak_check(result, probe, [2.5, 25.0]).cause == "leak"


def test_a_periodic_stall_breaks_a_latency_objective_at_any_rate() -> None:
    result = simulated(Server(5, fixed(0.005), stall=STALLS), "p90<100ms", 40)
    assert (result.rate, result.cause) == (None, "stall")
    assert re.search(r"stalls of about 0\.3\d s, one every 1\.0", result.reason), result.reason


def test_pauses_that_short_probes_miss_are_met_by_the_confirmation() -> None:
    """One second of each thirty: 2.7 % wait for more than 0.2 s at any rate, and most short probes see none."""
    result = simulated(Server(2, fixed(0.02), stall=(7.0, 1.0, 30.0)), "p99<200ms", 40)
    assert any(point.sustained and point.rate > 40 for point in result.points)
    assert (result.rate, result.cause) == (None, "stall")


def test_a_rate_that_holds_only_for_a_moment_is_not_the_answer() -> None:
    """Nothing holds for long but the lowest rate."""

    def probe(rate: float, depth: Depth) -> Point:
        return point(rate, sustained=rate < 100 and (depth != "confirm" or rate <= 20), cause="latency")

    result = findmax.search(probe, Options(arrivals="constant"))
    assert result.rate == 10


def test_a_periodic_stall_costs_its_share_of_the_capacity() -> None:
    """Five workers of 20 ms make 250 a second; standing still for 0.3 s of each second, they make 175."""
    result = simulated(Server(5, fixed(0.02), stall=STALLS), "p90<2s,errors<1%", 160, connections=1000)
    assert result.rate == pytest.approx(175, rel=0.04)
    assert result.cause == "stall"
    assert re.search(r"not made up for between them.*one every 1\.0", result.reason), result.reason


@pytest.mark.parametrize("seconds", [3.5, 4.0, 4.25, 4.7])
def test_what_an_overloaded_server_answers_does_not_depend_on_where_its_stalls_lie(seconds: float) -> None:
    """The last two thirds of 4 s hold three stalls of 0.3 s, not 2.67."""
    result = Server(5, fixed(0.005), stall=STALLS).run(simulated_servers.plan(1280, seconds, connections=1000), None)
    assert statistics.steady_rate(result) == pytest.approx(700, rel=0.02)


def test_stalls_close_together_are_not_taken_for_the_whole_time() -> None:
    """Of the last 20 s of 30 the server works on 1,000 a second for 19.2, and then stands still four times."""
    server = Server(5, fixed(0.005), stall=(29.0, 0.2, 0.3))
    result = server.run(simulated_servers.plan(1280, 30, connections=1000), None)
    assert statistics.steady_rate(result) == pytest.approx(960, rel=0.02)


def test_what_an_overload_answered_bounds_the_answer_whatever_is_to_blame_for_it() -> None:
    """Stalls of 0.3 s each second leave 700 of 1,000 a second, overloaded a little or much."""
    result = simulated(Server(5, fixed(0.005), stall=STALLS), "p90<2s,errors<1%", 640, connections=1000)
    assert result.rate == pytest.approx(693, rel=0.01)
    assert result.cause == "stall"
    overloaded = [point for point in result.points if point.overloaded]
    assert {point.cause for point in overloaded} == {"stall", "throughput"}
    assert all(point.achieved == pytest.approx(700, rel=0.02) for point in overloaded)


def test_stalls_that_lose_many_requests_are_not_pauses_that_happen_at_any_rate() -> None:
    """At 97 a second and more a long probe stalls and half of it fails: the next lower rates are tried."""

    def probe(rate: float, depth: Depth) -> Point:
        held = rate <= 100 and (depth != "confirm" or rate <= 97)
        return point(rate, sustained=held, cause="stall", achieved=rate if held else rate / 2)

    result = findmax.search(probe, Options(arrivals="constant"))
    assert result.rate is not None
    assert 90 < result.rate <= 97


@pytest.mark.parametrize(("each_second", "objectives"), [(0.001, "p90<200ms"), (0.0003, "p90<500ms")])
def test_a_slow_leak_is_named(each_second: float, objectives: str) -> None:
    """Service time grows by 1 ms, or 0.3 ms, each second: whatever breaks at the end, the leak is why."""
    result = simulated(Server(2, lambda _draw, now: 0.01 + each_second * now), objectives, 100)
    assert result.cause == "leak"
    assert "at first" in result.reason


TRIES = 3
AT_ONCE = 6


@dataclass(frozen=True)
class Search:
    """A server of known capacity, how it is searched, and what has to come out; `rate` None means that none holds."""

    server: str
    objectives: str
    start: float
    cause: Cause
    reason: str
    rate: float | None = None
    any_rate: bool = False
    connections: int = 200

    def is_right(self, result: FindMaxResult) -> bool:
        if self.rate is None:
            right = self.any_rate or result.rate is None
        else:
            right = result.rate is not None and 0.95 * self.rate <= result.rate <= 1.03 * self.rate
        return right and result.cause == self.cause and re.search(self.reason, result.reason) is not None


STALLING = "--workers 5 --service-ms 5 --stall-at 0.3 --stall-for 0.3 --stall-every 1"
SEARCHES = {
    # The longest first. Five workers of 5 ms make 1,000 a second; standing still for 0.3 s of each second, 700.
    "generous": Search(
        STALLING, "p90<2s,errors<1%", 640, "stall",
        r"not made up for between them.*one every (0\.9|1\.[0-2])", 700, connections=1000,
    ),
    # Service time grows by 1 ms, or 0.3 ms, each second: whatever breaks at the end, the leak is why.
    "leak": Search(
        "--workers 2 --service-ms 10 --leak-ms-per-s 1", "p90<200ms", 100, "leak", "at first", any_rate=True
    ),
    "slow leak": Search(
        "--workers 2 --service-ms 10 --leak-ms-per-s 0.3", "p90<500ms", 100, "leak", "at first", any_rate=True
    ),
    # Requests of 100 ms, refused while eleven are in work: from 105 to 110 a second on, by the server's jitter.
    "limit": Search("--workers 1000 --service-ms 100 --fail-above 11", "errors<1%", 80, "concurrency-limit", "11", 107),
    # Five workers of 25 ms: 200 requests per second, and not one more.
    "pool": Search("--workers 5 --service-ms 25", "p90<500ms,errors<1%", 150, "throughput", "5 at a time", 200),
    "strict": Search(
        STALLING, "p90<100ms", 40, "stall", r"stalls of about 0\.(2[7-9]|3[0-6]) s, one every (0\.9|1\.[0-2])"
    ),
}  # fmt: skip


def find(search: Search) -> FindMaxResult:
    """Search until the answer is right, at most three times: a disturbed machine is not the server's limit."""
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


@pytest.mark.timing
@pytest.mark.light
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_real_servers_are_searched_as_simulated_ones_are() -> None:
    """Several at the same time: each server and each generator uses a tenth of a core."""
    with multiprocessing.get_context("fork").Pool(AT_ONCE) as pool:
        results = pool.map(find, SEARCHES.values(), chunksize=1)
    wrong = {
        name: result.to_json()
        for (name, search), result in zip(SEARCHES.items(), results, strict=True)
        if not search.is_right(result)
    }
    assert not wrong, wrong


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
