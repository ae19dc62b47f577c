"""One run in several processes: each takes every K-th arrival of the same schedule, from the same start.

Processes are forked, so that workloads may hold functions. They open their connections first, agree on a start (the
monotonic clock is the same for all processes of a machine), report once a second, and send their samples at the end.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import signal
import threading
import time
from array import array
from collections import Counter
from typing import TYPE_CHECKING, Any

from senior_backend.console.errors import UnavailableError
from senior_backend.load.engine import GAUGE_NS, Loop
from senior_backend.load.model import ErrorKind, Gauges, Progress
from senior_backend.load.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection

    from senior_backend.load.model import Plan, ProgressCallback, RunResult, StaticWorkload, Workload
    from senior_backend.load.sockets import Address

START_DELAY_NS = 50_000_000
INTERRUPTED = "\0interrupted"
END_S = 30.0
"""How long the end of a process is waited for after the plan's own end."""


def run_in_processes(
    plan: Plan, workload: StaticWorkload | Workload, progress: ProgressCallback | None, address: Address
) -> RunResult:
    """Carry out the plan in `plan.processes` processes and return the merged result."""
    if "fork" not in multiprocessing.get_all_start_methods():
        raise UnavailableError("several processes need fork, which this system lacks", code="no-fork", hint="use one")
    context = multiprocessing.get_context("fork")
    links: list[Connection] = []
    workers = []
    parts = plan.processes
    for part in range(parts):
        here, there = context.Pipe()
        worker = context.Process(target=_work, args=(there, plan, workload, address, part), daemon=True)
        worker.start()
        there.close()
        links.append(here)
        workers.append(worker)
    gathering = _Gathering(plan, links, progress)
    previous = None
    if threading.current_thread() is threading.main_thread():
        previous = signal.signal(signal.SIGINT, lambda *_: gathering.stop(INTERRUPTED))
    try:
        results = gathering.gather()
    finally:
        if previous is not None:
            signal.signal(signal.SIGINT, previous)
        for worker in workers:
            worker.join(1.0)
            if worker.is_alive():
                worker.kill()
    return merge(results)


def _work(link: Connection, plan: Plan, workload: StaticWorkload | Workload, address: Address, part: int) -> None:
    """Be one of the processes."""

    def agree(ready_at: int) -> int:
        link.send(("ready", ready_at))
        return int(link.recv())

    def report(state: Progress) -> str | None:
        link.send(("progress", state))
        reason: str | None = link.recv() if link.poll() else None
        if reason == INTERRUPTED:
            loop.interrupted = True
            return None
        return reason

    loop = Loop(plan, workload, address, progress=report, part=part, parts=plan.processes, agree_start=agree)
    link.send(("result", loop.run()))
    link.close()


class _Gathering:
    """The parent's side of a run in several processes."""

    def __init__(self, plan: Plan, links: Sequence[Connection], progress: ProgressCallback | None) -> None:
        self.links = list(links)
        self.progress = progress
        self.latest: dict[Any, Progress] = {}
        self.told = False
        self.results: list[RunResult] = []
        self.patience_s = plan.duration_s + plan.grace_s + END_S

    def gather(self) -> list[RunResult]:
        """Let all start together, pass on progress, and return all results."""
        from multiprocessing.connection import wait

        start = max(int(self._expect(link)) for link in self.links) + START_DELAY_NS
        for link in self.links:
            link.send(start)
        end = time.monotonic() + self.patience_s
        open_links = list(self.links)
        while open_links and time.monotonic() < end:
            ready = wait(open_links, 0.5)
            for link in [each for each in open_links if each in ready]:
                try:
                    what, value = link.recv()
                except EOFError:
                    open_links.remove(link)
                    continue
                if what == "result":
                    self.results.append(value)
                else:
                    self._report(link, value)
        if len(self.results) < len(self.links):
            raise RuntimeError(f"{len(self.links) - len(self.results)} generator processes ended without a result")
        return self.results

    def _expect(self, link: Connection) -> Any:
        what, value = link.recv()
        assert what == "ready"
        return value

    def _report(self, link: object, state: Progress) -> None:
        self.latest[link] = state
        if len(self.latest) < len(self.links):
            return
        states, self.latest = list(self.latest.values()), {}
        reason = self.progress(merge_progress(states)) if self.progress else None
        if reason is not None:
            self.stop(reason)

    def stop(self, reason: str) -> None:
        """Tell all processes to stop, once."""
        if self.told:
            return
        self.told = True
        for link in self.links:
            with _ended():
                link.send(reason)


