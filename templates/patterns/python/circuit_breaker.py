"""Circuit breaker: error rate over a sliding window, one probe at a time when half open.

Guarantees: opens when at least `rate` of at least `volume` calls in the last `window` seconds failed; while open,
    refuses at once; after `cooldown` lets `probes` calls through one after the other, closes when all succeed and
    opens again at the first failure. Clock jumps do not matter (monotonic clock).
Needs: the standard library. One instance for each dependency; safe within one event loop.
Fails: `Open` tells in how many seconds to ask again. Only what `is_failure` accepts counts: 4xx and business errors
    say nothing about the dependency's health. A cancelled call counts neither way.
Prove: pytest test_circuit_breaker.py

M. Nygard, "Release It!", second edition, chapter 5.
"""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

T = TypeVar("T")


class Open(Exception):  # noqa: N818 - an outcome
    """The dependency is not called; `retry_after` is in seconds."""

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"circuit open for {retry_after:.1f} s")
        self.retry_after = retry_after


class CircuitBreaker:
    """`rate` is a share from 0 to 1, `window` and `cooldown` are seconds."""

    def __init__(
        self,
        *,
        is_failure: Callable[[Exception], bool],
        rate: float = 0.5,
        volume: int = 20,
        window: float = 10.0,
        cooldown: float = 10.0,
        probes: int = 2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._is_failure, self._rate, self._volume = is_failure, rate, volume
        self._window, self._cooldown, self._probes, self._clock = window, cooldown, probes, clock
        self._calls: deque[tuple[float, bool]] = deque()
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False
        self._probes_passed = 0

    @property
    def state(self) -> str:
        """`closed`, `open` or `half_open`; export it as a metric."""
        if self._opened_at is None:
            return "closed"
        return "half_open" if self._clock() - self._opened_at >= self._cooldown else "open"

    async def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Call `function` unless the circuit is open.

        Raises:
            Open: it was not called.
            Exception: what the function raised.
        """
        opened_at = self._opened_at
        if opened_at is not None:
            wait = self._cooldown - (self._clock() - opened_at)
            if wait > 0 or self._probing:
                raise Open(max(wait, 0.1))
            self._probing = True
        try:
            result = await function()
        except Exception as error:
            self._record(opened_at, failed=self._is_failure(error))
            raise
        else:
            self._record(opened_at, failed=False)
            return result
        finally:
            if opened_at is not None and opened_at == self._opened_at:
                self._probing = False

    def _record(self, opened_at: float | None, *, failed: bool) -> None:
        # A call that began in another state is yesterday's news.
        if opened_at != self._opened_at:
            return
        now = self._clock()
        if opened_at is not None:
            self._probes_passed = 0 if failed else self._probes_passed + 1
            if failed:
                self._open(now)
            elif self._probes_passed >= self._probes:
                self._opened_at, self._probing = None, False
                self._calls.clear()
                self._failures = 0
            return
        self._calls.append((now, failed))
        self._failures += failed
        while self._calls and self._calls[0][0] <= now - self._window:
            self._failures -= self._calls.popleft()[1]
        if failed and len(self._calls) >= self._volume and self._failures >= self._rate * len(self._calls):
            self._open(now)

    def _open(self, now: float) -> None:
        self._opened_at, self._probing, self._probes_passed = now, False, 0
