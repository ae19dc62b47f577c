"""What findings say of servers whose truth is known: the cause, and no other."""

from __future__ import annotations

import dataclasses
import random
from array import array
from typing import TYPE_CHECKING, Any

import pytest

from senior_backend.console.exit_codes import ExitCode
from senior_backend.load import findings, statistics, validity, verdict
from senior_backend.load.model import ErrorKind
from tests.load import simulated
from tests.load.test_judgement import made

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.load.model import RunResult

CAUSES = {
    "outage", "stall", "stalls", "periodic-stall", "concurrency-limit", "connection-limit", "pool", "leak",
    "rate-limit", "warming-up", "queueing", "slow-request", "two-kinds", "cold-start", "keep-alive-races",
}  # fmt: skip


def told(result: RunResult) -> dict[str, str]:
    explained = findings.explain(result, statistics.summarize(result))
    return {finding.code: finding.message for finding in explained if finding.code in CAUSES}


def noisy(*milliseconds: float, seed: int = 1) -> list[float]:
    """Return service times that vary by a tenth."""
    draw = random.Random(seed)
    return [each * draw.uniform(0.95, 1.05) for each in milliseconds]


def failing(places: range, count: int, kind: ErrorKind = ErrorKind.REFUSED) -> list[int]:
    return [kind if place in places else 0 for place in range(count)]


@pytest.mark.parametrize(
    ("places", "kind", "words"),
    [
        (range(250, 600), ErrorKind.REFUSED, "from t = 2.5 s on no request succeeded (refused): the server went away"),
        (
            range(300, 420),
            ErrorKind.REFUSED,
            "from t = 3.0 s to 4.2 s no request succeeded (refused), and it recovered",
        ),
        (range(100), ErrorKind.RESET, "no request succeeded before t = 1.0 s (reset): it was not ready"),
        (range(250, 600), ErrorKind.STATUS, "from t = 2.5 s on no request succeeded (status 503): it failed from then"),
    ],
)
def test_a_stretch_of_failures_is_an_outage(places: range, kind: ErrorKind, words: str) -> None:
    found = told(made(noisy(*[5.0] * 600), errors=failing(places, 600, kind)))
    assert set(found) == {"outage"}
    assert words in found["outage"]


def test_scattered_failures_are_no_outage() -> None:
    draw = random.Random(1)
    errors = [ErrorKind.RESET if draw.random() < 0.3 else 0 for _ in range(600)]
    assert not told(made(noisy(*[5.0] * 600), errors=errors))
    # Everything that was due late failed, but the server answered on and on: a queue that the end of the run cut off.
    behind = [5.0 + 20.0 * place for place in range(300)]
    unsent = [ErrorKind.RESET if place in (4, 40) else 0 for place in range(300)] + [ErrorKind.NO_CONNECTION] * 300
    assert "outage" not in told(made(behind + [1.0] * 300, errors=unsent))
    assert "outage" not in told(made(behind + [5000.0] * 300, errors=failing(range(300, 600), 600)))


def test_a_queue_that_the_end_cuts_off_is_no_outage() -> None:
    """One worker of 4 ms at 300 a second: what was last sent is not answered in time, the rest not even sent."""
    plan = dataclasses.replace(simulated.plan(300, 8, connections=100), grace_s=1.0)
    result = simulated.Server(1, simulated.fixed(0.012)).run(plan, None)
    assert {ErrorKind.UNFINISHED, ErrorKind.NO_CONNECTION} <= set(result.errors)
    assert "outage" not in told(result)


def limited(chance: float | None) -> RunResult:
    """Seconds of 110 to 150 requests, of which 100 pass; or each fails by chance."""
    draw = random.Random(3)
    errors: list[int] = []
    due: list[int] = []
    for second, count in enumerate((130, 110, 150, 125, 115, 140, 130, 120, 145)):
        failed = [int(place >= 100 if chance is None else draw.random() < chance) for place in range(count)]
        draw.shuffle(failed)
        errors += [ErrorKind.STATUS * each for each in failed]
        due += [int((second + place / count) * 1e9) for place in range(count)]
    result = made(noisy(*[3.0] * len(errors)), gap_ms=9000 / len(errors), errors=errors)
    result.samples.intended[:] = array("q", due)
    return result


