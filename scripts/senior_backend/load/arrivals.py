"""When requests are due: arrival times from stages, by inverting the integrated rate.

The k-th arrival of a unit-rate process at integrated rate u is due at the time t with R(t) = u, where R integrates the
plan's rate. For constant arrivals u = 0, 1, 2, ...; for Poisson arrivals the differences of u are exponential with
mean 1, which makes an inhomogeneous Poisson process with exactly the planned rate.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from senior_backend.load.model import Arrivals, Plan, Stage

NANOSECONDS = 1_000_000_000


def due_times(plan: Plan) -> Iterator[int]:
    """Yield the offsets from the start of the run, in nanoseconds, at which requests are due, in order."""
    return arrival_times(plan.stages, plan.arrivals, plan.seed)


def arrival_times(stages: Sequence[Stage], arrivals: Arrivals, seed: int) -> Iterator[int]:
    """Yield arrival offsets in nanoseconds; the same arguments give the same times."""
    if arrivals == "closed":
        raise ValueError("a closed loop has no arrival times")
    draw = random.Random(seed).expovariate if arrivals == "poisson" else None  # noqa: S311 - a simulation
    unit = draw(1.0) if draw else 0.0
    start_s = 0.0
    passed = 0.0
    for stage in stages:
        expected = stage.expected
        while unit < passed + expected:
            offset = start_s + time_at(stage, unit - passed)
            yield int(offset * NANOSECONDS + 0.5)
            unit += draw(1.0) if draw else 1.0
        passed += expected
        start_s += stage.seconds


def time_at(stage: Stage, area: float) -> float:
    """Return the seconds into the stage at which its integrated rate reaches `area` (less than the whole)."""
    rate, slope = stage.start_rate, (stage.end_rate - stage.start_rate) / stage.seconds
    if abs(slope) < 1e-12:
        return area / rate
    # The stable form of the quadratic formula: also right where the slope is nearly 0 or the rate starts at 0.
    root = math.sqrt(max(0.0, rate * rate + 2 * slope * area))
    return min(stage.seconds, 2 * area / (rate + root)) if rate + root else 0.0


def rate_at(stages: Sequence[Stage], at_s: float) -> float:
    """Return the planned rate at a time, in requests per second; 0 outside the plan."""
    for stage in stages:
        if at_s < stage.seconds:
            return stage.start_rate + (stage.end_rate - stage.start_rate) * max(0.0, at_s) / stage.seconds
        at_s -= stage.seconds
    return 0.0


def expected_between(stages: Sequence[Stage], start_s: float, end_s: float) -> float:
    """Return the expected number of arrivals between two times of the plan."""
    total, offset = 0.0, 0.0
    for stage in stages:
        low, high = max(start_s, offset), min(end_s, offset + stage.seconds)
        if high > low:
            middle = rate_at((stage,), (low + high) / 2 - offset)
            total += middle * (high - low)
        offset += stage.seconds
    return total
