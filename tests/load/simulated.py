"""Servers in virtual time, in the place of the engine: a search of minutes takes a second, and no machine disturbs it.

The server is a queue of some workers with exact arithmetic. It may stand still now and then, refuse above a number of
requests, and become slower. What comes out is a `RunResult` like the engine's, with the plan's own arrival times, the
same gauges every 50 ms, and the same progress, so that everything after the engine is the real code.
"""

from __future__ import annotations

import heapq
import random
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from senior_backend.load.arrivals import arrival_times
from senior_backend.load.model import (
    NANOSECONDS,
    ErrorExample,
    ErrorKind,
    Gauges,
    GeneratorStats,
    Plan,
    Prepared,
    Progress,
    RunResult,
    Stage,
    StaticWorkload,
    Target,
)
from senior_backend.load.samples import Samples

if TYPE_CHECKING:
    from senior_backend.load.model import ProgressCallback

LAG_NS = 20_000
GAUGE_S = 0.05
WORKLOAD = StaticWorkload(("root",), (Prepared(b""),), (1.0,))


def fixed(seconds: float) -> Callable[[random.Random, float], float]:
    return lambda _draw, _now: seconds


def exponential(seconds: float) -> Callable[[random.Random, float], float]:
    return lambda draw, _now: draw.expovariate(1 / seconds)


def plan(
    rate: float = 1.0, seconds: float = 1.0, *, arrivals: str = "poisson", seed: int = 1, connections: int = 100
) -> Plan:
    stages = (Stage(seconds, rate, rate),)
    return Plan(Target("http", "127.0.0.1", 1), stages, arrivals=arrivals, seed=seed, connections=connections)  # type: ignore[arg-type]


@dataclass(slots=True)
class Row:
    due: float
    sent: float
    done: float
    status: int = 200


@dataclass(slots=True)
class Server:
    """`service` gives the seconds of work of a request that starts at a time; `stall` is (first, length, period)."""

    workers: int
    service: Callable[[random.Random, float], float]
    fail_above: int = 0
    stall: tuple[float, float, float] | None = None
    now: float = 0.0
    """Seconds since the server started; runs follow each other."""
    spent: float = 0.0
    draw: random.Random = field(default_factory=lambda: random.Random(7))
    free: list[float] = field(default_factory=list)

    def run(
        self,
        plan: Plan,
        _workload: object,
        progress: ProgressCallback | None = None,
        *,
        address: object = None,  # noqa: ARG002
    ) -> RunResult:
        """Stand in for `engine.run`."""
        self.free = self.free or [0.0] * self.workers
        rows = self._closed(plan) if plan.arrivals == "closed" else self._open(plan)
        stopped, end = None, plan.duration_s
        if progress and plan.arrivals != "closed":
            stopped, end = _watched(rows, end, progress)
            rows = [row for row in rows if row.due <= end]
        hard_end = end + (min(1.0, plan.grace_s) if stopped else plan.grace_s)
        elapsed = min(hard_end, max([end, *(row.done for row in rows)]))
        self.now += elapsed
        self.spent += elapsed
        return _result(plan, rows, hard_end, elapsed, stopped)

    def _open(self, plan: Plan) -> list[Row]:
        rows, busy = [], [0.0] * plan.connections
        in_system: list[float] = []
        for offset in arrival_times(plan.stages, plan.arrivals, plan.seed):
            due = offset / NANOSECONDS
            sent = max(due, heapq.heappop(busy))
            while in_system and in_system[0] <= sent:
                heapq.heappop(in_system)
            if self.fail_above and len(in_system) >= self.fail_above:
                rows.append(Row(due, sent, sent + 1e-4, 503))
            else:
                rows.append(Row(due, sent, self._done(sent)))
                heapq.heappush(in_system, rows[-1].done)
            heapq.heappush(busy, rows[-1].done)
        return rows

    def _closed(self, plan: Plan) -> list[Row]:
        rows: list[Row] = []
        while not rows or rows[-1].done < plan.duration_s:
            start = rows[-1].done if rows else 0.0
            rows.append(Row(start, start, self._done(start)))
        return rows

    def _done(self, sent: float) -> float:
        """Return when a request is answered that is sent at a time of the run."""
        start = max(self._worked(self.now + sent), heapq.heappop(self.free))
        done = start + self.service(self.draw, start)
        heapq.heappush(self.free, done)
        return self._clock(done) - self.now

    def _worked(self, at: float) -> float:
        """Return how much of the time until `at` the server did not stand still."""
        if self.stall is None or at < self.stall[0]:
            return at
        first, length, period = self.stall
        whole, rest = divmod(at - first, period)
        return at - whole * length - min(rest, length)

    def _clock(self, worked: float) -> float:
        """Return when so much has been worked: the inverse."""
        if self.stall is None or worked < self.stall[0]:
            return worked
        first, length, period = self.stall
        return worked + (int((worked - first) / (period - length)) + 1) * length


