"""The samples of a run: one row for each request, in columns of nanoseconds; the overflow in histograms."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass, field
from itertools import compress
from typing import TYPE_CHECKING, Literal

from senior_backend.load.histogram import Histogram
from senior_backend.load.model import NANOSECONDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Column = Literal["response", "service", "lag", "wait", "first_byte"]
ROW_COLUMNS = ("intended", "lag", "wait", "first_byte", "response", "status", "request", "error")
COLUMNS: tuple[Column, ...] = ("response", "service", "lag", "wait", "first_byte")

TAIL_SAMPLES = 10
"""A percentile is told only with at least this many samples beyond it: p99.9 needs 10,000."""

SORTED_VALUES = 1_000_000
"""Up to here quantiles come from sorted values; more are folded, which takes a fortieth of the memory."""


class Distribution:
    """Values of one column, for quantiles: exact (sorted), or folded with an error below 0.02 %."""

    __slots__ = ("_histogram", "_sorted")

    def __init__(self, values: Iterable[int], folded: Histogram | None = None) -> None:
        column = values if isinstance(values, array) else array("q", values)
        self._sorted: list[int] | None = None
        self._histogram: Histogram | None = None
        if len(column) > SORTED_VALUES or (folded is not None and folded.total):
            self._histogram = Histogram.of(column)
            if folded is not None:
                self._histogram.merge(folded)
        else:
            self._sorted = sorted(column)

    @property
    def count(self) -> int:
        """Return the number of values."""
        if self._sorted is not None:
            return len(self._sorted)
        return self._histogram.total if self._histogram else 0

    @property
    def exact(self) -> bool:
        """Whether quantiles are exact."""
        return self._sorted is not None

    @property
    def mean(self) -> float | None:
        """Return the mean in nanoseconds, exact in both forms; None without values."""
        if not self.count:
            return None
        if self._sorted is not None:
            return sum(self._sorted) / len(self._sorted)
        return self._histogram.total_value / self._histogram.total if self._histogram else None

    @property
    def greatest(self) -> float | None:
        """Return the greatest value in nanoseconds, exact in both forms; None without values."""
        return self.at(1.0)

    @property
    def least(self) -> float | None:
        """Return the least value in nanoseconds; None without values."""
        return self.at(0.0)

    def at(self, share: float) -> float | None:
        """Return the quantile in nanoseconds: the least value that `share` of all values do not exceed."""
        if not self.count:
            return None
        rank = max(0, math.ceil(share * self.count - 1e-9) - 1)
        if self._sorted is not None:
            return self._sorted[min(rank, len(self._sorted) - 1)]
        return self._histogram.value_at(rank) if self._histogram else None

    def guarded(self, share: float) -> float | None:
        """Return the quantile, or None where there are not enough samples beyond it to tell it."""
        return self.at(share) if self.count and enough(self.count, share) else None

    def histogram(self) -> Histogram:
        """Return the values as a histogram."""
        return self._histogram if self._histogram is not None else Histogram.of(self._sorted or ())


def enough(count: int, share: float) -> bool:
    """Whether `count` samples can tell the quantile `share`; 0 and 1 (least and greatest) need one."""
    return count > 0 if share in (0.0, 1.0) else count * (1 - share) >= TAIL_SAMPLES - 1e-6


def needed(share: float) -> int:
    """Return how many samples the quantile `share` needs."""
    return math.ceil(TAIL_SAMPLES / (1 - share) - 1e-6) if share < 1 else 1


@dataclass(slots=True)
class Folded:
    """The overflow beyond `Plan.exact_samples`: histograms by column, by request, and by second of intended start."""

    columns: dict[Column, Histogram] = field(default_factory=lambda: {column: Histogram() for column in COLUMNS})
    requests: dict[int, Histogram] = field(default_factory=dict)
    """Response time by request index."""
    seconds: dict[int, Histogram] = field(default_factory=dict)
    """Response time by second of the run."""
    failed_seconds: dict[int, int] = field(default_factory=dict)
    failed_requests: dict[int, int] = field(default_factory=dict)
    errors: dict[int, int] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """Return the number of folded requests."""
        return self.columns["response"].total


@dataclass(slots=True)
class Samples:
    """Columns of equal length, in order of completion; `_ns` of the run's start for `intended`.

    `lag` is intended to noticed (the generator's fault), `wait` is noticed to sent (no free connection), `first_byte`
    is sent to first byte, `response` is intended to last byte. A failed request has the time until it failed; `status`
    is 0 without a response, `error` an `ErrorKind`.
    """

    intended: array[int] = field(default_factory=lambda: array("q"))
    lag: array[int] = field(default_factory=lambda: array("q"))
    wait: array[int] = field(default_factory=lambda: array("q"))
    first_byte: array[int] = field(default_factory=lambda: array("q"))
    response: array[int] = field(default_factory=lambda: array("q"))
    status: array[int] = field(default_factory=lambda: array("H"))
    request: array[int] = field(default_factory=lambda: array("H"))
    error: array[int] = field(default_factory=lambda: array("B"))
    connects: array[int] = field(default_factory=lambda: array("q"))
    """TCP connect time of each opened connection."""
    handshakes: array[int] = field(default_factory=lambda: array("q"))
    """TLS handshake time of each opened connection, after the TCP connect."""
    folded: Folded | None = None

    def __len__(self) -> int:
        return len(self.response) + (self.folded.total if self.folded else 0)

    @property
    def service(self) -> array[int]:
        """Return sent to last byte; 0 for requests that were never sent."""
        return array(
            "q",
            (max(0, total - lag - wait) for total, lag, wait in zip(self.response, self.lag, self.wait, strict=True)),
        )

    def column(self, name: Column) -> array[int]:
        """Return a column of the exact rows."""
        values: array[int] = getattr(self, name)
        return values

    def distribution(self, name: Column = "response", request: int | None = None) -> Distribution:
        """Return the distribution of a column, of all requests or of one (response time only, where folded)."""
        values: Iterable[int] = self.column(name)
        if request is None:
            return Distribution(values, self.folded.columns[name] if self.folded else None)
        values = compress(values, (index == request for index in self.request))
        return Distribution(values, self.folded.requests.get(request) if self.folded and name == "response" else None)

    def where(self, keep: Sequence[bool]) -> Samples:
        """Return the exact rows for which `keep` holds; connect times and folded rows are kept as they are."""
        kept = Samples(connects=self.connects, handshakes=self.handshakes, folded=self.folded)
        for name in ROW_COLUMNS:
            values = getattr(self, name)
            setattr(kept, name, array(values.typecode, compress(values, keep)))
        return kept

    def extend(self, other: Samples) -> None:
        """Append the rows of another run with the same start, as of another process."""
        for name in (*ROW_COLUMNS, "connects", "handshakes"):
            getattr(self, name).extend(getattr(other, name))
        if other.folded:
            self.folded = merge_folded(self.folded or Folded(), other.folded)

    def by_second(self) -> dict[int, Distribution]:
        """Return response times by second of the intended start."""
        groups: dict[int, array[int]] = {}
        for intended, response in zip(self.intended, self.response, strict=True):
            second = intended // NANOSECONDS
            if second not in groups:
                groups[second] = array("q")
            groups[second].append(response)
        folded = self.folded.seconds if self.folded else {}
        return {
            second: Distribution(groups.get(second, array("q")), folded.get(second))
            for second in sorted(groups.keys() | folded.keys())
        }


def merge_folded(into: Folded, other: Folded) -> Folded:
    """Add all counts of `other` to `into`, and return it."""
    for column, histogram in other.columns.items():
        into.columns[column].merge(histogram)
    for mine, theirs in ((into.requests, other.requests), (into.seconds, other.seconds)):
        for key, histogram in theirs.items():
            mine.setdefault(key, Histogram()).merge(histogram)
    for counts, others in (
        (into.failed_seconds, other.failed_seconds),
        (into.failed_requests, other.failed_requests),
        (into.errors, other.errors),
        (into.statuses, other.statuses),
    ):
        for key, count in others.items():
            counts[key] = counts.get(key, 0) + count
    return into
