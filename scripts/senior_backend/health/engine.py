"""One readiness loop that drives all conversations: sockets, timers, look-ups and threads.

Times are stamped when the loop learns that a socket is ready, never when Python gets round to it, and the loop keeps
account of its own lag, so that whoever judges can tell a slow service from a busy checker. Only checks that make
progress count against the concurrency; one that waits for a slow peer gives its slot to the next after `PARK_AFTER`.
"""

from __future__ import annotations

import bisect
import errno
import heapq
import os
import selectors
import socket
import struct
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from senior_backend.health.resolver import Getaddrinfo, Lookup, Resolver, Workers, system_getaddrinfo
from senior_backend.health.steps import (
    READ_LIMIT,
    Answer,
    Call,
    Certificate,
    Connect,
    Conversation,
    Exactly,
    Failure,
    Peer,
    Send,
    Sleep,
    StartTls,
    Step,
    TlsOptions,
    Until,
    printable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from senior_backend.health.security import AddressPolicy

PARK_AFTER = 0.1
TICK = 0.01
"""The longest sleep while checks are open; how late it ends is a sample of the lag."""
RESERVED_DESCRIPTORS = 64
MAX_OPEN = 4096
CHUNK = 65536

_PENDING = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, errno.EALREADY})
_SHORT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@dataclass(slots=True)
class Phases:
    """Seconds of each phase, None for one that did not happen; all but `total` are of the last connection."""

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    first_byte: float | None = None
    total: float = 0.0

    def milliseconds(self) -> dict[str, float | None]:
        """Return the phases in ms, as reports show them."""
        names = ("dns", "connect", "tls", "first_byte", "total")
        return {name: None if (value := getattr(self, name)) is None else round(value * 1000, 3) for name in names}


@dataclass(slots=True)
class Job:
    """One conversation to hold; `key` comes back with its outcome."""

    key: Any
    start: Callable[[], Conversation]
    timeout: float


@dataclass(slots=True)
class Outcome:
    """How a conversation ended, and what the checker was busy with meanwhile.

    `lag` is the longest time in seconds that the loop was late while this check was open, `active` and `same_address`
    the most checks that were open beside it, on any and on the same address.
    """

    key: Any
    result: Answer | Failure
    phases: Phases
    address: str | None = None
    certificate: Certificate | None = None
    lag: float = 0.0
    active: int = 1
    same_address: int = 1


