from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from senior_backend.load.arrivals import arrival_times, expected_between, rate_at
from senior_backend.load.model import Stage

RAMP = (Stage(2.0, 0.0, 100.0), Stage(1.0, 100.0, 100.0), Stage(2.0, 100.0, 0.0), Stage(0.5, 400.0, 400.0))


def seconds(stages: tuple[Stage, ...], arrivals: str, seed: int = 1) -> list[float]:
    return [offset / 1e9 for offset in arrival_times(stages, arrivals, seed)]  # type: ignore[arg-type]


def test_constant_arrivals_are_evenly_spaced() -> None:
    times = seconds((Stage(1.0, 10, 10),), "constant")
    assert times == pytest.approx([number / 10 for number in range(10)], abs=1e-8)


def test_a_ramp_has_the_planned_number_in_every_part() -> None:
    times = seconds(RAMP, "constant")
    assert len(times) == pytest.approx(sum(stage.expected for stage in RAMP), abs=1)
    for start, end in ((0, 1), (1, 2), (2, 3), (3, 5), (5, 5.5)):
        inside = sum(1 for time in times if start <= time < end)
        assert inside == pytest.approx(expected_between(RAMP, start, end), abs=2), (start, end)


def test_rates_between_stages() -> None:
    assert rate_at(RAMP, 1.0) == 50
    assert rate_at(RAMP, 2.5) == 100
    assert rate_at(RAMP, 4.0) == 50
    assert rate_at(RAMP, 5.1) == 400
    assert rate_at(RAMP, 9.0) == 0


def test_poisson_gaps_are_exponential() -> None:
    """Kolmogorov-Smirnov distance of the gaps to the exponential distribution, and the mean of the counts."""
    times = seconds((Stage(50.0, 200, 200),), "poisson")
    gaps = sorted(after - before for before, after in pairwise(times))
    distance = max(abs((rank + 1) / len(gaps) - (1 - math.exp(-200 * gap))) for rank, gap in enumerate(gaps))
    assert distance < 1.63 / math.sqrt(len(gaps))
    assert abs(len(times) - 10_000) < 4 * math.sqrt(10_000)


def test_a_metronome_would_fail_the_poisson_test() -> None:
    gaps = [after - before for before, after in pairwise(seconds((Stage(50.0, 200, 200),), "constant"))]
    distance = max(abs((rank + 1) / len(gaps) - (1 - math.exp(-200 * gap))) for rank, gap in enumerate(sorted(gaps)))
    assert distance > 0.3


def test_the_seed_decides() -> None:
    assert seconds(RAMP, "poisson", 3) == seconds(RAMP, "poisson", 3)
    assert seconds(RAMP, "poisson", 3) != seconds(RAMP, "poisson", 4)


@given(
    st.lists(
        st.tuples(st.floats(0.05, 5), st.floats(0, 300), st.floats(0, 300)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["poisson", "constant"]),
)
def test_times_are_in_order_and_inside_the_plan(parts: list[tuple[float, float, float]], arrivals: str) -> None:
    stages = tuple(Stage(*part) for part in parts)
    times = seconds(stages, arrivals)
    assert times == sorted(times)
    assert all(0 <= time <= sum(stage.seconds for stage in stages) for time in times)
    if arrivals == "constant":
        assert abs(len(times) - sum(stage.expected for stage in stages)) <= 1.001