def _ended() -> Any:
    import contextlib

    return contextlib.suppress(OSError)


def merge_progress(states: Sequence[Progress]) -> Progress:
    """Return the sum of reports of one second; percentiles are those of the worst process."""
    first = states[0]

    def worst(values: list[float | None]) -> float | None:
        return max((value for value in values if value is not None), default=None)

    return Progress(
        elapsed_s=max(state.elapsed_s for state in states),
        total_s=first.total_s,
        asked_rate=sum(state.asked_rate for state in states),
        rate=sum(state.rate for state in states),
        p50_ms=worst([state.p50_ms for state in states]),
        p99_ms=worst([state.p99_ms for state in states]),
        completed=sum(state.completed for state in states),
        failed=sum(state.failed for state in states),
        failed_now=sum(state.failed_now for state in states),
        statuses_now=_sum(state.statuses_now for state in states),
        errors_now=_sum(state.errors_now for state in states),
        in_flight=sum(state.in_flight for state in states),
        waiting=sum(state.waiting for state in states),
        retry_after_s=worst([state.retry_after_s for state in states]),
    )


def _sum(counts: Any) -> Any:
    total: Counter[Any] = Counter()
    for each in counts:
        total.update(each)
    return total


def merge(results: Sequence[RunResult]) -> RunResult:
    """Return the run of which these are the parts."""
    first = results[0]
    samples, warm_up = Samples(), Samples()
    for result in results:
        samples.extend(result.samples)
        warm_up.extend(result.warmup_samples or Samples())
    errors: Counter[ErrorKind] = _sum(result.errors for result in results)
    examples = {kind: example for result in reversed(results) for kind, example in result.examples.items()}
    stats = [result.generator for result in results]

    def total(name: str) -> Any:
        return sum(getattr(each, name) for each in stats)

    def most(name: str) -> Any:
        return max(getattr(each, name) for each in stats)

    generator = dataclasses.replace(
        stats[0],
        **{name: most(name) for name in ("cpu_share", "wall_s", "fds_open", "fd_limited", "port_limited", "capped_s")},
        **{
            name: total(name)
            for name in (
                "cpu_s",
                "connections_cap",
                "connections_peak",
                "connections_opened",
                "keep_alive_races",
                "server_closes",
                "unused_failures",
                "connections_used",
            )
        },
        preopen_s=most("preopen_s"),
    )
    return dataclasses.replace(
        first,
        samples=samples,
        errors=dict(errors),
        examples=examples,
        statuses=dict(sorted(_sum(result.statuses for result in results).items())),
        generator=generator,
        gauges=merge_gauges([result.gauges for result in results]),
        planned=len(samples),
        warmup=sum(result.warmup for result in results),
        warmup_samples=warm_up,
        elapsed_s=max(result.elapsed_s for result in results),
        interrupted=any(result.interrupted for result in results),
        stopped=next((result.stopped for result in results if result.stopped), None),
        retry_after_s=max((result.retry_after_s for result in results if result.retry_after_s), default=None),
    )


def merge_gauges(parts: Sequence[Gauges]) -> Gauges:
    """Return the sums of gauges that were read at about the same times; a process that has ended keeps its last."""
    columns: list[Callable[[Gauges], Sequence[int]]] = [
        lambda gauges: gauges.waiting,
        lambda gauges: gauges.in_flight,
        lambda gauges: gauges.completed,
    ]
    read = [{at // GAUGE_NS: place for place, at in enumerate(part.at_ns)} for part in parts]
    ticks = sorted(set().union(*read))
    merged = [array("q") for _ in columns]
    last = [-1] * len(parts)
    for tick in ticks:
        last = [places.get(tick, before) for places, before in zip(read, last, strict=True)]
        for values, column in zip(merged, columns, strict=True):
            values.append(sum(column(part)[place] for part, place in zip(parts, last, strict=True) if place >= 0))
    return Gauges(array("q", [tick * GAUGE_NS for tick in ticks]), *merged)
