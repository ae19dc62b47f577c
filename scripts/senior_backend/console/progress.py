"""Progress of long work on standard error: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Callable

BAR_WIDTH = 24
TERMINAL_INTERVAL = 0.1
LOG_INTERVAL = 5.0


class Progress:
    """A counter from 0 to `total` with a label; `total` may be None where the end is not known.

    Nothing is printed for work that ends before the first interval has passed, except on a terminal.
    """

    def __init__(
        self,
        label: str,
        total: float | None = None,
        *,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.label = label
        self.total = total
        self._stream = stream or sys.stderr
        self._clock = clock
        self._terminal = self._stream.isatty()
        self._interval = TERMINAL_INTERVAL if self._terminal else LOG_INTERVAL
        self._last = clock()
        self._shown = False

    def update(self, done: float, note: str = "") -> None:
        """Show that `done` of `total` is reached, at most once an interval."""
        now = self._clock()
        if now - self._last < self._interval:
            return
        self._last = now
        self._shown = True
        line = self._line(done, note)
        self._stream.write(f"\r\x1b[K{line}" if self._terminal else f"{line}\n")
        self._stream.flush()

    def close(self) -> None:
        """Clear the bar of a terminal."""
        if self._terminal and self._shown:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _line(self, done: float, note: str) -> str:
        tail = f"  {note}" if note else ""
        if not self.total:
            return f"{self.label}: {done:g}{tail}"
        share = min(done / self.total, 1.0)
        if not self._terminal:
            return f"{self.label}: {share:.0%}{tail}"
        full = round(share * BAR_WIDTH)
        return f"{self.label} [{'#' * full}{'.' * (BAR_WIDTH - full)}] {share:4.0%}{tail}"
