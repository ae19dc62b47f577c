"""Where the engine puts what it measured: rows of raw clock readings, turned into samples after the run.

A row is six integers in one flat list, because extending a list with a tuple is the cheapest way in Python to keep
six numbers (60 ns); every few hundred rows they move into typed arrays. Subtractions wait until the run is over.
"""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from itertools import compress
from operator import not_, sub
from typing import TYPE_CHECKING

from senior_backend.load.histogram import Histogram
from senior_backend.load.model import NANOSECONDS
from senior_backend.load.samples import Folded, Samples

if TYPE_CHECKING:
    from collections.abc import Iterable

WIDTH = 6
"""Intended, noticed, sent, first byte, done (clock readings), and meta."""
FLUSH_ROWS = 256
LIVE_SAMPLE = 2000

_LITTLE = sys.byteorder == "little"


def pack_meta(request: int, status: int, error: int) -> int:
    """Return what a row says besides times, in one integer."""
    return request << 32 | status << 16 | error


class Recorder:
    """Rows of one run. The engine extends `rows` itself and calls `flush` when enough have come together."""

    __slots__ = ("_columns", "_folded", "_limit", "_mark", "_warm_end", "base", "folded_warmup", "rows", "seen")

    def __init__(self, limit: int) -> None:
        self.rows: list[int] = []
        self.base = 0
        self.seen = 0
        self.folded_warmup = 0
        self._limit = limit
        self._columns = [array("q") for _ in range(WIDTH)]
        self._folded: Folded | None = None
        self._warm_end = 0
        self._mark = 0

    def start(self, base: int, warmup_s: float) -> None:
        """Set the clock reading of the run's start."""
        self.base = base
        self._warm_end = base + int(warmup_s * NANOSECONDS)

    def flush(self) -> None:
        """Move the rows into the columns, or fold them when the limit is passed."""
        rows = self.rows
        if not rows:
            return
        self.seen += len(rows) // WIDTH
        columns = self._columns
        if len(columns[0]) >= self._limit:
            self._fold([rows[place::WIDTH] for place in range(WIDTH)])
        else:
            for place, column in enumerate(columns):
                column.fromlist(rows[place::WIDTH])
        rows.clear()

    def recent(self) -> list[int]:
        """Return response times of requests since the last call, at most about `LIVE_SAMPLE` of them."""
        self.flush()
        intended, done = self._columns[0], self._columns[4]
        new = len(done) - self._mark
        step = max(1, new // LIVE_SAMPLE)
        start, self._mark = self._mark, len(done)
        return list(map(sub, done[start::step], intended[start::step])) if new else []

    def _fold(self, parts: list[list[int]]) -> None:
        measured = [moment >= self._warm_end for moment in parts[0]]
        self.folded_warmup += len(measured) - sum(measured)
        parts = [list(compress(part, measured)) for part in parts]
        rows = Samples()
        _fill(rows, [array("q", part) for part in parts], self.base)
        self._folded = self._folded or Folded()
        fold_rows(rows, self._folded)

    def finish(self) -> tuple[Samples, Samples]:
        """Return the measured samples and those of the warm-up; the recorder is empty afterwards."""
        self.flush()
        columns, self._columns = self._columns, [array("q") for _ in range(WIDTH)]
        samples, warm_up = Samples(folded=self._folded), Samples()
        if self._warm_end > self.base:
            measured = [moment >= self._warm_end for moment in columns[0]]
            _fill(warm_up, [array("q", compress(column, map(not_, measured))) for column in columns], self.base)
            columns = [array("q", compress(column, measured)) for column in columns]
        _fill(samples, columns, self.base)
        return samples, warm_up


def _fill(samples: Samples, columns: list[array[int]], base: int) -> None:
    """Turn clock readings into the columns of `samples`."""
    intended, noticed, sent, first, done, meta = columns
    samples.lag = array("q", map(sub, noticed, intended))
    samples.wait = array("q", map(sub, sent, noticed))
    samples.first_byte = array("q", map(sub, first, sent))
    samples.response = array("q", map(sub, done, intended))
    samples.intended = array("q", [moment - base for moment in intended])
    raw = meta.tobytes()
    samples.error = array("B", raw[0 if _LITTLE else 7 :: 8])
    samples.status = _halves(raw, 2 if _LITTLE else 4)
    samples.request = _halves(raw, 4 if _LITTLE else 2)


def _halves(raw: bytes, place: int) -> array[int]:
    """Return the 16-bit numbers at a byte offset of each 64-bit word."""
    joined = bytearray(len(raw) // 4)
    joined[0::2] = raw[place::8]
    joined[1::2] = raw[place + 1 :: 8]
    return array("H", bytes(joined))


def fold_rows(rows: Samples, into: Folded) -> None:
    """Count exact rows in the histograms of `into`."""
    for name, histogram in into.columns.items():
        histogram.add(rows.column(name))
    for values, counts in ((rows.error, into.errors), (rows.status, into.statuses)):
        for value, count in Counter(values).items():
            counts[value] = counts.get(value, 0) + count
    for key_of, groups, failures in (
        (rows.request, into.requests, into.failed_requests),
        ([moment // NANOSECONDS for moment in rows.intended], into.seconds, into.failed_seconds),
    ):
        _group(key_of, rows.response, groups)
        for key, failed in zip(key_of, rows.error, strict=True):
            if failed:
                failures[key] = failures.get(key, 0) + 1


def _group(keys: Iterable[int], values: array[int], groups: dict[int, Histogram]) -> None:
    parts: dict[int, array[int]] = {}
    for key, value in zip(keys, values, strict=True):
        parts.setdefault(key, array("q")).append(value)
    for key, part in parts.items():
        groups.setdefault(key, Histogram()).add(part)
