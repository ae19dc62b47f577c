"""The engine: one readiness loop that sends each request at its intended time and never drops one.

A request whose time has come takes the connection that has been idle the longest. If none is idle it waits in a queue,
and its clock keeps running. Timeouts, gauges and progress are looked after in a sweep every few milliseconds, so that
a request costs nothing for them.

Retries: a request is sent again, once for each reused connection that turns out to be closed before the first byte of
an answer, if it is idempotent (RFC 9110 section 9.2.2); its clock keeps running, and `keep_alive_races` counts it. A
connection that was never used before and closes is the server's failure. Nothing else is retried, and redirects are
not followed.
"""

from __future__ import annotations

import contextlib
import gc
import signal
import threading
import time
from array import array
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any

from senior_backend.load.arrivals import due_times, expected_between
from senior_backend.load.exchange import RECEIVE_BYTES, Exchange
from senior_backend.load.model import (
    NANOSECONDS,
    ErrorKind,
    Gauges,
    GeneratorStats,
    Progress,
    RunResult,
    StaticWorkload,
)
from senior_backend.load.poller import READABLE, make_poller, sharpen_sleep, sleep_margin_ns
from senior_backend.load.pool import BUSY, IDLE, Pool
from senior_backend.load.recorder import FLUSH_ROWS, WIDTH
from senior_backend.load.sockets import Address, choose, tls_context

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from senior_backend.load.model import Plan, ProgressCallback, Workload

NEVER = 1 << 62
OPEN_BATCH = 16
CLOSED_BATCH = 512
"""Events handled before the loop looks at the schedule again; a closed loop has none."""
SWEEP_NS = 10_000_000
SWEEP_NS_PER_CONNECTION = 6_000
"""Time between sweeps: 10 ms, or more with very many connections, so that sweeps take about 1 % of the time."""
GAUGE_NS = 50_000_000
START_DELAY_NS = 20_000_000
PREOPEN_S = 5.0
STOP_GRACE_S = 1.0


def run(
    plan: Plan,
    workload: StaticWorkload | Workload,
    progress: ProgressCallback | None = None,
    *,
    address: Address | None = None,
) -> RunResult:
    """Carry out the plan and return what was measured.

    Every failure of a request is counted; only a name that does not resolve or an unusable certificate file raises
    `Unreachable`. Ctrl-C ends the run early with `RunResult.interrupted`; a second one is a KeyboardInterrupt.
    """
    address = address or choose(plan.target, plan.connect_timeout_s)
    if plan.target.tls:
        tls_context(plan.target.tls)
    if plan.processes > 1:
        from senior_backend.load.processes import run_in_processes

        return run_in_processes(plan, workload, progress, address)
    return Loop(plan, workload, address, progress=progress).run()


