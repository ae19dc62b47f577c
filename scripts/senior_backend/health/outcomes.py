"""What goes into the engine and what comes out of it, with the times and the lag that were measured."""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from senior_backend.health.steps import Answer, Certificate, Conversation, Failure


@dataclass(slots=True)
class Phases:
    """Seconds of each phase, None for one that did not happen; all but `total` are of the last connection."""

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None
    total: float = 0.0

    def milliseconds(self) -> dict[str, float | None]:
        """Return the phases in ms, as reports show them."""
        names = ("dns", "connect", "tls", "first_byte", "total")
        return {name: None if (value := getattr(self, name)) is None else round(value * 1000, 3) for name in names}


@dataclass(slots=True)
class Job:
    """One conversation to hold; `key` comes back with its outcome. `address` is the only one of its name to use."""

    key: Any
    start: Callable[[], Conversation]
    timeout: float
    address: str = ""


@dataclass(slots=True)
class Outcome:
    """How a conversation ended, and what the checker was busy with meanwhile.

    `lag` is the longest time in seconds that the loop was late while this check was open, `active` and `same_address`
    the most checks that were open beside it, on any and on the same address.
    """

    key: Any
    result: Answer | Failure
    phases: Phases
    address: str | None = None
    certificate: Certificate | None = None
    lag: float = 0.0
    active: int = 1
    same_address: int = 1


class Lag:
    """When the loop was late, and by how much."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._values: list[float] = []

    def note(self, now: float, late: float) -> None:
        """Record that at `now` the loop was `late` seconds behind; below a millisecond is not worth keeping."""
        if late > 0.001:
            self._times.append(now)
            self._values.append(late)

    def worst_since(self, start: float) -> float:
        """Return the longest delay noted at or after `start`."""
        return max(self._values[bisect.bisect_left(self._times, start) :], default=0.0)

    def percentile(self, share: float) -> float:
        """Return the delay that `share` of the noted delays do not pass."""
        ordered = sorted(self._values)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0
