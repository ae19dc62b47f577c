from __future__ import annotations

import dataclasses
import os
import signal
import time
from array import array

import pytest

from senior_backend.load import engine, poller, statistics
from senior_backend.load.http import request_bytes
from senior_backend.load.model import (
    ErrorKind,
    Gauges,
    Plan,
    Prepared,
    Progress,
    Response,
    Stage,
    StaticWorkload,
    Target,
)
from senior_backend.load.processes import merge_gauges
from tests.load import harness
from tests.load.harness import server


def test_every_arrival_is_sent_and_recorded_once() -> None:
    with server("queue") as port:
        result = harness.run(port, 500, 1.0, arrivals="constant")
    samples = result.samples
    assert len(samples) == result.planned == 500
    assert not result.errors
    assert sorted(samples.intended) == [number * 2_000_000 for number in range(500)]
    for lag, wait, service, response in zip(samples.lag, samples.wait, samples.service, samples.response, strict=True):
        assert lag + wait + service == response
    assert all(0 < first <= service for first, service in zip(samples.first_byte, samples.service, strict=True))


def test_requests_without_a_free_connection_wait_and_are_not_dropped() -> None:
    """One connection, 20 ms of service, 100 requests in half a second: the last one waits for the others."""
    with server("queue", "--workers", "100", "--service-ms", "20") as port:
        result = harness.run(port, 200, 0.5, arrivals="constant", connections=1)
    assert len(result.samples) == 100
    assert not result.errors
    assert result.generator.connections_opened == 1
    assert max(result.samples.wait) > 1.2e9
    assert result.generator.capped_s > 1.0
    assert max(result.samples.lag) < 0.5e9


def test_the_warm_up_is_sent_and_left_out() -> None:
    with server("queue") as port:
        result = harness.run(port, 100, 1.0, arrivals="constant", warmup_s=0.4)
    assert (result.warmup, result.planned) == (40, 60)
    assert min(result.samples.intended) == 400_000_000
    assert result.measured_s == pytest.approx(0.6, abs=0.01)


def test_samples_beyond_the_limit_are_folded_and_still_counted() -> None:
    with server("queue") as port:
        result = harness.run(port, 2000, 1.0, arrivals="constant", exact_samples=300, warmup_s=0.25)
    assert result.samples.folded is not None
    assert len(result.samples) == result.planned == 1500
    assert result.warmup == 500
    assert result.samples.distribution().count == 1500
    summary = statistics.summarize(result)
    assert summary.planned == sum(second.sent for second in summary.timeline) == 1500
    assert summary.requests[0].count == 1500


def test_failures_are_counted_in_folded_samples_too() -> None:
    with server("hostile", "errors") as port:
        result = harness.run(port, 1000, 0.5, arrivals="constant", exact_samples=256)
    assert result.errors == {ErrorKind.STATUS: 500}
    assert result.statuses == {500: 500}
    assert statistics.summarize(result).requests[0].failed == 500


def test_weights_are_kept() -> None:
    with server("queue") as port:
        requests = tuple(
            Prepared(request_bytes(harness.target(port), "GET", f"/{number}"), request=number) for number in range(2)
        )
        workload = StaticWorkload(("often", "seldom"), requests, (9.0, 1.0))
        result = engine.run(harness.plan(port, 2000, 1.0), workload)
    often, seldom = (row.count for row in statistics.summarize(result).requests)
    assert often + seldom == result.planned
    assert 0.06 < seldom / result.planned < 0.14


class Session:
    """A login, then a request that carries what the login said."""

    names = ("login", "use")

    def __init__(self, target: Target) -> None:
        self.target = target
        self.asked: list[int] = []
        self.used = 0

    def next(self, arrival: int) -> Prepared:
        self.asked.append(arrival)
        return Prepared(request_bytes(self.target, "POST", "/login", body=b"{}"), request=0, follow=self.then)

    def then(self, response: Response | None) -> Prepared | None:
        if response is None or b"ok" not in response.body:
            return None
        self.used += 1
        headers = [("X-Length", response.header("content-length") or "")]
        return Prepared(request_bytes(self.target, "GET", "/use", headers), request=1)


@pytest.mark.parametrize("arrivals", ["poisson", "closed"])
def test_sessions_follow_up_with_what_they_extracted(arrivals: str) -> None:
    with server("hostile", "fine") as port:
        session = Session(harness.target(port))
        result = engine.run(harness.plan(port, 50, 0.5, connections=3, arrivals=arrivals), session)
    login, use = (row.count for row in statistics.summarize(result).requests)
    assert session.asked == list(range(len(session.asked)))
    assert login == len(session.asked) > 5
    assert abs(use - login) <= 3
    assert not result.errors