class Lag:
    """When the loop was late, and by how much."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._values: list[float] = []

    def note(self, now: float, late: float) -> None:
        """Record that at `now` the loop was `late` seconds behind; below a millisecond is not worth keeping."""
        if late > 0.001:
            self._times.append(now)
            self._values.append(late)

    def worst_since(self, start: float) -> float:
        """Return the longest delay noted at or after `start`."""
        return max(self._values[bisect.bisect_left(self._times, start) :], default=0.0)

    def percentile(self, share: float) -> float:
        """Return the delay that `share` of the noted delays do not pass."""
        ordered = sorted(self._values)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


@dataclass(slots=True, eq=False)
class _Check:
    """The state of one open conversation."""

    job: Job
    conversation: Conversation
    started: float
    deadline: float
    phases: Phases = field(default_factory=Phases)
    sock: Any = None
    events: int = 0
    stage: str = "idle"  # idle, dns, connecting, handshake, open, thread, asleep
    want: Step | None = None
    target: Connect | None = None
    tls: StartTls | None = None
    addresses: tuple[tuple[int, str], ...] = ()
    attempt: int = 0
    attempt_deadline: float = 0.0
    mark: float = 0.0
    buffer: bytearray = field(default_factory=bytearray)
    unsent: bytes = b""
    ended: bool = False
    has_sent: bool = False
    address: str | None = None
    endpoint: tuple[str, int] | None = None
    certificate: Certificate | None = None
    parked: bool = False
    done: bool = False
    epoch: int = 0
    active: int = 1
    same_address: int = 1


class Engine:
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
        self._selector.register(self._wake_receive, _READ, None)
        self.resolver = Resolver(self._from_thread, getaddrinfo)
        self._workers = Workers(32, "call")
        self._arrived: deque[Any] = deque()
        self._open: set[_Check] = set()
        self._slots = 0
        self._timers: list[tuple[float, int, int, _Check]] = []
        self._parking: deque[tuple[float, _Check]] = deque()
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
            check = _Check(job, job.start(), now, now + job.timeout)
            self._open.add(check)
            self._slots += 1
            check.active = len(self._open)
            self._parking.append((now + PARK_AFTER, check))
            self._timer(check, check.deadline)
            self._resume(check)

    def _timer(self, check: _Check, when: float) -> None:
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
            elif epoch == check.epoch and check.stage == "connecting" and check.attempt_deadline <= now:
                self._connect_failed(check, Failure("connect_timeout", f"{check.address} did not answer"))

    def _park(self, check: _Check) -> None:
        if not check.parked and not check.done:
            check.parked = True
            self._slots -= 1

    def _timeout(self, check: _Check) -> Failure:
        limit = f"after {check.job.timeout:g} s"
        if check.stage == "dns" and check.target:
            lookup = self.resolver.find(check.target.host)
            if lookup.started:
                return Failure("dns_timeout", f"{check.target.host} {limit}")
            return Failure("checker_dns", f"the look-up of {check.target.host} waited for others {limit}")
        if check.stage == "connecting":
            return Failure("connect_timeout", limit)
        if check.stage == "handshake":
            return Failure("read_timeout", f"during the TLS handshake {limit}")
        if check.stage in ("thread", "asleep"):
            return Failure("read_timeout", limit)
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

    def _resume(self, check: _Check, value: Any = None, failure: Failure | None = None) -> None:
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

    def _begin(self, check: _Check, step: Step) -> tuple[bool, Any]:
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
            return True, None
        return False, taken

    def _take(self, check: _Check, step: Step) -> bytes | None:
        """Return what a read step asks for, or None where it has to wait for more."""
        buffer = check.buffer
        if type(step) is Exactly:
            if len(buffer) >= step.count:
                taken = bytes(buffer[: step.count])
                del buffer[: step.count]
                return taken
        elif type(step) is Until:
            end = buffer.find(step.delimiter)
            if end >= 0:
                end += len(step.delimiter)
                taken = bytes(buffer[:end])
                del buffer[:end]
                return taken
            if len(buffer) > step.limit:
                raise Failure("protocol_mismatch", f"the answer begins {printable(bytes(buffer[:80]))}")
        elif buffer or check.ended:
            taken = bytes(buffer)
            buffer.clear()
            return taken
        if check.ended:
            raise self._closed(check)
        return None

    def _closed(self, check: _Check) -> Failure:
        if check.buffer:
            return Failure("connection_closed", f"its last bytes were {printable(bytes(check.buffer[-80:]))}")
        return Failure("connection_closed", "" if check.phases.first_byte is not None else "before it sent anything")

    def _finish(self, check: _Check, result: Any) -> None:
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

    def _fail(self, check: _Check, failure: Failure) -> None:
        """End a check from outside: the probe is not asked again."""
        self._now = self._clock()
        check.conversation.close()
        self._finish(check, failure)

    # -- connections ----------------------------------------------------------------------------------------------

    def _connect(self, check: _Check, target: Connect) -> tuple[bool, Any]:
        self._close(check)
        check.target, check.attempt, check.tls = target, 0, None
        check.buffer.clear()
        check.ended = check.has_sent = False
        check.phases = Phases()
        check.mark = self._clock()
        if target.transport == "unix":
            check.addresses = ((int(socket.AF_UNIX), target.host),)
            return self._open_socket(check)
        lookup = self.resolver.find(target.host)
        if lookup.waiting is not None:
            check.stage = "dns"
            lookup.waiting.append(check)
            return True, None
        return self._resolved(check, lookup, 0.0)

    def _resolved(self, check: _Check, lookup: Lookup, seconds: float) -> tuple[bool, Any]:
        check.phases.dns = seconds
        if lookup.failure:
            raise Failure(lookup.failure.reason, lookup.failure.detail)
        for _, address in lookup.addresses:
            self._policy.check(address)
        check.addresses = lookup.addresses
        return self._open_socket(check)

    def _open_socket(self, check: _Check) -> tuple[bool, Any]:
        """Begin to connect to the next address; raise when it fails at once and no other is left."""
        assert check.target is not None
        family, address = check.addresses[check.attempt]
        check.address = address
        try:
            kind = socket.SOCK_DGRAM if check.target.transport == "udp" else socket.SOCK_STREAM
            check.sock = sock = socket.socket(family, kind)
        except OSError as error:
            if error.errno in _SHORT_OF_DESCRIPTORS:
                self._open_limit = max(4, min(self._open_limit, len(self._open) - 8))
                raise Failure("checker_fd_limit", error.strerror or "") from None
            raise Failure("unreachable", f"{address}: {error.strerror}") from None
        sock.setblocking(False)
        check.stage = "connecting"
        now = check.mark = self._clock()
        check.epoch += 1
        left = len(check.addresses) - check.attempt - 1
        check.attempt_deadline = now + (check.deadline - now) / 2 if left else check.deadline
        if left:
            self._timer(check, check.attempt_deadline)
        if check.target.transport != "udp":
            endpoint = check.endpoint = (address, check.target.port)
            self._per_endpoint[endpoint] += 1
            check.same_address = max(check.same_address, self._per_endpoint[endpoint])
        try:
            where = address if check.target.transport == "unix" else (address, check.target.port)
            code = sock.connect_ex(where)
            if code == errno.EINPROGRESS and address.startswith("127."):
                # Over loopback the handshake is over when connect returns; asking again saves a turn of the loop.
                code = sock.connect_ex(where)
        except OSError as error:
            code = error.errno or errno.EINVAL
        if code and code not in _PENDING and code != errno.EISCONN:
            return self._next_address(check, self._refusal(check, code))
        if code not in _PENDING and check.target.tls is None:
            self._now = self._clock()
            return False, self._opened(check)
        self._watch(check, _WRITE)
        return True, None

    def _refusal(self, check: _Check, code: int) -> Failure:
        text = f"{check.address}: {os.strerror(code)}"
        if code == errno.ECONNREFUSED or (code == errno.ENOENT and check.sock.family == socket.AF_UNIX):
            return Failure("refused", text)
        if code in _SHORT_OF_DESCRIPTORS:
            return Failure("checker_fd_limit", text)
        if code == errno.EADDRNOTAVAIL and check.sock.family == socket.AF_INET:
            return Failure("checker_ports", text)
        if code in (errno.EACCES, errno.EPERM):
            return Failure("permission", text)
        if code == errno.ETIMEDOUT:
            return Failure("connect_timeout", text)
        if code in (errno.ECONNRESET, errno.EPIPE):
            return Failure("connection_reset", text)
        return Failure("unreachable", text)

    def _next_address(self, check: _Check, failure: Failure) -> tuple[bool, Any]:
        self._close(check)
        if check.attempt + 1 < len(check.addresses):
            check.attempt += 1
            return self._open_socket(check)
        raise failure

    def _connect_failed(self, check: _Check, failure: Failure) -> None:
        try:
            waits, value = self._next_address(check, failure)
        except Failure as error:
            self._resume(check, failure=error)
        else:
            if not waits:
                self._resume(check, value)

    def _opened(self, check: _Check) -> Peer:
        check.stage = "open"
        check.phases.connect = max(0.0, self._now - check.mark)
        check.mark = self._now
        self._watch(check, _READ)
        return Peer(check.address or "")

    def _watch(self, check: _Check, events: int) -> None:
        if check.events == 0:
            self._selector.register(check.sock, events, check)
        elif check.events != events:
            self._selector.modify(check.sock, events, check)
        check.events = events

    def _close(self, check: _Check) -> None:
        if check.endpoint:
            self._per_endpoint[check.endpoint] -= 1
            check.endpoint = None
        if check.sock is not None:
            if check.events:
                self._selector.unregister(check.sock)
            check.events = 0
            check.sock.close()
            check.sock = None

    # -- readiness ------------------------------------------------------------------------------------------------

    def _ready(self, check: _Check, mask: int) -> None:
        if check.stage == "connecting":
            code = check.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._connect_failed(check, self._refusal(check, code))
                return
            peer = self._opened(check)
            target = check.target
            if target and target.tls is not None:
                self._handshake_begins(check, StartTls(target.host, target.tls), target.alpn)
            else:
                self._resume(check, peer)
            return
        if check.stage == "handshake":
            self._handshake(check)
            return
        if check.unsent and mask & _WRITE:
            try:
                waits, _ = self._send(check, check.unsent)
            except Failure as error:
                self._resume(check, failure=error)
                return
            if not waits:
                self._resume(check)
            return
        if mask & _READ:
            self._receive(check)

    def _send(self, check: _Check, data: bytes) -> tuple[bool, Any]:
        if check.sock is None:
            raise Failure("connection_closed", "before the request was sent")
        check.has_sent = True
        try:
            sent = check.sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            if _wants_more(error):
                sent = 0
            else:
                raise self._broken(error) from None
        check.unsent = data[sent:]
        check.mark = self._clock()
        if check.unsent:
            self._watch(check, _READ | _WRITE)
            return True, None
        self._watch(check, _READ)
        return False, None

    def _receive(self, check: _Check) -> None:
        failure: Failure | None = None
        data: bytes | None = b""
        try:
            data = self._read_now(check)
        except Failure as error:
            failure = error
        if data is None:
            return
        if data:
            if check.phases.first_byte is None:
                check.phases.first_byte = max(0.0, self._now - check.mark)
            check.buffer += data
            if len(check.buffer) > 2 * READ_LIMIT:
                failure = Failure("body_too_large", f"more than {READ_LIMIT >> 20} MiB")
        elif check.target and check.target.transport == "udp":
            return
        else:
            check.ended = True
        if check.want is None and failure is None:
            if check.ended:
                self._watch_nothing(check)
            return
        taken = None
        if failure is None and check.want is not None:
            try:
                taken = self._take(check, check.want)
            except Failure as error:
                failure = error
            else:
                if taken is None:
                    return
        check.want = None
        self._resume(check, taken, failure)

    def _read_now(self, check: _Check) -> bytes | None:
        """Return what the socket has, `b""` at its end, None when that is nothing yet."""
        try:
            data: bytes = check.sock.recv(CHUNK)
            if check.tls is not None:
                while len(data) < READ_LIMIT and check.sock.pending():
                    data += check.sock.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            if _wants_more(error):
                return None
            if type(error).__name__ in ("SSLZeroReturnError", "SSLEOFError"):
                return b""
            raise self._broken(error) from None
        return data

    def _watch_nothing(self, check: _Check) -> None:
        """Stop listening to a peer that has closed while nobody reads: it would be ready for ever."""
        if check.events:
            self._selector.unregister(check.sock)
            check.events = 0

    def _broken(self, error: OSError) -> Failure:
        if isinstance(error, ConnectionRefusedError):
            return Failure("refused", error.strerror or "")
        if isinstance(error, ConnectionError):
            return Failure("connection_reset", error.strerror or "")
        if error.errno in _UNREACHABLE:
            return Failure("unreachable", error.strerror or "")
        return Failure("connection_reset", error.strerror or str(error))

    # -- TLS ------------------------------------------------------------------------------------------------------

    def _start_tls(self, check: _Check, step: StartTls) -> None:
        if check.sock is None:
            raise Failure("connection_closed", "before the TLS handshake")
        if check.buffer:
            raise Failure("protocol_mismatch", "plain bytes follow the answer that should begin TLS")
        self._handshake_begins(check, step, ())

    def _handshake_begins(self, check: _Check, step: StartTls, alpn: tuple[str, ...]) -> None:
        from senior_backend.health import tls

        check.tls, check.stage = step, "handshake"
        try:
            wrapped = tls.wrap(check.sock, step.server_name, step.options or TlsOptions(), alpn)
        except Failure as error:
            self._resume(check, failure=error)
            return
        except (OSError, ValueError) as error:
            self._resume(check, failure=Failure("tls_handshake", str(error)))
            return
        if check.events:
            # The wrapper has taken over the descriptor; the selector's entry is renewed under the new object.
            self._selector.unregister(wrapped.fileno())
            check.events = 0
        check.sock = wrapped
        check.mark = self._clock()
        self._handshake(check)

    def _handshake(self, check: _Check) -> None:
        from senior_backend.health import tls

        try:
            check.sock.do_handshake()
        except tls.WantRead:
            self._watch(check, _READ)
            return
        except tls.WantWrite:
            self._watch(check, _WRITE)
            return
        except OSError as error:
            self._resume(check, failure=tls.failure(error))
            return
        check.stage = "open"
        now = self._clock()
        check.phases.tls = max(0.0, now - check.mark)
        check.mark = now
        self._watch(check, _READ)
        try:
            certificate = tls.certificate(check.sock)
        except ValueError:
            certificate = None
        check.certificate = certificate
        direct = check.target is not None and check.target.tls is not None and check.tls is not None
        self._resume(check, Peer(check.address or "", certificate) if direct else certificate)

    # -- threads --------------------------------------------------------------------------------------------------

    def _call(self, check: _Check, step: Call) -> None:
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

    def _looked_up(self, check: _Check, lookup: Lookup) -> None:
        try:
            waits, value = self._resolved(check, lookup, max(0.0, self._now - check.mark))
        except Failure as error:
            self._resume(check, failure=error)
        else:
            if not waits:
                self._resume(check, value)


def _wants_more(error: OSError) -> bool:
    return type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")


def open_limit_of_process() -> int:
    """Raise the soft limit of descriptors to the hard one; return how many connections fit beside what is open."""
    try:
        import resource
    except ImportError:  # Windows
        return 256
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MAX_OPEN + RESERVED_DESCRIPTORS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
            soft = wanted
        except (OSError, ValueError):
            wanted = soft
    else:
        wanted = min(wanted, soft) if soft != resource.RLIM_INFINITY else wanted
    return max(4, wanted - RESERVED_DESCRIPTORS)
