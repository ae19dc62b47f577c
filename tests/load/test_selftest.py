"""The self-test can fail: it must catch what other tools do wrong."""

from __future__ import annotations

from array import array

from senior_backend.load import selftest
from senior_backend.load.samples import Samples
from tests.load.test_judgement import made

STALL, RUN, RATE = 1.0, 5.0, 200.0


def truth() -> list[float]:
    """Return response times in ms of a run with a stall from 2 s to 3 s."""
    return [max(0.1, 3000.0 - place * 5) if 400 <= place < 600 else 0.1 for place in range(1000)]


def result_of(times: list[float]) -> selftest.SelfTestResult:
    return selftest.judged(made(times, gap_ms=5.0), STALL, RUN, RATE)


def test_the_truth_passes() -> None:
    assert result_of(truth()).passed


def test_a_clock_that_starts_at_sending_is_caught() -> None:
    """Ten connections: ten requests wait for the stall, the others are sent late and look quick."""
    times = [time if 400 <= place < 410 else 0.1 for place, time in enumerate(truth())]
    result = result_of(times)
    assert not result.passed
    assert [check.name for check in result.checks if not check.right] == ["p90"] + (
        ["p99"] if not result.checks[2].right else []
    )


def test_dropped_requests_are_caught() -> None:
    assert not result_of([time for place, time in enumerate(truth()) if not 420 <= place < 600]).passed


def test_back_filled_samples_are_caught() -> None:
    assert not result_of([max(time, 768.0) for time in truth()]).passed


def test_a_disturbed_generator_proves_nothing() -> None:
    run = made(truth(), gap_ms=5.0)
    run.samples.lag = array("q", [200_000_000] * 1000)
    assert isinstance(run.samples, Samples)
    assert not selftest.judged(run, STALL, RUN, RATE).valid
