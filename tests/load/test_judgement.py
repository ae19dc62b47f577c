"""Objectives, validity, verdicts and findings, on runs made of plain numbers."""

from __future__ import annotations

import dataclasses
import random
from array import array
from typing import TYPE_CHECKING, Any

import pytest

from senior_backend.console.errors import InputError
from senior_backend.console.exit_codes import ExitCode
from senior_backend.load import findings, slo, statistics, validity, verdict
from senior_backend.load.model import ErrorExample, ErrorKind, Gauges, GeneratorStats, Plan, RunResult, Stage, Target
from senior_backend.load.samples import Samples
from tests.load import simulated

if TYPE_CHECKING:
    from collections.abc import Sequence

MS = 1_000_000


def made(
    service_ms: Sequence[float],
    *,
    gap_ms: float = 10.0,
    lag_ms: float = 0.01,
    waits_ms: Sequence[float] | None = None,
    errors: Sequence[int] | None = None,
    statuses: Sequence[int] | None = None,
    requests: Sequence[int] | None = None,
    names: tuple[str, ...] = ("root",),
    backlog: Sequence[int] = (),
    **generator: Any,
) -> RunResult:
    """Return a run of evenly spaced requests with these service times."""
    count = len(service_ms)
    waits = waits_ms or [0.0] * count
    intended = array("q", [int(place * gap_ms * MS) for place in range(count)])
    errors = errors or [0] * count
    samples = Samples(
        intended=intended,
        lag=array("q", [int(lag_ms * MS)] * count),
        wait=array("q", [int(wait * MS) for wait in waits]),
        first_byte=array("q", [int(took * MS) for took in service_ms]),
        response=array("q", [int((lag_ms + wait + took) * MS) for wait, took in zip(waits, service_ms, strict=True)]),
        status=array("H", statuses or [503 if error else 200 for error in errors]),
        request=array("H", requests or [0] * count),
        error=array("B", errors),
    )
    seconds = count * gap_ms / 1000
    stats = GeneratorStats(
        cpu_share=0.1,
        cpu_s=0.1,
        wall_s=seconds,
        fds_open=20,
        fds_limit=1024,
        fd_limited=False,
        port_limited=False,
        connections_cap=100,
        connections_peak=10,
        connections_opened=10,
        capped_s=0.0,
        keep_alive_races=0,
        server_closes=0,
        preopen_s=0.0,
    )
    counted = {ErrorKind(kind): list(errors).count(kind) for kind in set(errors) if kind}
    ticks = range(len(backlog))
    return RunResult(
        plan=Plan(Target("http", "127.0.0.1", 80), (Stage(seconds, 1000 / gap_ms, 1000 / gap_ms),)),
        names=names,
        samples=samples,
        errors=counted,
        examples={kind: ErrorExample("an example", names[0], 1.0) for kind in counted},
        statuses={},
        generator=dataclasses.replace(stats, **generator),
        gauges=Gauges(
            array("q", [int(tick * seconds / max(len(backlog), 1) * 1e9) for tick in ticks]),
            array("q", [0] * len(backlog)),
            array("q", backlog),
            array("q", [0] * len(backlog)),
        ),
        planned=count,
        warmup=0,
        started_at=0.0,
        elapsed_s=seconds,
    )


def judged(text: str, result: RunResult) -> list[str]:
    objectives = slo.parse(text, result.names)
    return [item.state for item in slo.judge(objectives, result, statistics.summarize(result))]


def decide(result: RunResult, text: str = "") -> tuple[ExitCode, str]:
    summary = statistics.summarize(result)
    objectives = slo.parse(text, result.names) if text else ()
    return verdict.decide(result, summary, validity.judge(result, summary), slo.judge(objectives, result, summary))


# -- objectives ------------------------------------------------------------------------------------------------------


def test_objectives_are_read_with_their_units() -> None:
    parsed = slo.parse("p99<200ms, P99.9 <= 1.5s,errors<0.1%,mean<800us,rps>=95,p50[list, users]<1ms")
    assert [(one.metric, one.relation, one.share, one.request) for one in parsed] == [
        ("p99", "<", 0.99, None),
        ("p99.9", "<=", 0.999, None),
        ("errors", "<", None, None),
        ("mean", "<", None, None),
        ("rps", ">=", None, None),
        ("p50", "<", 0.5, "list, users"),
    ]
    assert [one.limit for one in parsed] == pytest.approx([200.0, 1500.0, 0.001, 0.8, 95.0, 1.0])


def test_all_mistakes_are_told_with_their_columns() -> None:
    with pytest.raises(InputError) as caught:
        slo.parse("p99<200,erors<1%,p100<1s,errors<5ms,errors<150%,nonsense,,p50[lst]<1ms", ["list"])
    found = {finding.where: finding.message for finding in caught.value.findings}
    assert list(found) == [f"--slo:1:{column}" for column in (1, 9, 18, 26, 37, 49, 58, 59)]
    assert "unit of time" in found["--slo:1:1"]
    assert "did you mean 'errors'" in found["--slo:1:9"]
    assert "did you mean 'list'" in found["--slo:1:59"]


