"""The server's side of a run: Prometheus metrics scraped before, during and after it, and a process's CPU and memory.

Scrapes run in a thread of their own, at most once a second; their text is only kept, and parsed after the run, so that
they do not take the generator's time.
"""

from __future__ import annotations

import itertools
import math
import re
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from senior_backend.console.errors import InputError, UnavailableError
from senior_backend.load.single import ExchangeError, exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from senior_backend.load.rails import Destination

INTERVAL_S = 1.0
MOST_SCRAPES = 120
TIMEOUT_S = 5.0
MAX_SERIES = 100_000
_SAMPLE = re.compile(
    r"(?P<name>[a-zA-Z_:][\w:]*)(?:\{(?P<labels>.*)\})?[ \t]+(?P<value>[^ \t]+)(?:[ \t]+-?\d+)?[ \t]*\Z"
)
_LABEL = re.compile(r'\s*(?P<name>[a-zA-Z_]\w*)\s*=\s*"(?P<value>(?:[^"\\]|\\.)*)"\s*,?')
_LATENCY = re.compile(
    r"(request|http|handler|server).*(duration|latency|time)|(duration|latency).*request", re.IGNORECASE
)
_QUEUE = re.compile(
    r"queue|backlog|in_?flight|in_?progress|waiting|pool.*(checked|used|size|idle)|pending", re.IGNORECASE
)
SHARES = (0.5, 0.9, 0.99)


@dataclass(frozen=True, slots=True)
class Point:
    """One scrape: when (seconds since the first), and each series' value by name and labels."""

    at_s: float
    values: Mapping[tuple[str, tuple[tuple[str, str], ...]], float]

    def total(self, name: str) -> float | None:
        """Return the sum of a metric over its labels, None where it has no series."""
        found = [value for (own, _), value in self.values.items() if own == name and not math.isnan(value)]
        return sum(found) if found else None


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds so far, and resident memory in bytes, of a process and its children."""

    at_s: float
    cpu_s: float
    rss_bytes: int


@dataclass(slots=True)
class Watched:
    """What was seen of the server."""

    points: list[Point] = field(default_factory=list)
    usage: list[Usage] = field(default_factory=list)
    failures: int = 0
    problem: str | None = None


def parse(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Return the series of Prometheus' text format 0.0.4; lines that are not samples are passed over."""
    found: dict[tuple[str, tuple[tuple[str, str], ...]], float] = {}
    for line in text.split("\n"):
        if not line or line[0] == "#":
            continue
        match = _SAMPLE.match(line.strip())
        if not match:
            continue
        try:
            value = float(match["value"])
        except ValueError:
            continue
        labels = tuple(sorted((label["name"], label["value"]) for label in _LABEL.finditer(match["labels"] or "")))
        found[match["name"], labels] = value
        if len(found) > MAX_SERIES:
            break
    return found


class Watcher:
    """Watches the server while a run goes on: `with Watcher(...) as watcher: run(); watcher.watched`."""

    def __init__(
        self,
        metrics: tuple[Destination, str] | None,
        pid: int | None,
        interval_s: float = INTERVAL_S,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.metrics, self.pid, self.interval_s, self.clock = metrics, pid, interval_s, clock
        self._raw: list[tuple[float, bytes]] = []
        self.watched = Watched()
        self.started = clock()
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="server-metrics")

    def __enter__(self) -> Watcher:
        """Take the first look, which must succeed, and start the others.

        Raises:
            UnavailableError: the metrics do not answer, or the process cannot be seen.
            InputError: what answers is not Prometheus text.
        """
        if not self.metrics and self.pid is None:
            return self
        self._look()
        if self.watched.problem:
            raise UnavailableError(
                self.watched.problem, code="metrics-unavailable", hint="Check --metrics-url and --pid."
            )
        if self.metrics and not parse(self._raw[0][1].decode("utf-8", "replace")):
            raise InputError(
                "--metrics-url has no Prometheus metrics", code="not-prometheus", hint="Usually its path is /metrics."
            )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._thread.is_alive():
            self._end.set()
            self._thread.join(TIMEOUT_S + 1)
            self._look()
            self.watched.points = [Point(at, parse(body.decode("utf-8", "replace"))) for at, body in self._raw]

    def _watch(self) -> None:
        while not self._end.wait(self.interval_s):
            self._look()

    def _look(self) -> None:
        if self.pid is not None:
            try:
                cpu_s, rss = process_usage(self.pid)
                self.watched.usage.append(Usage(self.clock() - self.started, cpu_s, rss))
            except OSError as error:
                self._failed(f"process {self.pid} cannot be seen: {error.strerror or error}")
        if self.metrics is None:
            return
        to, path = self.metrics
        lines = (
            f"GET {to.base_path}{path} HTTP/1.1",
            f"Host: {to.authority}",
            "Accept: text/plain",
            "Connection: close",
        )
        try:
            response = exchange(to.target, ("\r\n".join(lines) + "\r\n\r\n").encode(), TIMEOUT_S)
        except ExchangeError as error:
            self._failed(f"no answer from {to.url}{path}: {error}")
            return
        if response.status != 200:
            self._failed(f"{to.url}{path} answers with status {response.status}")
            return
        self._raw.append((self.clock() - self.started, response.body))

    def _failed(self, problem: str) -> None:
        self.watched.failures += 1
        self.watched.problem = self.watched.problem or problem