def test_a_rate_limit_is_told_from_failures_by_chance() -> None:
    found = told(limited(None))
    assert "about 100 requests succeed in each second, and the rest is refused (status 503)" in found["rate-limit"]
    assert "rate-limit" not in told(limited(0.23))
    assert "rate-limit" not in told(limited(0.01))


def test_a_cold_start_is_as_long_as_it_was() -> None:
    found = told(made(noisy(*[150.0] * 250, *[12.0] * 500), gap_ms=20.0))
    assert "the first 5 seconds were slow (p50 150" in found["cold-start"]


def test_two_kinds_of_answers_are_told_from_queueing_and_from_slow_times() -> None:
    draw = random.Random(4)
    mixed = noisy(*(150.0 if draw.random() < 0.1 else 5.0 for _ in range(600)))
    found = told(made(mixed, gap_ms=17.0))
    assert set(found) == {"two-kinds"}
    assert "take about 5.0 ms" in found["two-kinds"]
    assert "about 150 ms" in found["two-kinds"]
    # The same times one after the other are a slow start, and per request they have a name.
    assert "two-kinds" not in told(made(sorted(mixed, reverse=True), gap_ms=17.0))
    requests = [int(took > 50) for took in mixed]
    assert set(told(made(mixed, gap_ms=17.0, requests=requests, names=("quick", "slow")))) == {"slow-request"}


def test_one_slow_endpoint_of_ten_is_named_in_a_short_run() -> None:
    draw = random.Random(5)
    requests = [draw.randrange(10) for _ in range(360)]
    service = noisy(*(120.0 if request == 7 else 5.0 for request in requests))
    found = told(made(service, gap_ms=17.0, requests=requests, names=tuple(f"GET /e{n}" for n in range(10))))
    assert "'GET /e7'" in found["slow-request"]
    assert set(found) == {"slow-request"}


def test_a_long_warm_up_is_not_called_queueing() -> None:
    cooling = noisy(*(85.0 - 80.0 * place / 600 for place in range(600)))
    found = told(made(cooling, gap_ms=17.0))
    assert set(found) == {"warming-up"}
    assert "answers become faster all the time" in found["warming-up"]


def test_a_slow_start_has_no_stalls_in_the_gaps_between_arrivals() -> None:
    """150 slow answers first, with gaps of 70 ms between arrivals now and then: slow, but nothing stood still."""
    result = made(noisy(*[65.0] * 150, *[5.0] * 250), gap_ms=17.0)
    for place in (40, 80, 120):
        shift = 70_000_000
        for later in range(place, len(result.samples.intended)):
            result.samples.intended[later] += shift
    assert set(told(result)) == {"cold-start"}


def test_a_queue_that_grows_is_not_called_a_leak() -> None:
    """Near its limit a queue grows by chance: then more and more are in flight, which a leak alone does not make."""
    growing = findings.explain(*of(made(noisy(*(40.0 + place for place in range(600))), gap_ms=5.0)))
    assert "growing" in {one.code for one in growing}
    assert "leak" not in {one.code for one in growing}
    leaking = findings.explain(*of(made(noisy(*(5.0 + 0.02 * place for place in range(600))), gap_ms=17.0)))
    assert "leak" in {one.code for one in leaking}