def test_objectives_hold_or_break() -> None:
    result = made([5.0] * 990 + [50.0] * 10)
    assert judged("p99<6ms,p99<4ms,max<40ms,max<60ms,mean<10ms,errors<0.1%,rps>90,rps>200", result) == [
        "holds",
        "broken",
        "broken",
        "holds",
        "holds",
        "holds",
        "holds",
        "broken",
    ]


def test_too_few_samples_leave_a_percentile_undecided() -> None:
    assert judged("p99<6ms,p50<6ms", made([5.0] * 200)) == ["undecided", "holds"]
    code, sentence = decide(made([5.0] * 200), "p99<6ms")
    assert code == ExitCode.UNDECIDED
    assert "1,000" in sentence


def test_a_limit_that_most_requests_miss_is_broken_even_with_few_samples() -> None:
    assert judged("p99<4ms", made([5.0] * 200)) == ["broken"]
    assert judged("p99<6ms", made([5.0] * 198 + [9.0] * 2)) == ["undecided"]


def test_objectives_of_one_request() -> None:
    result = made([1.0, 9.0] * 200, requests=[0, 1] * 200, names=("quick", "slow"))
    assert judged("p90[quick]<5ms,p90[slow]<5ms", result) == ["holds", "broken"]


# -- validity and verdict --------------------------------------------------------------------------------------------


def valid(result: RunResult) -> tuple[bool, str, list[str]]:
    judgement = validity.judge(result, statistics.summarize(result))
    return judgement.valid, judgement.limit, [reason.code for reason in judgement.reasons]


def test_a_good_run_is_valid() -> None:
    assert valid(made([5.0] * 500)) == (True, "none", [])
    assert decide(made([5.0] * 1000), "p99<10ms")[0] == ExitCode.OK


def test_a_late_generator_makes_the_run_invalid() -> None:
    assert valid(made([5.0] * 500, lag_ms=2.0)) == (True, "none", ["generator-lag"])
    assert valid(made([5.0] * 500, lag_ms=8.0)) == (False, "generator", ["generator-lag"])
    assert valid(made([500.0] * 500, lag_ms=8.0)) == (True, "none", [])
    assert decide(made([5.0] * 500, lag_ms=8.0))[0] == ExitCode.UNDECIDED


def test_the_connection_cap_is_told_from_a_slow_server() -> None:
    waits = [0.0] * 50 + [50.0 + place for place in range(450)]
    quick = made([5.0] * 500, waits_ms=waits, capped_s=4.0)
    assert valid(quick) == (False, "cap", ["connection-cap"])
    slow = made([5.0] * 50 + [60.0] * 450, waits_ms=waits, capped_s=4.0, connections_cap=6)
    assert valid(slow) == (True, "server", ["server-slow"])


def test_a_growing_backlog_is_the_servers_limit() -> None:
    assert valid(made([5.0] * 500, backlog=list(range(0, 200, 2)))) == (True, "server", ["server-saturated"])
    assert valid(made([5.0] * 500, backlog=[5, 6, 4, 5] * 25)) == (True, "none", [])
    code, sentence = decide(made([5.0] * 1000, backlog=list(range(0, 200, 2))))
    assert code == ExitCode.FAILED
    assert "does not keep up" in sentence


def test_a_busy_queue_that_keeps_up_is_not_called_saturated() -> None:
    """Single-server queues at 90 % load wander; the same at 125 % load grow."""
    wrong = 0
    for seed in range(40):
        draw = random.Random(seed)
        for load, grows in ((0.9, False), (1.25, True)):
            level, levels = 0, []
            for _ in range(200):
                for _ in range(9):
                    level = max(0, level + (1 if draw.random() < load / (1 + load) else -1))
                levels.append(level)
            wrong += (valid(made([5.0] * 900, backlog=levels))[1] == "server") != grows
    assert wrong <= 8


def test_descriptors_at_their_limit() -> None:
    assert valid(made([5.0] * 500, fds_open=1000))[2] == ["fd-near-limit"]
    assert valid(made([5.0] * 500, fd_limited=True, capped_s=3.0)) == (False, "generator", ["fd-limit"])


def test_nothing_succeeded_is_never_success() -> None:
    for kind, code in (
        (ErrorKind.REFUSED, ExitCode.ENVIRONMENT),
        (ErrorKind.TLS, ExitCode.ENVIRONMENT),
        (ErrorKind.STATUS, ExitCode.FAILED),
        (ErrorKind.READ_TIMEOUT, ExitCode.FAILED),
        (ErrorKind.FD_LIMIT, ExitCode.ENVIRONMENT),
    ):
        assert decide(made([1.0] * 100, errors=[kind] * 100))[0] == code, kind


def test_failures_break_a_run_without_objectives() -> None:
    assert decide(made([1.0] * 1000, errors=[8] * 20 + [0] * 980))[0] == ExitCode.FAILED
    assert decide(made([1.0] * 1000, errors=[8] * 5 + [0] * 995))[0] == ExitCode.OK
    assert decide(made([1.0] * 1000, errors=[8] * 20 + [0] * 980), "errors<5%")[0] == ExitCode.OK