def test_a_closed_loop_keeps_every_connection_busy() -> None:
    with server("queue", "--workers", "10", "--service-ms", "10") as port:
        result = harness.run(port, 0, 1.0, arrivals="closed", connections=5)
    assert 350 < result.planned <= 505
    assert result.generator.connections_opened == 5


def test_progress_once_a_second_and_a_reason_stops_the_run() -> None:
    seen: list[Progress] = []

    def watch(state: Progress) -> str | None:
        seen.append(state)
        return "enough" if len(seen) == 2 else None

    started = time.monotonic()
    with server("queue") as port:
        plan = harness.plan(port, 200, 30.0)
        result = engine.run(plan, harness.get(port), watch)
    assert time.monotonic() - started < 6
    assert result.stopped == "enough"
    assert not result.interrupted
    assert len(seen) == 2
    assert seen[0].asked_rate == pytest.approx(200)
    assert 140 < seen[0].rate < 260
    assert seen[0].p50_ms is not None
    assert result.planned == pytest.approx(400, rel=0.25)


def test_failures_in_progress_are_of_the_last_second() -> None:
    seen: list[Progress] = []
    with server("hostile", "too-many") as port:
        engine.run(harness.plan(port, 100, 2.2, arrivals="constant"), harness.get(port), seen.append)
    for state in seen:
        assert 80 < state.errors_now[ErrorKind.STATUS] < 120
        assert state.statuses_now[429] == state.failed_now
        assert state.retry_after_s == 7


def test_an_interrupt_ends_the_run_and_keeps_what_was_measured() -> None:
    def interrupt(_: Progress) -> None:
        os.kill(os.getpid(), signal.SIGINT)

    with server("queue") as port:
        result = engine.run(harness.plan(port, 200, 30.0), harness.get(port), interrupt)
    assert result.interrupted
    assert result.elapsed_s < 5
    assert 20 < result.planned < 600
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_processes_share_one_schedule() -> None:
    seen: list[Progress] = []
    with server("queue") as port:
        plan = harness.plan(port, 400, 1.5, arrivals="constant", processes=3, connections=9, warmup_s=0.5)
        result = engine.run(plan, harness.get(port), seen.append)
    assert sorted(result.samples.intended) == [number * 2_500_000 for number in range(200, 600)]
    assert result.warmup == 200
    assert result.generator.connections_cap == 9
    assert len(seen) == 1
    assert 300 < seen[0].rate < 500


def test_processes_can_be_stopped() -> None:
    started = time.monotonic()
    with server("queue") as port:
        plan = harness.plan(port, 400, 30.0, processes=2)
        result = engine.run(plan, harness.get(port), lambda _: "enough")
    assert result.stopped == "enough"
    assert time.monotonic() - started < 8


def test_gauges_of_processes_are_added_up() -> None:
    def gauges(ticks: list[int], values: list[int]) -> Gauges:
        return Gauges(array("q", [tick * engine.GAUGE_NS for tick in ticks]), *(array("q", values) for _ in range(3)))

    merged = merge_gauges([gauges([0, 1, 2], [1, 2, 3]), gauges([0, 1], [10, 20])])
    assert list(merged.waiting) == [11, 22, 23]


def test_the_portable_poller_does_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "make_poller", poller.SelectorPoller)
    with server("hostile", "mixed-close") as port:
        result = harness.run(port, 200, 0.5, arrivals="constant")
    assert result.planned == 100
    assert not result.errors


def test_gauges_show_the_backlog() -> None:
    with server("queue", "--service-ms", "20") as port:
        result = harness.run(port, 100, 1.0, arrivals="constant", connections=10)
    growth = statistics.backlog_growth(result, 0.3, 1.0)
    assert growth == pytest.approx(50, rel=0.3)


def test_localhost_is_found_whatever_family_the_server_uses() -> None:
    with server("queue") as port:
        plan = Plan(Target("http", "localhost", port), (Stage(0.2, 50, 50),))
        assert not engine.run(plan, harness.get(port)).errors


def test_without_keep_alive_each_request_has_its_connection() -> None:
    with server("queue") as port:
        plan = dataclasses.replace(harness.plan(port, 100, 0.5, arrivals="constant"), keep_alive=False, preopen=0)
        result = engine.run(plan, harness.get(port))
    assert result.generator.connections_opened >= result.planned == 50
    assert not result.errors


def test_what_the_warm_up_left_behind_counts_as_answered_when_it_is() -> None:
    """At twice its capacity of 250 a second the server first answers what fell due before the measured time."""
    with server("queue", "--workers", "5", "--service-ms", "20") as port:
        result = harness.run(port, 500, 3.0, warmup_s=1.0, arrivals="constant", connections=2000)
    summary = statistics.summarize(result)
    assert summary.achieved_rate == pytest.approx(250, rel=0.05)
    assert [second.answered for second in summary.timeline[:2]] == pytest.approx([250, 250], rel=0.1)