def _watched(rows: list[Row], end: float, progress: ProgressCallback) -> tuple[str | None, float]:
    """Ask the callback once a second; return why it stopped the run, and when the run ended."""
    for second in range(1, int(end) + 1):
        backlog = sum(1 for row in rows if row.due <= second < row.done)
        state = Progress(second, end, 0.0, 0.0, None, None, 0, 0, 0, {}, {}, backlog, 0, None)
        if stopped := progress(state):
            return stopped, float(second)
    return None, end


def _result(plan: Plan, rows: list[Row], hard_end: float, elapsed: float, stopped: str | None) -> RunResult:
    samples = Samples()
    for row in sorted(rows, key=lambda row: row.done):
        error = ErrorKind.STATUS if row.status >= 400 else ErrorKind.NONE
        if row.sent >= hard_end:
            error = ErrorKind.NO_CONNECTION
        elif row.done > hard_end:
            error = ErrorKind.UNFINISHED
        sent, done = min(row.sent, hard_end), min(row.done, hard_end)
        samples.intended.append(int(row.due * NANOSECONDS))
        samples.lag.append(LAG_NS)
        samples.wait.append(int((sent - row.due) * NANOSECONDS))
        samples.first_byte.append(int((done - sent) * NANOSECONDS))
        samples.response.append(int((done - row.due) * NANOSECONDS) + LAG_NS)
        samples.status.append(row.status if row.done <= hard_end else 0)
        samples.request.append(0)
        samples.error.append(error)
    errors = Counter(ErrorKind(error) for error in samples.error if error)
    gauges = _gauges(rows, elapsed)
    most = max([*gauges.in_flight, 1])
    waited = GAUGE_S * sum(1 for waiting in gauges.waiting if waiting)
    return RunResult(
        plan=plan,
        names=WORKLOAD.names,
        samples=samples,
        errors=errors,
        examples={kind: ErrorExample("an example", "root", 0.0) for kind in errors},
        statuses=Counter(status for status in samples.status if status),
        generator=GeneratorStats(
            0.1, 0.1 * elapsed, elapsed, 20, 1024, False, False, plan.connections, most, most, waited, 0, 0, 0.0
        ),
        gauges=gauges,
        planned=len(rows),
        warmup=0,
        started_at=0.0,
        elapsed_s=elapsed,
        stopped=stopped,
    )


def _gauges(rows: list[Row], elapsed: float) -> Gauges:
    dues, sents, dones = (sorted(getattr(row, name) for row in rows) for name in ("due", "sent", "done"))
    columns = tuple(array("q") for _ in range(4))
    for step in range(int(elapsed / GAUGE_S)):
        at = step * GAUGE_S
        due, sent, done = (bisect_right(times, at) for times in (dues, sents, dones))
        for column, value in zip(columns, (int(at * NANOSECONDS), due - sent, sent - done, done), strict=True):
            column.append(value)
    return Gauges(*columns)