def test_interrupts_and_stops_have_their_codes() -> None:
    assert decide(dataclasses.replace(made([1.0] * 50), interrupted=True))[0] == ExitCode.INTERRUPTED
    assert decide(dataclasses.replace(made([1.0] * 50), stopped="too many 503"))[0] == ExitCode.REFUSED


def test_an_empty_run_is_not_valid() -> None:
    assert valid(made([]))[:2] == (False, "generator")
    assert decide(made([]))[0] == ExitCode.UNDECIDED


# -- figures ---------------------------------------------------------------------------------------------------------


def test_the_summary_adds_up() -> None:
    draw = random.Random(5)
    result = made([draw.uniform(1, 50) for _ in range(1000)], errors=[8] * 10 + [0] * 990)
    summary = statistics.summarize(result)
    assert (summary.planned, summary.failed, summary.succeeded) == (1000, 10, 990)
    assert sum(second.sent for second in summary.timeline) == 1000
    assert sum(second.failed for second in summary.timeline) == 10
    assert sum(map(sum, summary.heat.counts)) == 1000
    assert len(summary.heat.edges_ms) == len(summary.heat.counts[0]) + 1
    assert summary.heat.edges_ms[0] <= 1
    assert summary.heat.edges_ms[-1] >= 50
    assert summary.response.at[0.99] is not None
    assert summary.response.at[0.999] is None
    assert summary.response.to_json()["not_enough_data"] == {"p99.9": 10_000, "p99.99": 100_000}
    times = [value for _, value in summary.curve]
    assert times == sorted(times)


# -- findings --------------------------------------------------------------------------------------------------------


def codes(result: RunResult) -> dict[str, str]:
    return {finding.code: finding.message for finding in findings.explain(result, statistics.summarize(result))}


def test_nothing_is_said_about_a_steady_run() -> None:
    draw = random.Random(2)
    assert codes(made([draw.uniform(4.9, 5.1) for _ in range(2000)])) == {}


def test_a_stall_is_found_and_told_from_one_of_the_generator() -> None:
    """Requests due from 2 s to 3 s are answered at 3 s."""
    service = [max(1.0, 3000.0 - place * 10) if 200 <= place < 300 else 1.0 for place in range(600)]
    said = codes(made(service))
    assert "1.0 s stall at t = 2.0 s" in said["stall"]
    result = made(service)
    result.samples.lag = array("q", [int(took * MS) if took > 1 else 0 for took in service])
    assert "generator-stall" in codes(result)


def test_slow_requests_by_themselves_are_told_from_queueing() -> None:
    service = [60.0 if place % 90 == 0 else 2.0 for place in range(2000)]
    assert set(codes(made(service, gap_ms=100))) == {"slow-by-itself"}


def test_one_slow_request_is_named() -> None:
    service = [80.0 if place % 60 == 0 else 5.0 for place in range(3000)]
    requests = [1 if place % 60 == 0 else 0 for place in range(3000)]
    said = codes(made(service, gap_ms=100, requests=requests, names=("list", "report")))
    assert "'report'" in said["slow-request"]


def test_the_size_of_a_pool_by_littles_law() -> None:
    """Three at a time of 30 ms each: at 10 a second each is alone, and at 200 a second 100 are answered."""
    stages = (Stage(4, 10, 10), Stage(8, 200, 200))
    ramp = dataclasses.replace(simulated.plan(arrivals="constant", connections=2000), stages=stages)
    assert "3 at a time: a pool of 3?" in codes(simulated.Server(3, simulated.fixed(0.03)).run(ramp, None))["pool"]


def test_an_overloaded_server_does_not_show_how_many_it_works_on() -> None:
    """All requests meet as many others, and take the same: that product is the length of the queue."""
    overload = simulated.plan(300, 12, arrivals="constant", connections=60)
    result = simulated.Server(4, simulated.fixed(0.0206)).run(overload, None)
    assert validity.judge(result, statistics.summarize(result)).limit == "server"
    assert "pool" not in codes(result)


def test_a_limit_of_concurrency_is_seen_in_what_failed() -> None:
    """Bursts of twelve, of which the last four are refused."""
    service, errors = [], []
    for _ in range(60):
        service += [11.5] * 8 + [0.1] * 4
        errors += [0] * 8 + [8] * 4
        service += [0.2] * 20
        errors += [0] * 20
    said = codes(made(service, gap_ms=1.0, errors=errors))
    assert "when 8 or more requests are in flight" in said["concurrency-limit"]


def test_a_leak_is_a_steady_rise() -> None:
    assert "leak" in codes(made([5.0 + place / 200 for place in range(1000)]))
    jumps = [5.0 if place < 500 else 5.2 for place in range(1000)]
    assert "leak" not in codes(made(jumps))


def test_a_cold_start_is_worth_a_warm_up() -> None:
    said = codes(made([20.0] * 100 + [5.0] * 900))
    assert "cold-start" in said


def test_each_class_of_errors_is_told_with_its_example() -> None:
    said = codes(made([5.0] * 100, errors=[6] * 3 + [0] * 97))
    assert "3 requests (3.0%) failed with read_timeout, for example an example" in said["errors-read-timeout"]
