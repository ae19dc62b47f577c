"""What is reported against what is known: stalls, queues with theory behind them, the self-test, lateness.

A machine that is disturbed shows it in the schedule lag. A run whose own lag is high is repeated, a few times at
most; the bounds are never widened.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from typing import Any

import pytest

from senior_backend.load import selftest
from senior_backend.load.arrivals import arrival_times
from senior_backend.load.model import Stage
from tests.load import harness
from tests.load.harness import server

pytestmark = [pytest.mark.timing, pytest.mark.light, pytest.mark.slow]

TRIES = 4
LAG_MS = 2.0
"""Above this 99th percentile of its own lag, a run is repeated."""
SHARES = (0.5, 0.9, 0.99, 0.999, 1.0)


def measured(arguments: list[str], rate: float, seconds: float, options: dict[str, Any]) -> dict[str, Any]:
    """Run in this process; return plain figures in milliseconds."""
    with server(*arguments) as port:
        result = harness.run(port, rate, seconds, **options)
    response, lag = result.samples.distribution(), result.samples.distribution("lag")
    return {
        "count": response.count,
        "errors": len(result.errors),
        "at": {share: (response.at(share) or 0.0) / 1e6 for share in SHARES},
        "mean": (response.mean or 0.0) / 1e6,
        "idle": (response.at(0.2) or 0.0) / 1e6,
        "lag": (lag.at(0.99) or 0.0) / 1e6,
    }


def side_by_side(*runs: tuple[list[str], float, float, dict[str, Any]]) -> list[dict[str, Any]]:
    """Carry out quiet runs at the same time in processes of their own, repeated while one was disturbed."""
    context = multiprocessing.get_context("fork")
    results: list[dict[str, Any]] = []
    for _ in range(TRIES):
        with context.Pool(len(runs)) as pool:
            results = pool.starmap(measured, runs)
        if all(result["lag"] <= LAG_MS for result in results):
            break
    return results


def close(seen_ms: float, truth_ms: float) -> bool:
    return abs(seen_ms - truth_ms) <= max(0.02 * truth_ms, 5.0)


def test_a_stall_of_two_seconds_is_told_as_it_was() -> None:
    """The statement of the issue: 2 s in 10 s at 200 rps, with 10 and with 20 connections."""
    stall = ["queue", "--stall-at", "4", "--stall-for", "2"]
    runs = [(stall, 200.0, 10.0, {"connections": cap, "arrivals": "constant"}) for cap in (10, 20)]
    for result in side_by_side(*runs):
        assert result["count"] == 2000
        assert not result["errors"]
        for share, seen in result["at"].items():
            assert close(seen, selftest.truth_ms(share, 2.0, 10.0)), (share, result)


def sojourns(rate: float, seconds: float, mean_s: float, seed: int, *, exponential: bool) -> list[float]:
    """Return the times in the system of a single-server queue, by Lindley's recursion, in milliseconds."""
    draw = random.Random(f"service {seed}")  # not the arrivals' seed: equal draws would be correlated
    free, times = 0.0, []
    for offset in arrival_times((Stage(seconds, rate, rate),), "poisson", seed):
        now = offset / 1e9
        free = max(free, now) + (draw.expovariate(1 / mean_s) if exponential else mean_s)
        times.append((free - now) * 1000)
    return sorted(times)


def at(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


@pytest.mark.parametrize("exponential", [True, False], ids=["exponential", "fixed"])
def test_the_theory_of_the_bands_is_right(exponential: bool) -> None:
    """The recursion against closed formulas: W = 1/(mu - lambda), and Pollaczek-Khinchine for fixed service."""
    rate, mean_s = 200.0, 0.003
    load = rate * mean_s
    theory = mean_s / (1 - load) if exponential else mean_s + load * mean_s / (2 * (1 - load))
    times = sojourns(rate, 1000.0, mean_s, 3, exponential=exponential)
    assert sum(times) / len(times) == pytest.approx(theory * 1000, rel=0.04)


OVERHEAD_MS = 0.4
"""What two processes and the loopback network may add to a request."""


def undisturbed_queues(
    *runs: tuple[list[str], float, float, dict[str, Any]], service_ms: float
) -> list[dict[str, Any]]:
    """Carry out runs of which the last has a fixed service time, repeated while the servers were disturbed.

    At 60 % load, 40 % of the requests find the server idle: what the fastest fifth takes beyond the service time is not
    queueing, and says nothing about how a queue is reported.
    """
    results: list[dict[str, Any]] = []
    for _ in range(TRIES):
        results = side_by_side(*runs)
        if results[-1]["idle"] <= service_ms + OVERHEAD_MS:
            break
    return results


def test_queues_with_poisson_arrivals_are_inside_their_confidence_bands() -> None:
    """M/M/1 and M/D/1 at 60 % load: mean and p99 between the 0.5th and 99.5th percentile of 300 simulated runs.

    The band is computed for runs of this length.
    """
    rate, seconds, mean_s = 200.0, 10.0, 0.003
    modes = {True: ["--exponential"], False: []}
    runs = [
        (["queue", "--service-ms", str(mean_s * 1000), *extra], rate, seconds, {"connections": 100, "seed": 11})
        for extra in modes.values()
    ]
    for exponential, result in zip(modes, undisturbed_queues(*runs, service_ms=mean_s * 1000), strict=True):
        simulated = [sojourns(rate, seconds, mean_s, 1000 + seed, exponential=exponential) for seed in range(300)]
        for seen, values in (
            (result["mean"], sorted(sum(times) / len(times) for times in simulated)),
            (result["at"][0.99], sorted(at(times, 0.99) for times in simulated)),
        ):
            least, most = at(values, 0.005), at(values, 0.995) + OVERHEAD_MS
            assert least <= seen <= most, (exponential, result, least, most)
        assert not result["errors"]


def test_constant_arrivals_hide_the_queue_that_poisson_shows() -> None:
    """Why Poisson is the default: at 80 % load a metronome sees hardly any queue."""
    work = ["queue", "--service-ms", "4"]
    poisson, constant = side_by_side(
        *((work, 200.0, 4.0, {"connections": 100, "arrivals": arrivals}) for arrivals in ("poisson", "constant"))
    )
    assert constant["at"][0.5] < 5.5
    assert poisson["at"][0.9] > 1.8 * constant["at"][0.9]


def sleeper(rate: float, seconds: float) -> float:
    """Return by how much the 99th percentile of plain absolute sleeps is late, in ms: what this machine allows."""
    start, late = time.perf_counter(), []
    for number in range(int(rate * seconds)):
        due = start + number / rate
        time.sleep(max(0.0, due - time.perf_counter()))
        late.append(time.perf_counter() - due)
    return at(sorted(late), 0.99) * 1000


def test_the_schedule_is_kept() -> None:
    """1,000 rps: lag p99 at most 1 ms on an idle core, and never more than half as late again as a mere sleep."""
    context = multiprocessing.get_context("fork")
    seen = []
    for _ in range(TRIES):
        with context.Pool(2) as pool:
            sleeping = pool.apply_async(sleeper, (1000.0, 2.0))
            result = pool.apply(measured, (["queue"], 1000.0, 2.0, {"arrivals": "constant"}))
            allowed = max(1.0, 1.5 * sleeping.get())
        assert result["count"] == 2000
        seen.append((result["lag"], allowed))
        if result["lag"] <= allowed:
            return
    raise AssertionError(seen)