class Loop(Exchange):
    """One run in one process.

    With several processes, this one takes the arrivals `part`, `part + parts`, ...; `agree_start` gets the earliest
    clock reading at which this one can start and returns the one at which all do.
    """

    def __init__(
        self,
        plan: Plan,
        workload: StaticWorkload | Workload,
        address: Address,
        *,
        clock: Callable[[], int] = time.perf_counter_ns,
        progress: ProgressCallback | None = None,
        part: int = 0,
        parts: int = 1,
        agree_start: Callable[[int], int] = int,
    ) -> None:
        super().__init__(plan, workload, clock=clock, part=part, parts=parts)
        self.progress = progress
        self.agree_start = agree_start
        self.poller = make_poller()
        tls = plan.target.tls
        self.pool = Pool(
            address=address,
            context=tls_context(tls) if tls else None,
            server_name=(tls.server_name if tls else None) or plan.target.host,
            cap=max(1, plan.connections // parts + (part < plan.connections % parts)),
            poller=self.poller,
            clock=clock,
            owner=self,
        )
        self.cap = self.pool.cap
        self.hard_end = 0
        self.due = NEVER
        self.times: Iterator[int] = iter(())
        self.interrupted = False
        self.stopped: str | None = None
        self.capped_ns = 0
        self.gauges = tuple(array("q") for _ in range(4))
        self.next_gauge = self.next_progress = self.last_sweep = 0
        self.before = _Totals(0, 0, Counter(), Counter())
        self.retry_after: float | None = None
        self.fds_peak = 0

    def run(self) -> RunResult:
        """Open connections, send everything, wait for the answers."""
        sharpen_sleep()
        margin = sleep_margin_ns(self.poller, precise=self.plan.precise)
        previous = self._catch_interrupt()
        collecting = gc.isenabled()
        gc.collect()
        gc.freeze()
        if isinstance(self.workload, StaticWorkload):
            gc.disable()
        try:
            preopen_ns = self._preopen()
            cpu, started_at = time.process_time(), time.time()
            self._start()
            self._loop(margin)
            ended = self.clock()
            self._end(ended)
            cpu = time.process_time() - cpu
        finally:
            self.pool.close_all()
            self.poller.close()
            gc.unfreeze()
            if collecting:
                gc.enable()
            if previous is not None:
                signal.signal(signal.SIGINT, previous)
        return self._result(started_at, ended - self.base, cpu, preopen_ns)

    def _catch_interrupt(self) -> Any:
        if threading.current_thread() is not threading.main_thread():
            return None

        def note(_signal: int, _frame: object) -> None:
            if self.interrupted:
                raise KeyboardInterrupt
            self.interrupted = True

        return signal.signal(signal.SIGINT, note)

    def _preopen(self) -> int:
        """Open the first connections, so that the first requests do not all pay for that; return the time it took."""
        plan, pool = self.plan, self.pool
        wanted = plan.preopen
        if wanted is None:
            rate = max((max(stage.start_rate, stage.end_rate) for stage in plan.stages), default=0.0)
            wanted = pool.cap if self.closed else 2 + int(rate * 0.02 / self.parts)
        started = self.clock()
        for _ in range(min(wanted, pool.cap)):
            if not pool.open():
                break
        deadline = started + int(min(PREOPEN_S, plan.connect_timeout_s) * NANOSECONDS)
        while pool.opening and self.clock() < deadline and not self.interrupted:
            for fd, events in self.poller.poll(0.02, CLOSED_BATCH):
                connection = pool.connections.get(fd)
                if connection is not None:
                    self.attend(connection, events)
        return self.clock() - started

    def _start(self) -> None:
        plan = self.plan
        self.base = self.agree_start(self.clock() + START_DELAY_NS)
        self.end = self.base + int(plan.duration_s * NANOSECONDS)
        self.hard_end = self.end + int(plan.grace_s * NANOSECONDS)
        self.recorder.start(self.base, plan.warmup_s)
        self.next_gauge = self.base
        self.next_progress = self.base + NANOSECONDS
        self.last_sweep = self.base
        self.started = True
        if self.closed:
            self.resting.extend([self.base] * self.pool.cap)
        else:
            self.times = islice(due_times(plan), self.part, None, self.parts)
            self.due = self.base + next(self.times, NEVER)

    def _loop(self, margin: int) -> None:  # noqa: PLR0912, PLR0915 - the hot path: calls would cost a fifth of the speed
        clock, pool, waiting = self.clock, self.pool, self.waiting
        poll, wait = self.poller.poll, self.poller.wait
        connections, idle = pool.connections, pool.idle
        rows, closed, only, times = self.recorder.rows, self.closed, self.only, self.times
        record, base = rows.extend, self.base
        batch = CLOSED_BATCH if closed else OPEN_BATCH
        pause = SWEEP_NS / NANOSECONDS if closed else 0
        full = FLUSH_ROWS * WIDTH
        sweep_at = 0
        while True:
            now = clock()
            if now >= sweep_at:
                sweep_at = self._sweep(now)
                if not sweep_at:
                    return
            due = self.due
            while due <= now:
                route = only or self.draw()
                if idle and not waiting:
                    connection = idle.popleft()
                    if connection.state == IDLE:
                        connection.route, connection.intended, connection.state = route, due, BUSY
                        connection.noticed = connection.sent = now = clock()
                        try:
                            sent = connection.send(route.payload)
                            if sent != route.size:
                                self.partly_sent(connection, sent)
                        except OSError as error:
                            self.send_failed(connection, error)
                        due = base + next(times, NEVER)
                        continue
                waiting.append((due, now, route))
                self.serve()
                due = base + next(times, NEVER)
                now = clock()
            self.due = due
            ready = poll(pause, batch)
            if not ready and not closed:
                nap = min(due, sweep_at) - clock() - margin
                if nap > 0:
                    wait(nap / NANOSECONDS)
                ready = poll(0, batch)
            for fd, events in ready:
                connection = connections[fd]
                if events != READABLE or connection.state != BUSY:
                    self.attend(connection, events)
                    continue
                try:
                    data = connection.recv(RECEIVE_BYTES)
                except OSError as error:
                    self.receive_failed(connection, error)
                    continue
                now = clock()
                route = connection.route
                if data == route.last and connection.parser is None:
                    record((connection.intended, connection.noticed, connection.sent, now, now, route.last_meta))
                else:
                    meta = self.received(connection, data, now)
                    if meta < 0:
                        continue
                    now = connection.done
                    record((connection.intended, connection.noticed, connection.sent, connection.first, now, meta))
                connection.used = True
                if closed:
                    if now >= self.end:
                        connection.state = IDLE
                        idle.append(connection)
                        continue
                    connection.route = route = only or self.draw()
                    connection.intended = connection.noticed = connection.sent = now
                elif waiting:
                    connection.intended, connection.noticed, route = waiting.popleft()
                    connection.route = route
                    connection.sent = now
                else:
                    connection.state = IDLE
                    idle.append(connection)
                    continue
                try:
                    sent = connection.send(route.payload)
                    if sent != route.size:
                        self.partly_sent(connection, sent)
                except OSError as error:
                    self.send_failed(connection, error)
            if len(rows) >= full:
                self.recorder.flush()

    def _sweep(self, now: int) -> int:
        """Look after timeouts, gauges, progress and the end of the run; return when to do so again, 0 at the end."""
        pool = self.pool
        in_flight = self.expire(now)
        if self.waiting and len(pool.connections) >= pool.cap and not pool.opening:
            self.capped_ns += now - self.last_sweep
        self.last_sweep = now
        if now >= self.next_gauge:
            self.next_gauge = now + GAUGE_NS
            seen = self.recorder.seen + len(self.recorder.rows) // WIDTH
            for column, value in zip(self.gauges, (now - self.base, len(self.waiting), in_flight, seen), strict=True):
                column.append(value)
        if now >= self.next_progress:
            self.next_progress += NANOSECONDS
            self._report(now, in_flight)
        if self.interrupted and self.stopped is None:
            self._stop(now, "interrupted")
        at_rest = not in_flight and not self.waiting and now >= self.base
        if now >= self.hard_end or (at_rest and self.due >= NEVER and not self._users_left(now)):
            return 0
        return now + max(SWEEP_NS, SWEEP_NS_PER_CONNECTION * len(pool.connections))

    def _users_left(self, now: int) -> bool:
        return self.closed and now < self.end

    def _stop(self, now: int, reason: str) -> None:
        """Send nothing new, and wait a moment for what is in flight."""
        self.stopped = reason
        self.due = NEVER
        self.times = iter(())
        self.end = min(self.end, now)
        self.hard_end = min(self.hard_end, now + int(min(STOP_GRACE_S, self.plan.grace_s) * NANOSECONDS))

    def _report(self, now: int, in_flight: int) -> None:
        times = sorted(self.recorder.recent())
        before, seen = self.before, self.recorder.seen
        self.before = _Totals(now, seen, Counter(self.failed), Counter(self.failed_statuses))
        seconds = (now - (before.at or self.base)) / NANOSECONDS
        elapsed = (now - self.base) / NANOSECONDS
        if self.retry_after_now is not None:
            self.retry_after = max(self.retry_after or 0.0, self.retry_after_now)
        state = Progress(
            elapsed_s=elapsed,
            total_s=self.plan.duration_s,
            asked_rate=0.0
            if self.closed
            else expected_between(self.plan.stages, elapsed - seconds, elapsed) / seconds / self.parts,
            rate=(seen - before.seen) / seconds,
            p50_ms=times[len(times) // 2] / 1e6 if times else None,
            p99_ms=times[len(times) * 99 // 100] / 1e6 if times else None,
            completed=seen,
            failed=self.failed.total(),
            failed_now=self.failed.total() - before.failed.total(),
            statuses_now=self.failed_statuses - before.statuses,
            errors_now=self.failed - before.failed,
            in_flight=in_flight,
            waiting=len(self.waiting),
            retry_after_s=self.retry_after_now,
        )
        self.retry_after_now = None
        if self.progress is None or self.stopped is not None:
            return
        reason = self.progress(state)
        if reason is not None:
            self._stop(now, reason)

    def _end(self, now: int) -> None:
        """Record what is still open when the run is over."""
        self.over = True
        self.fds_peak = open_fds()
        for connection in [each for each in self.pool.connections.values() if each.state == BUSY]:
            self.give_up(connection, now)
        while self.waiting:
            self.fail_waiting(ErrorKind.NO_CONNECTION, "no connection came free before the run ended")

    def _result(self, started_at: float, wall: int, cpu: float, preopen_ns: int) -> RunResult:
        samples, warm_up = self.recorder.finish()
        samples.connects.extend(self.pool.connects)
        samples.handshakes.extend(self.pool.handshakes)
        errors, statuses = Counter(samples.error), Counter(samples.status)
        if samples.folded:
            errors.update(samples.folded.errors)
            statuses.update(samples.folded.statuses)
        wall_s = max(wall, 1) / NANOSECONDS
        return RunResult(
            plan=self.plan,
            names=tuple(self.workload.names),
            samples=samples,
            errors={ErrorKind(kind): number for kind, number in sorted(errors.items()) if kind},
            examples={kind: self.examples[kind] for kind in self.examples if errors[kind]},
            statuses={status: number for status, number in sorted(statuses.items()) if status},
            generator=GeneratorStats(
                cpu_share=cpu / wall_s,
                cpu_s=cpu,
                wall_s=wall_s,
                fds_open=self.fds_peak,
                fds_limit=fd_limit(),
                fd_limited=self.pool.fd_limited,
                port_limited=self.pool.port_limited,
                connections_cap=self.cap,
                connections_peak=self.pool.peak,
                connections_opened=self.pool.opened,
                capped_s=self.capped_ns / NANOSECONDS,
                keep_alive_races=self.races,
                server_closes=self.server_closes,
                unused_failures=self.unused_failures,
                connections_used=self.most_used,
                preopen_s=preopen_ns / NANOSECONDS,
            ),
            gauges=Gauges(*self.gauges),
            planned=len(samples),
            warmup=len(warm_up) + self.recorder.folded_warmup,
            warmup_samples=warm_up,
            started_at=started_at,
            elapsed_s=wall_s,
            interrupted=self.interrupted,
            stopped=None if self.interrupted else self.stopped,
            retry_after_s=self.retry_after,
        )


class _Totals:
    """Counts at the last progress report."""

    __slots__ = ("at", "failed", "seen", "statuses")

    def __init__(self, at: int, seen: int, failed: Counter[ErrorKind], statuses: Counter[int]) -> None:
        self.at = at
        self.seen = seen
        self.failed = failed
        self.statuses = statuses


def open_fds() -> int:
    """Return how many file descriptors this process has open; 0 where that cannot be told."""
    import os

    for folder in ("/proc/self/fd", "/dev/fd"):
        with contextlib.suppress(OSError):
            return len(os.listdir(folder)) - 1  # noqa: PTH208 - numbers are counted, no path is used
    return 0


def fd_limit() -> int:
    """Return the soft limit of file descriptors; 0 where there is none to be told."""
    try:
        import resource
    except ImportError:
        return 0
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 0 if soft == resource.RLIM_INFINITY else soft