@pytest.mark.parametrize(
    ("arrivals", "service", "code"),
    [
        # A single worker at 99 % of its capacity: a queue that grows by chance from a few requests to some more.
        ("poisson", simulated.fixed(0.0099), "growing"),
        # A hundred workers that need ever longer: more are in flight, because each takes longer.
        ("poisson", lambda _draw, now: 0.02 + 0.002 * now, "leak"),
    ],
)
def test_a_leak_is_told_from_a_queue_by_requests_that_meet_as_many_others(
    arrivals: str, service: Any, code: str
) -> None:
    workers = 1 if code == "growing" else 100
    seen = set()
    for seed in range(6):
        plan = simulated.plan(100, 20, arrivals=arrivals, seed=seed)
        result = simulated.Server(workers, service).run(plan, None)
        seen |= {finding.code for finding in findings.explain(*of(result))} & {"leak", "growing"}
    assert seen == {code}


def test_redirects_are_no_measurement() -> None:
    result = made(noisy(*[5.0] * 300), statuses=[302] * 300)
    trust = validity.judge(*of(result))
    assert not trust.valid
    assert "300 of 300 answers are redirects (status 302)" in trust.reasons[0].message
    assert verdict.decide(*of(result), trust)[0] == ExitCode.UNDECIDED
    meant = dataclasses.replace(result, plan=dataclasses.replace(result.plan, redirects_expected=frozenset({0})))
    assert validity.judge(*of(meant)).valid
    assert validity.judge(*of(made(noisy(*[5.0] * 300), statuses=[304] * 300))).valid
    assert validity.judge(*of(made(noisy(*[5.0] * 300), statuses=[303] * 100 + [200] * 200))).valid


@pytest.mark.parametrize(
    ("generator", "limit"),
    [
        ({"unused_failures": 120, "connections_used": 4, "connections_peak": 40}, "a limit of 4?"),
        ({"unused_failures": 20, "connections_used": 4, "connections_peak": 40}, None),
        ({"unused_failures": 120, "connections_used": 0, "connections_peak": 40}, None),
        ({"unused_failures": 120, "connections_used": 40, "connections_peak": 40}, None),
    ],
)
def test_a_limit_of_connections(generator: dict[str, Any], limit: str | None) -> None:
    errors = [ErrorKind.RESET if place % 5 == 0 else 0 for place in range(600)]
    found = told(made(noisy(*[5.0] * 600), errors=errors, **generator))
    assert (limit in found["connection-limit"]) if limit else not found


def test_connections_that_break_in_use_are_more_than_idle_ones_that_close() -> None:
    few = findings.explain(*of(made([5.0] * 500, keep_alive_races=2)))
    many = findings.explain(*of(made([5.0] * 500, keep_alive_races=40)))
    assert [(one.code, one.severity) for one in few] == [("keep-alive-races", "info")]
    assert [(one.code, one.severity) for one in many] == [("keep-alive-races", "warning")]
    assert "8.0%" in many[0].message


def of(result: RunResult) -> tuple[RunResult, statistics.Summary]:
    return result, statistics.summarize(result)


def overloaded(service: Sequence[float]) -> RunResult:
    """A run at 200 a second whose backlog grows, after a warm-up."""
    result = made(service, gap_ms=5.0, backlog=list(range(0, 400, 4)))
    return dataclasses.replace(result, plan=dataclasses.replace(result.plan, warmup_s=1.0))


def test_a_pool_is_only_named_by_what_was_seen_alone() -> None:
    """Five workers of 25 ms that answer 200 a second, from the middle of the overload on: all meet a hundred others."""
    queued = [500.0 + place % 7 for place in range(2000)]
    assert "pool" not in told(overloaded(queued))
    # An unfair pool answers a part at once: those met others too, and are no second kind of answers.
    unfair = [25.0 if place % 4 == 0 else 1900.0 + place % 50 for place in range(2000)]
    assert not {"pool", "two-kinds"} & set(told(overloaded(unfair)))


def test_a_disturbed_generator_leaves_out_what_rests_on_times() -> None:
    leaking = noisy(*(5.0 + 0.015 * place for place in range(600)))
    result = made(leaking, gap_ms=17.0, lag_ms=3.0)
    summary = statistics.summarize(result)
    assert "leak" in {finding.code for finding in findings.explain(result, summary)}
    assert not {finding.code for finding in findings.explain(result, summary, disturbed=True)} & CAUSES