def process_usage(pid: int, root: Path = Path("/proc")) -> tuple[float, int]:
    """Return CPU seconds and resident bytes of a process with its descendants (a server's workers).

    Raises:
        OSError: no such process, or no /proc.
    """
    import os

    ticks, page = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
    cpu, rss = 0.0, 0
    pending, first = [pid], True
    while pending:
        current = pending.pop()
        try:
            # The name in brackets may hold spaces and brackets itself.
            fields = (root / str(current) / "stat").read_text().rpartition(")")[2].split()
            cpu += (int(fields[11]) + int(fields[12])) / ticks
            rss += int(fields[21]) * page
            for task in (root / str(current) / "task").iterdir():
                pending += [int(word) for word in (task / "children").read_text().split()]
        except OSError:
            if first:
                raise
        first = False
    return cpu, rss


def summarize(watched: Watched) -> dict[str, Any]:
    """Return the server's figures over the run; times in milliseconds, None for what its metrics do not tell."""
    found: dict[str, Any] = {"scrapes": len(watched.points), "failed_scrapes": watched.failures}
    if len(watched.points) >= 2:
        first, last = watched.points[0], watched.points[-1]
        found["latency"] = latency(first, last)
        found["gauges"] = gauges(watched.points)
        found |= _process(first, last)
        found["memory_peak_mb"] = _peak(watched.points, "process_resident_memory_bytes")
    if len(watched.usage) >= 2:
        start, end = watched.usage[0], watched.usage[-1]
        span = end.at_s - start.at_s
        # Children that ended take their CPU time with them: never below 0.
        found["cpu_cores"] = round(max(0.0, end.cpu_s - start.cpu_s) / span, 3) if span > 0 else None
        found["memory_peak_mb"] = round(max(usage.rss_bytes for usage in watched.usage) / 1e6, 1)
    return found


def _process(first: Point, last: Point) -> dict[str, Any]:
    before, after = first.total("process_cpu_seconds_total"), last.total("process_cpu_seconds_total")
    span = last.at_s - first.at_s
    if before is None or after is None or span <= 0 or after < before:
        return {}
    return {"cpu_cores": round((after - before) / span, 3)}


def _peak(points: Sequence[Point], name: str) -> float | None:
    values = [value for point in points if (value := point.total(name)) is not None]
    return round(max(values) / 1e6, 1) if values else None


def latency(first: Point, last: Point) -> list[dict[str, Any]]:
    """Return what each latency histogram counted between two scrapes, the busiest first."""
    names = {name.removesuffix("_bucket") for name, _ in last.values if name.endswith("_bucket")}
    rows = []
    for name in sorted(names):
        if not _LATENCY.search(name):
            continue
        buckets = bucket_counts(name, first, last)
        count = max(buckets.values(), default=0.0)
        if count <= 0:
            continue
        scale = 1.0 if re.search(r"_(ms|milliseconds)$", name) else 1000.0
        total = _grown(first, last, f"{name}_sum")
        row: dict[str, Any] = {"metric": name, "count": round(count)}
        row["mean_ms"] = round(total / count * scale, 3) if total is not None else None
        for share in SHARES:
            value = quantile(buckets, share)
            row[f"p{share * 100:g}_ms"] = None if value is None else round(value * scale, 3)
        rows.append(row)
    return sorted(rows, key=lambda row: -int(row["count"]))[:5]


def bucket_counts(name: str, first: Point, last: Point) -> dict[float, float]:
    """Return the cumulative counts by upper bound that a histogram gained, summed over its labels."""
    counts: dict[float, float] = {}
    for (own, labels), value in last.values.items():
        if own != f"{name}_bucket":
            continue
        bound = dict(labels).get("le")
        if bound is None:
            continue
        # A restarted server counts from zero again: then all of it is new.
        before = first.values.get((own, labels), 0.0)
        gained = value - before if value >= before else value
        limit = float(bound)
        counts[limit] = counts.get(limit, 0.0) + gained
    return counts


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """Return a quantile from cumulative buckets by straight lines within a bucket; beyond the last bound, None."""
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0:
        return None
    rank = share * total
    lower, below = 0.0, 0.0
    for bound in bounds:
        count = buckets[bound]
        if count >= rank:
            if math.isinf(bound):
                return None
            return lower + (bound - lower) * ((rank - below) / (count - below) if count > below else 1.0)
        lower, below = bound, count
    return None


def gauges(points: Sequence[Point]) -> list[dict[str, Any]]:
    """Return the gauges that tell of queueing, with their least and greatest value; those that moved first."""
    names = {name for name, _ in points[-1].values if _QUEUE.search(name)}
    rows: list[dict[str, Any]] = []
    for name in sorted(names):
        if name.endswith(("_bucket", "_sum", "_count", "_total", "_created")):
            continue
        values = [value for point in points if (value := point.total(name)) is not None]
        rows.append({"metric": name, "least": min(values), "most": max(values), "last": values[-1]})
    return sorted(rows, key=lambda row: float(row["least"]) - float(row["most"]))[:10]


def series(watched: Watched) -> dict[str, list[tuple[float, float]]]:
    """Return lines over time: CPU cores and memory in MB, from the process where it was watched, else its metrics."""
    usage = watched.usage or [
        Usage(point.at_s, cpu, int(point.total("process_resident_memory_bytes") or 0))
        for point in watched.points
        if (cpu := point.total("process_cpu_seconds_total")) is not None
    ]
    cores = [
        (after.at_s, max(0.0, after.cpu_s - before.cpu_s) / (after.at_s - before.at_s))
        for before, after in itertools.pairwise(usage)
        if after.at_s > before.at_s
    ]
    return {"cpu_cores": cores, "memory_mb": [(sample.at_s, sample.rss_bytes / 1e6) for sample in usage]}


def _grown(first: Point, last: Point, name: str) -> float | None:
    after = last.total(name)
    before = first.total(name) or 0.0
    return None if after is None else after - before if after >= before else after
