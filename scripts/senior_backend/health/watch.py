"""Repeated passes: what changed, how often each service flaps, and a history that other programs can read."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from senior_backend.console.errors import UnavailableError
from senior_backend.health.model import Result
from senior_backend.health.outputs._data import of_result, timestamp

SAMPLES = 21
"""States kept for the flap score, as Nagios does: 21 states have 20 changes between them."""
FLAPPING = 50.0
"""Percent at which a service is said to flap; Nagios' usual high threshold."""


@dataclass(slots=True)
class Track:
    """The recent states of one service."""

    states: deque[str] = field(default_factory=lambda: deque(maxlen=SAMPLES))
    since: float = 0.0
    passes: int = 0
    good: int = 0

    def add(self, state: str, now: float) -> str | None:
        """Record a state; return the one before when it is another."""
        before = self.states[-1] if self.states else None
        if before != state:
            self.since = now
        self.states.append(state)
        self.passes += 1
        self.good += state in ("up", "degraded")
        return before if before is not None and before != state else None

    def flap_score(self) -> float:
        """Return the weighted share of state changes in percent; recent changes weigh up to 1.2, old ones 0.8."""
        states = list(self.states)
        changes = len(states) - 1
        if changes < 2:
            return 0.0
        weights = [0.8 + 0.4 * index / (SAMPLES - 2) for index in range(SAMPLES - 1 - changes, SAMPLES - 1)]
        changed = sum(
            weight for weight, before, after in zip(weights, states, states[1:], strict=False) if before != after
        )
        return 100.0 * changed / (SAMPLES - 1)


class History:
    """Tracks of all services, and the JSON lines of `--history`."""

    def __init__(self, path: Path | None) -> None:
        self.tracks: dict[str, Track] = {}
        self._path = path

    def add(self, results: Sequence[Result], now: float) -> list[tuple[Result, str]]:
        """Record a pass; return the results whose state changed, with the state before.

        Raises:
            UnavailableError: the history file cannot be written.
        """
        changes = []
        lines = []
        for result in results:
            track = self.tracks.setdefault(result.service.name, Track())
            before = track.add(result.state, now)
            if before:
                changes.append((result, before))
            lines.append(json.dumps(self._line(result, before, track, now), ensure_ascii=False))
        if self._path:
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write("\n".join(lines) + "\n")
            except OSError as error:
                raise UnavailableError(
                    f"cannot write {self._path}: {error.strerror}",
                    code="not-writable",
                    where=str(self._path),
                    hint="Name a file in a folder that you can write.",
                ) from error
        return changes

    def _line(self, result: Result, before: str | None, track: Track, now: float) -> dict[str, Any]:
        whole = of_result(result)
        kept = ("name", "type", "target", "state", "reason", "detail", "causes", "phases_ms", "flaky")
        return {
            "at": timestamp(now),
            **{key: whole[key] for key in kept},
            "changed_from": before,
            "flap_score": round(track.flap_score(), 1),
        }

    def availability(self, name: str) -> float:
        """Return the share of passes in which the service was up or degraded, in percent."""
        track = self.tracks[name]
        return 100.0 * track.good / track.passes if track.passes else 0.0
