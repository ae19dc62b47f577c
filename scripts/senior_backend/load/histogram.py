"""Histograms of nanoseconds with a relative error below 0.02 %, made and merged at C speed.

A bucket is named by the upper 24 bits of the value's IEEE 754 double: sign, exponent and 12 bits of mantissa. Bucket
widths are therefore at most 2**-12 of the value, any value fits, and bucketing a whole array is a few slices of its
bytes instead of arithmetic in Python.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SHIFT = 40
_WORD = next(code for code in "IL" if array(code).itemsize == 4)
_TOP, _MIDDLE, _LOW = (7, 6, 5) if sys.byteorder == "little" else (0, 1, 2)


def bucket_of(value: float) -> int:
    """Return the bucket of one value (not negative)."""
    return int(struct.unpack("<Q", struct.pack("<d", value))[0]) >> _SHIFT


def bucket_middle(bucket: int) -> float:
    """Return the value that stands for a bucket: the middle of its range."""
    low, high = (float(struct.unpack("<d", struct.pack("<Q", edge << _SHIFT))[0]) for edge in (bucket, bucket + 1))
    return (low + high) / 2


def fold(values: array[int]) -> Counter[int]:
    """Count the values by bucket. Values are nanoseconds, not negative; integers up to 2**53 are exact beforehand."""
    raw = array("d", values).tobytes()
    words = bytearray(4 * len(values))
    little = sys.byteorder == "little"
    for place, byte in zip((0, 1, 2) if little else (3, 2, 1), (_LOW, _MIDDLE, _TOP), strict=True):
        words[place::4] = raw[byte::8]
    return Counter(array(_WORD, bytes(words)))


class Histogram:
    """Counts by bucket, with exact count, sum, least and greatest value."""

    __slots__ = ("_cumulated", "_ordered", "counts", "greatest", "least", "total", "total_value")

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.total = 0
        self.total_value = 0
        self.least: int | None = None
        self.greatest: int | None = None
        self._ordered: list[int] = []
        self._cumulated: list[int] = []

    @classmethod
    def of(cls, values: Iterable[int]) -> Histogram:
        """Return the histogram of the values."""
        histogram = cls()
        histogram.add(values if isinstance(values, array) else array("q", values))
        return histogram

    def add(self, values: array[int]) -> None:
        """Count more values."""
        if not values:
            return
        self.counts.update(fold(values))
        self.total += len(values)
        self.total_value += sum(values)
        least, greatest = min(values), max(values)
        self.least = least if self.least is None else min(self.least, least)
        self.greatest = greatest if self.greatest is None else max(self.greatest, greatest)
        self._ordered = []

    def merge(self, other: Histogram) -> None:
        """Add the counts of another histogram; merging loses nothing."""
        if other.least is None or other.greatest is None:
            return
        self.counts.update(other.counts)
        self.total += other.total
        self.total_value += other.total_value
        self.least = other.least if self.least is None else min(self.least, other.least)
        self.greatest = other.greatest if self.greatest is None else max(self.greatest, other.greatest)
        self._ordered = []

    def value_at(self, rank: int) -> float:
        """Return the value with this rank (0 is the least)."""
        if not self.total:
            raise ValueError("no values")
        if rank <= 0 and self.least is not None:
            return self.least
        if rank >= self.total - 1 and self.greatest is not None:
            return self.greatest
        if not self._ordered:
            self._ordered = sorted(self.counts)
            running = 0
            self._cumulated = []
            for bucket in self._ordered:
                running += self.counts[bucket]
                self._cumulated.append(running)
        from bisect import bisect_right

        value = bucket_middle(self._ordered[bisect_right(self._cumulated, rank)])
        return min(max(value, self.least or 0), self.greatest or value)

    def to_json(self) -> dict[str, object]:
        """Return the histogram as sparse pairs; buckets are written as differences, which compress well."""
        pairs: list[int] = []
        previous = 0
        for bucket in sorted(self.counts):
            pairs += (bucket - previous, self.counts[bucket])
            previous = bucket
        return {"total": self.total, "sum": self.total_value, "min": self.least, "max": self.greatest, "pairs": pairs}

    @classmethod
    def from_json(cls, document: Mapping[str, object]) -> Histogram:
        """Read what `to_json` wrote; raise ValueError where it does not add up."""
        histogram = cls()
        pairs, total = document.get("pairs"), document.get("total")
        if not isinstance(pairs, list) or len(pairs) % 2 or not all(isinstance(item, int) for item in pairs):
            raise ValueError("pairs of a histogram are an even number of integers")
        bucket = 0
        for step, count in zip(pairs[::2], pairs[1::2], strict=True):
            bucket += step
            if count <= 0 or step < 0:
                raise ValueError("a bucket of a histogram is out of order or empty")
            histogram.counts[bucket] += count
        histogram.total = sum(histogram.counts.values())
        least, greatest, value = document.get("min"), document.get("max"), document.get("sum")
        if histogram.total != total or not isinstance(value, int):
            raise ValueError("the total of a histogram differs from its counts")
        if histogram.total and not (isinstance(least, int) and isinstance(greatest, int)):
            raise ValueError("a histogram has no least or greatest value")
        histogram.total_value = value
        histogram.least = least if isinstance(least, int) else None
        histogram.greatest = greatest if isinstance(greatest, int) else None
        return histogram
