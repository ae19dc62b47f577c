"""One readiness loop that drives all conversations: sockets, timers, look-ups and threads.

Times are stamped when the loop learns that a socket is ready, never when Python gets round to it, and the loop keeps
account of its own lag, so that whoever judges can tell a slow service from a busy checker. Only checks that make
progress count against the concurrency; one that waits for a slow peer gives its slot to the next after `PARK_AFTER`.
"""

from __future__ import annotations

import heapq
import selectors
import socket
import struct
import time
from collections import Counter, deque
from typing import TYPE_CHECKING, Any

from senior_backend.health.limits import open_limit_of_process
from senior_backend.health.outcomes import Job, Lag, Outcome, Phases
from senior_backend.health.resolver import Getaddrinfo, Lookup, Resolver, Workers, system_getaddrinfo
from senior_backend.health.steps import Answer, Call, Connect, Failure, Send, Sleep, Some, StartTls, Step
from senior_backend.health.transport import Check, Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from senior_backend.health.security import AddressPolicy

PARK_AFTER = 0.1
TICK = 0.01
"""The longest sleep while checks are open; how late it ends is a sample of the lag."""


class Engine(Transport):
    """Runs jobs; keep one for a process, since it remembers names."""

    def __init__(
        self,
        policy: AddressPolicy,
        *,
        getaddrinfo: Getaddrinfo = system_getaddrinfo,
        clock: Callable[[], float] = time.perf_counter,
        open_limit: int | None = None,
    ) -> None:
        self._policy = policy
        self._clock = clock
        self._selector = selectors.DefaultSelector()
        self._wake_receive, self._wake_send = socket.socketpair()
        self._wake_receive.setblocking(False)
        self._wake_send.setblocking(False)
        self._selector.register(self._wake_receive, selectors.EVENT_READ, None)
        self.resolver = Resolver(self._from_thread, getaddrinfo)
        self._workers = Workers(32, "call")
        self._arrived: deque[Any] = deque()
        self._open: set[Check] = set()
        self._slots = 0
        self._timers: list[tuple[float, int, int, Check]] = []
        self._parking: deque[tuple[float, Check]] = deque()
        self._sequence = 0
        self._per_endpoint: Counter[tuple[str, int]] = Counter()
        self._queue: deque[Job] = deque()
        self._finished: Callable[[Outcome], None] = lambda _: None
        self._concurrency = 1
        self._open_limit = open_limit or open_limit_of_process()
        self._now = clock()
        self.lag = Lag()

    def run(
        self,
        jobs: Iterable[Job],
        finished: Callable[[Outcome], None],
        *,
        concurrency: int,
        until: float | None = None,
        interval: Callable[[], float | None] | None = None,
    ) -> None:
        """Hold all conversations and hand each outcome to `finished`; at `until` (clock time) all that remain fail.

        `interval` is called in every turn, at least ten times a second; it may update a display.
        """
        self._queue = deque(jobs)
        self._finished = finished
        self._concurrency = max(1, min(concurrency, self._open_limit))
        self._now = self._clock()
        try:
            while self._queue or self._open:
                if until is not None and self._clock() >= until:
                    self._give_up()
                    break
                self._admit()
                self._turn(until)
                if interval:
                    interval()
        finally:
            for check in list(self._open):
                self._close(check)
            self._open.clear()
            self._slots = 0
            self._per_endpoint.clear()
            self._queue.clear()

    # -- the loop -------------------------------------------------------------------------------------------------

    def _turn(self, until: float | None) -> None:
        before = self._clock()
        wait = TICK * 10 if not self._slots else TICK
        if self._timers:
            wait = min(wait, self._timers[0][0] - before)
        if self._parking:
            wait = min(wait, self._parking[0][0] - before)
        if until is not None:
            wait = min(wait, until - before)
        wait = max(wait, 0.0)
        ready = self._selector.select(wait)
        self._now = now = self._clock()
        if not ready:
            self.lag.note(now, now - before - wait)
        for key, mask in ready:
            if key.data is None:
                self._drain()
            elif not key.data.done:
                self._ready(key.data, mask)
        self._expire()
        if ready:
            after = self._clock()
            self.lag.note(after, after - now)

    def _admit(self) -> None:
        while self._queue and self._slots < self._concurrency and len(self._open) < self._open_limit:
            job = self._queue.popleft()
            now = self._clock()
            check = Check(job, job.start(), now, now + job.timeout)
            self._open.add(check)
            self._slots += 1
            check.active = len(self._open)
            self._parking.append((now + PARK_AFTER, check))
            self._timer(check, check.deadline)
            self._resume(check)

    def _timer(self, check: Check, when: float) -> None:
        if len(self._timers) > 1000 + 4 * len(self._open):
            self._timers = [entry for entry in self._timers if not entry[3].done]
            heapq.heapify(self._timers)
        self._sequence += 1
        heapq.heappush(self._timers, (when, self._sequence, check.epoch, check))

    def _expire(self) -> None:
        now = self._now = self._clock()
        while self._parking and self._parking[0][0] <= now:
            self._park(self._parking.popleft()[1])
        while self._timers and self._timers[0][0] <= now:
            _, _, epoch, check = heapq.heappop(self._timers)
            if check.done:
                continue
            if check.deadline <= now:
                self._fail(check, self._timeout(check))
            elif epoch == check.epoch and check.stage == "asleep":
                self._resume(check)
            elif epoch == check.epoch and check.stage == "open" and type(check.want) is Some:
                if check.want.within:
                    check.want = None
                    self._resume(check, b"")
            elif epoch == check.epoch and check.stage == "connecting" and check.attempt_deadline <= now:
                self._connect_failed(check, Failure("connect_timeout", f"{check.address} did not answer"))

    def _park(self, check: Check) -> None:
        if not check.parked and not check.done:
            check.parked = True
            self._slots -= 1

    def _timeout(self, check: Check) -> Failure:
        limit = f"after {check.job.timeout:g} s"
        if check.stage == "dns" and check.target:
            lookup = self.resolver.find(check.target.host)
            if lookup.started:
                return Failure("dns_timeout", f"{check.target.host} {limit}")
            return Failure("checker_dns", f"the look-up of {check.target.host} waited for others {limit}")
        if check.stage == "connecting":
            return Failure("connect_timeout", limit)
        if check.stage == "handshake":
            return Failure("tls_timeout", limit)
        if check.stage in ("thread", "asleep"):
            return Failure("read_timeout", limit)
        if check.target and check.target.transport == "udp":
            return Failure("no_answer", limit)
        if check.phases.first_byte is None:
            return Failure("read_timeout" if check.has_sent else "no_greeting", limit)
        received = f"; {len(check.buffer)} bytes of an answer had come" if check.buffer else ""
        return Failure("read_timeout", limit + received)

    def _give_up(self) -> None:
        for check in list(self._open):
            self._fail(check, Failure("checker_deadline", f"still in phase {check.stage}"))
        while self._queue:
            job = self._queue.popleft()
            self._finished(Outcome(job.key, Failure("checker_deadline", "not begun"), Phases()))

    # -- conversations --------------------------------------------------------------------------------------------

    def _resume(self, check: Check, value: Any = None, failure: Failure | None = None) -> None:
        """Go on with the conversation until it waits for something."""
        conversation = check.conversation
        while not check.done:
            try:
                step = conversation.throw(failure) if failure else conversation.send(value)
            except StopIteration as stop:
                return self._finish(check, stop.value)
            except Failure as ended:
                return self._finish(check, ended)
            except (ValueError, IndexError, KeyError, struct.error) as error:
                # Every byte comes from somebody else: an answer that cannot be read is not the protocol.
                return self._finish(check, Failure("protocol_mismatch", f"unreadable answer ({type(error).__name__})"))
            except Exception as error:  # noqa: BLE001 - one broken probe must not hide the other results
                return self._finish(check, Failure("checker_error", f"{type(error).__name__}: {error}"))
            try:
                waits, value = self._begin(check, step)
                failure = None
            except Failure as error:
                waits, value, failure = False, None, error
            if waits:
                return None
        return None

    def _begin(self, check: Check, step: Step) -> tuple[bool, Any]:
        """Start a step; return whether the check has to wait, else the step's result."""
        kind = type(step)
        if kind is Send:
            return self._send(check, step.data)  # type: ignore[union-attr]
        if kind is Connect:
            return self._connect(check, step)  # type: ignore[arg-type]
        if kind is Sleep:
            self._close(check)
            check.stage = "asleep"
            check.epoch += 1
            self._timer(check, self._clock() + step.seconds)  # type: ignore[union-attr]
            self._park(check)
            return True, None
        if kind is Call:
            self._call(check, step)  # type: ignore[arg-type]
            return True, None
        if kind is StartTls:
            self._start_tls(check, step)  # type: ignore[arg-type]
            return True, None
        taken = self._take(check, step)
        if taken is None:
            check.want = step
            if kind is Some and step.within:  # type: ignore[union-attr]
                check.epoch += 1
                self._timer(check, self._clock() + step.within)  # type: ignore[union-attr]
            return True, None
        return False, taken

    def _finish(self, check: Check, result: Any) -> None:
        if not isinstance(result, Answer | Failure):
            result = Failure("checker_error", "the probe ended without a result")
        if isinstance(result, Failure):
            result.__traceback__ = None
        check.done = True
        check.phases.total = max(0.0, self._now - check.started)
        self._close(check)
        self._open.discard(check)
        check.buffer = bytearray()  # the timers still hold the check until its time would have come
        if not check.parked:
            self._slots -= 1
        lag = self.lag.worst_since(check.started)
        self._finished(
            Outcome(
                check.job.key,
                result,
                check.phases,
                check.address,
                check.certificate,
                max(lag, self._clock() - self._now),
                max(check.active, len(self._open) + 1),
                check.same_address,
            )
        )

    def _fail(self, check: Check, failure: Failure) -> None:
        """End a check from outside; the probe may say more exactly what it was waiting for, and nothing else."""
        self._now = self._clock()
        try:
            check.conversation.throw(failure)
        except Failure as told:
            failure = told
        except Exception:  # noqa: BLE001, S110 - whatever the probe makes of it, its time is over
            pass
        check.conversation.close()
        self._finish(check, failure)

    # -- threads --------------------------------------------------------------------------------------------------

    def _call(self, check: Check, step: Call) -> None:
        check.stage = "thread"
        check.epoch += 1
        epoch = check.epoch
        check.mark = self._clock()

        def work() -> None:
            try:
                answer: Any = (check, epoch, step.function(), None)
            except Failure as failure:
                answer = (check, epoch, None, failure)
            except PermissionError as error:
                answer = (check, epoch, None, Failure("permission", str(error)))
            except Exception as error:  # noqa: BLE001 - handed over to the loop, which reports it for this service
                answer = (check, epoch, None, Failure("checker_error", f"{type(error).__name__}: {error}"))
            self._from_thread(answer)

        self._workers.submit(work)

    def _from_thread(self, item: Any) -> None:
        self._arrived.append(item)
        try:
            self._wake_send.send(b"x")
        except OSError:
            return  # the buffer is full of wake-ups already, or the process is ending

    def _drain(self) -> None:
        try:
            self._wake_receive.recv(4096)
        except BlockingIOError:
            return
        while self._arrived:
            item = self._arrived.popleft()
            if isinstance(item, Lookup):
                waiting, item.waiting = item.waiting or [], None
                for check in waiting:
                    if not check.done and check.stage == "dns":
                        self._looked_up(check, item)
            else:
                check, epoch, value, failure = item
                if not check.done and check.epoch == epoch:
                    self._now = self._clock()
                    self._resume(check, value, failure)

    def _looked_up(self, check: Check, lookup: Lookup) -> None:
        try:
            waits, value = self._resolved(check, lookup, max(0.0, self._now - check.mark))
        except Failure as error:
            self._resume(check, failure=error)
        else:
            if not waits:
                self._resume(check, value)
