"""The sockets of the checks: connecting, sending, receiving, TLS; each method ends without waiting."""

from __future__ import annotations

import errno
import selectors
import socket
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from senior_backend.health.outcomes import Job, Phases
from senior_backend.health.resolver import Lookup, Resolver
from senior_backend.health.socket_errors import SHORT_OF_DESCRIPTORS, broken, refusal, wants_more
from senior_backend.health.steps import (
    READ_LIMIT,
    Certificate,
    Connect,
    Conversation,
    Exactly,
    Failure,
    Peer,
    StartTls,
    Step,
    Until,
    printable,
)

if TYPE_CHECKING:
    from senior_backend.health.security import AddressPolicy

CHUNK = 65536
_PENDING = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, errno.EALREADY})
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE


@dataclass(slots=True, eq=False)
class Check:
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


class Transport(ABC):
    """What the engine does with sockets; `_resume` goes on with a conversation that has waited for one."""

    _policy: AddressPolicy
    _clock: Callable[[], float]
    _selector: selectors.BaseSelector
    _open: set[Check]
    _open_limit: int
    _now: float
    _per_endpoint: Counter[tuple[str, int]]
    resolver: Resolver

    @abstractmethod
    def _resume(self, check: Check, value: Any = None, failure: Failure | None = None) -> None: ...

    @abstractmethod
    def _timer(self, check: Check, when: float) -> None: ...

    # -- connections ----------------------------------------------------------------------------------------------

    def _connect(self, check: Check, target: Connect) -> tuple[bool, Any]:
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

    def _resolved(self, check: Check, lookup: Lookup, seconds: float) -> tuple[bool, Any]:
        check.phases.dns = seconds
        if lookup.failure:
            raise Failure(lookup.failure.reason, lookup.failure.detail)
        for _, address in lookup.addresses:
            self._policy.check(address)
        only = tuple(pair for pair in lookup.addresses if pair[1] == check.job.address)
        check.addresses = only or lookup.addresses
        return self._open_socket(check)

    def _open_socket(self, check: Check) -> tuple[bool, Any]:
        """Begin to connect to the next address; raise when it fails at once and no other is left."""
        assert check.target is not None
        family, address = check.addresses[check.attempt]
        check.address = address
        try:
            kind = socket.SOCK_DGRAM if check.target.transport == "udp" else socket.SOCK_STREAM
            check.sock = sock = socket.socket(family, kind)
        except OSError as error:
            if error.errno in SHORT_OF_DESCRIPTORS:
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
        if code in _PENDING and sock.family == socket.AF_UNIX:  # such a connection is made at once or not at all
            raise Failure("queue_full", address)
        if code and code not in _PENDING and code != errno.EISCONN:
            return self._next_address(check, refusal(check.address or "", check.sock.family, code))
        if code not in _PENDING and check.target.tls is None:
            self._now = self._clock()
            return False, self._opened(check)
        self._watch(check, _WRITE)
        return True, None

    def _next_address(self, check: Check, failure: Failure) -> tuple[bool, Any]:
        self._close(check)
        if check.attempt + 1 < len(check.addresses):
            check.attempt += 1
            return self._open_socket(check)
        raise failure

    def _connect_failed(self, check: Check, failure: Failure) -> None:
        try:
            waits, value = self._next_address(check, failure)
        except Failure as error:
            self._resume(check, failure=error)
        else:
            if not waits:
                self._resume(check, value)

    def _opened(self, check: Check) -> Peer:
        check.stage = "open"
        check.phases.connect = max(0.0, self._now - check.mark)
        check.mark = self._now
        self._watch(check, _READ)
        return Peer(check.address or "")

    def _watch(self, check: Check, events: int) -> None:
        if check.events == 0:
            self._selector.register(check.sock, events, check)
        elif check.events != events:
            self._selector.modify(check.sock, events, check)
        check.events = events

    def _close(self, check: Check) -> None:
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

    def _ready(self, check: Check, mask: int) -> None:
        if check.stage == "connecting":
            code = check.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                self._connect_failed(check, refusal(check.address or "", check.sock.family, code))
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

    def _send(self, check: Check, data: bytes) -> tuple[bool, Any]:
        if check.sock is None:
            raise Failure("connection_closed", "before the request was sent")
        check.has_sent = True
        try:
            sent = check.sock.send(data)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            if not wants_more(error):
                return self._not_sent(check, error)
            sent = 0
        check.unsent = data[sent:]
        check.mark = self._clock()
        if check.unsent:
            self._watch(check, _READ | _WRITE)
            return True, None
        self._watch(check, _READ)
        return False, None

    def _not_sent(self, check: Check, error: OSError) -> tuple[bool, Any]:
        """A server that refuses often says why before it closes, while we are still speaking: that is worth more."""
        try:
            heard = self._read_now(check)
        except Failure as told:
            raise (told if told.reason.startswith("tls_") else broken(error)) from None
        if not heard:
            ended = "before the request was sent"
            raise (Failure("connection_closed", ended) if _is_end(error) else broken(error)) from None
        check.buffer += heard
        check.ended, check.unsent = True, b""
        self._watch_nothing(check)
        return False, None

    def _take(self, check: Check, step: Step) -> bytes | None:
        """Return what a read step asks for, or None where it has to wait for more."""
        buffer = check.buffer
        if type(step) is Exactly:
            if len(buffer) >= step.size:
                taken = bytes(buffer[: step.size])
                del buffer[: step.size]
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

    def _closed(self, check: Check) -> Failure:
        if check.buffer:
            return Failure("connection_closed", f"its last bytes were {printable(bytes(check.buffer[-80:]))}")
        if check.phases.first_byte is not None:
            return Failure("connection_closed")
        wants = "; after the TLS handshake: it may want a client certificate, or another protocol" if check.tls else ""
        return Failure("connection_closed", f"before it sent anything{wants}")

    def _receive(self, check: Check) -> None:
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
        elif failure is None and check.target and check.target.transport == "udp":
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

    def _read_now(self, check: Check) -> bytes | None:
        """Return what the socket has, `b""` at its end, None when that is nothing yet."""
        try:
            data: bytes = check.sock.recv(CHUNK)
            if check.tls is not None:
                while len(data) < READ_LIMIT and check.sock.pending():
                    data += check.sock.recv(CHUNK)
        except (BlockingIOError, InterruptedError):
            return None
        except OSError as error:
            if wants_more(error):
                return None
            if _is_end(error):
                return b""
            raise broken(error) from None
        return data

    def _watch_nothing(self, check: Check) -> None:
        """Stop listening to a peer that has closed while nobody reads: it would be ready for ever."""
        if check.events:
            self._selector.unregister(check.sock)
            check.events = 0

    # -- TLS ------------------------------------------------------------------------------------------------------

    def _start_tls(self, check: Check, step: StartTls) -> None:
        if check.sock is None:
            raise Failure("connection_closed", "before the TLS handshake")
        if check.buffer:
            said = printable(bytes(check.buffer[:80]))
            raise Failure("protocol_mismatch", f"plain bytes follow the answer that should begin TLS: {said}")
        self._handshake_begins(check, step, ())

    def _handshake_begins(self, check: Check, step: StartTls, alpn: tuple[str, ...]) -> None:
        from senior_backend.health import tls

        check.tls, check.stage = step, "handshake"
        try:
            wrapped = tls.wrap(check.sock, step.server_name, step.options, alpn)
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

    def _handshake(self, check: Check) -> None:
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


def _is_end(error: OSError) -> bool:
    return type(error).__name__ in ("SSLZeroReturnError", "SSLEOFError")
