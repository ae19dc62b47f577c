"""Readiness of sockets and precise sleep: epoll on Linux, the best selector elsewhere (kqueue on macOS).

Events are bit masks as epoll's: 1 readable, 4 writable, 8 error, 16 hang-up.
"""

from __future__ import annotations

import contextlib
import select
import selectors
import sys
import time
from typing import Protocol

READABLE = 1
WRITABLE = 4

SLEEP_TRIALS = 60
SLEEP_SECONDS = 100e-6
LEAST_MARGIN_S = 20e-6
GREATEST_MARGIN_S = 120e-6
PRECISE_MARGIN_S = 400e-6
"""Bounds of how long before a due time the loop wakes up and spins. The upper bound keeps the CPU at 1,000 requests
per second under a fifth of a core, since the target usually shares the machine."""


class Poller(Protocol):
    """What the loop needs of a readiness interface."""

    def register(self, fd: int, mask: int) -> None:
        """Watch a descriptor."""

    def modify(self, fd: int, mask: int) -> None:
        """Change what is watched."""

    def unregister(self, fd: int) -> None:
        """Stop watching; must be called before the descriptor is closed."""

    def poll(self, timeout_s: float, most: int) -> list[tuple[int, int]]:
        """Return at most about `most` ready descriptors with their events, after at most `timeout_s`."""

    def wait(self, seconds: float) -> None:
        """Return when something is ready or the time (with microseconds) is over."""

    def close(self) -> None:
        """Give up the interface's own descriptor."""


class EpollPoller:
    """Linux: `epoll` for readiness; `select` on the epoll descriptor for sleeps finer than a millisecond."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._descriptors = [self._epoll.fileno()]
        self._low = self._epoll.fileno() < 1024
        self.register = self._epoll.register
        self.modify = self._epoll.modify
        self.poll = self._epoll.poll

    def unregister(self, fd: int) -> None:
        """Stop watching."""
        with contextlib.suppress(OSError, ValueError):
            self._epoll.unregister(fd)

    def wait(self, seconds: float) -> None:
        """Sleep until an event or for that time; without events `select` is exact to about 0.1 ms."""
        if self._low:
            select.select(self._descriptors, (), (), seconds)
        else:
            self._epoll.poll(seconds)

    def close(self) -> None:
        """Close the epoll descriptor."""
        self._epoll.close()


class SelectorPoller:
    """Everywhere else: the platform's best selector behind the same interface."""

    def __init__(self, selector: selectors.BaseSelector | None = None) -> None:
        self._selector = selector or selectors.DefaultSelector()

    def register(self, fd: int, mask: int) -> None:
        """Watch a descriptor."""
        self._selector.register(fd, _selector_events(mask))

    def modify(self, fd: int, mask: int) -> None:
        """Change what is watched."""
        self._selector.modify(fd, _selector_events(mask))

    def unregister(self, fd: int) -> None:
        """Stop watching."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(fd)

    def poll(self, timeout_s: float, most: int) -> list[tuple[int, int]]:
        """Return ready descriptors."""
        return [
            (
                key.fd,
                (READABLE if events & selectors.EVENT_READ else 0)
                | (WRITABLE if events & selectors.EVENT_WRITE else 0),
            )
            for key, events in self._selector.select(timeout_s)[:most]
        ]

    def wait(self, seconds: float) -> None:
        """Sleep until an event or for that time."""
        if self._selector.get_map():
            self._selector.select(seconds)
        else:
            time.sleep(seconds)

    def close(self) -> None:
        """Close the selector."""
        self._selector.close()


def _selector_events(mask: int) -> int:
    return (selectors.EVENT_READ if mask & READABLE else 0) | (selectors.EVENT_WRITE if mask & WRITABLE else 0)


def make_poller() -> Poller:
    """Return the platform's poller."""
    return EpollPoller() if hasattr(select, "epoll") else SelectorPoller()


def sharpen_sleep() -> None:
    """Ask Linux for timer slack of 1 ns instead of 50 us; without effect elsewhere or where it is not allowed."""
    if not sys.platform.startswith("linux"):
        return
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(29, 1, 0, 0, 0)  # PR_SET_TIMERSLACK, prctl(2)


def sleep_margin_ns(poller: Poller, *, precise: bool = False) -> int:
    """Return how long before a due time to stop sleeping: the 90th percentile of measured oversleep, bounded."""
    if precise:
        return int(PRECISE_MARGIN_S * 1e9)
    over = []
    for _ in range(SLEEP_TRIALS):
        started = time.perf_counter()
        poller.wait(SLEEP_SECONDS)
        over.append(time.perf_counter() - started - SLEEP_SECONDS)
    margin = sorted(over)[int(0.9 * SLEEP_TRIALS)]
    return int(min(max(margin, LEAST_MARGIN_S), GREATEST_MARGIN_S) * 1e9)
