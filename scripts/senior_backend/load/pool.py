"""The connections of a run: opened without blocking, handed out first come first served, closed and counted.

The pool knows nothing of HTTP. It tells its owner when a connection is ready and why one could not be opened.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from senior_backend.load.model import NANOSECONDS, ErrorKind
from senior_backend.load.poller import READABLE, WRITABLE
from senior_backend.load.sockets import Address, classify, describe, errno_text, start_connect

if TYPE_CHECKING:
    from collections.abc import Callable

    from senior_backend.load.http import ResponseParser
    from senior_backend.load.model import Prepared
    from senior_backend.load.poller import Poller

CONNECTING, HANDSHAKE, IDLE, BUSY, CLOSED = range(5)
"""States of a connection."""

WAIT = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
"""What a non-blocking call raises when it has to be tried again later."""


NOTHING = b"\0"
"""Equal to no response, nor to the empty bytes that mean the end of a connection."""


class Route:
    """A request as the engine sends it, with what it remembers about its responses.

    `last` is the latest complete, expected and kept-alive response and `last_meta` its record: an identical response
    needs no parsing and no checks. Only requests that never change have it.
    """

    __slots__ = ("heads", "last", "last_meta", "payload", "prepared", "size", "static")

    def __init__(self, prepared: Prepared, heads: dict[bytes, Any], *, static: bool) -> None:
        self.prepared = prepared
        self.payload = prepared.payload
        self.size = len(prepared.payload)
        self.heads = heads
        self.static = static
        self.last = NOTHING
        self.last_meta = -1


class Connection:
    """One connection and the request it carries; times are clock readings."""

    __slots__ = (
        "done",
        "fd",
        "first",
        "intended",
        "noticed",
        "opened",
        "parser",
        "recv",
        "route",
        "send",
        "sent",
        "sock",
        "state",
        "unsent",
        "used",
    )

    def __init__(self, sock: socket.socket, opened: int) -> None:
        self.sock = sock
        self.fd = sock.fileno()
        self.send: Callable[[bytes | memoryview], int] = sock.send
        self.recv: Callable[[int], bytes] = sock.recv
        self.state = CONNECTING
        self.opened = opened
        self.used = False
        self.intended = self.noticed = self.sent = self.first = self.done = 0
        self.route: Route = None  # type: ignore[assignment] # set before the state becomes BUSY
        self.parser: ResponseParser | None = None
        self.unsent: memoryview | None = None


class Owner(Protocol):
    """What the pool tells the loop."""

    def connection_ready(self, connection: Connection) -> None:
        """Take over a connection that is open and idle."""

    def connection_failed(self, kind: ErrorKind, message: str) -> None:
        """Learn that one attempt to open a connection has failed."""


class Pool:
    """At most `cap` connections to one address."""

    def __init__(
        self,
        *,
        address: Address,
        context: ssl.SSLContext | None,
        server_name: str,
        cap: int,
        poller: Poller,
        clock: Callable[[], int],
        owner: Owner,
    ) -> None:
        self.address = address
        self.context = context
        self.server_name = server_name
        self.cap = cap
        self.poller = poller
        self.clock = clock
        self.owner = owner
        self.connections: dict[int, Connection] = {}
        self.idle: deque[Connection] = deque()
        self.opening = 0
        self.opened = 0
        self.peak = 0
        self.fd_limited = False
        self.port_limited = False
        self.connects: list[int] = []
        self.handshakes: list[int] = []

    def open(self) -> bool:
        """Begin to open a connection; return False where that cannot be done now. The owner hears of failures."""
        if len(self.connections) >= self.cap:
            return False
        try:
            sock = start_connect(self.address)
        except OSError as error:
            kind = classify(error)
            self.fd_limited |= kind is ErrorKind.FD_LIMIT
            self.port_limited |= kind is ErrorKind.PORT_EXHAUSTION
            if kind.by_generator and self.connections:
                # What is open has to do: a queued request waits for it and is never dropped for want of another.
                self.cap = len(self.connections)
                return False
            self.owner.connection_failed(kind, describe(error))
            return False
        connection = Connection(sock, self.clock())
        self.connections[connection.fd] = connection
        self.poller.register(connection.fd, WRITABLE)
        self.opening += 1
        self.opened += 1
        self.peak = max(self.peak, len(self.connections))
        return True

    def advance(self, connection: Connection, events: int) -> None:
        """Go on with opening a connection after an event."""
        if connection.state == CONNECTING:
            code = connection.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
            if code:
                error = OSError(code, errno_text(code))
                self.fail(connection, classify(error), describe(error))
                return
            if not events & WRITABLE:
                return
            connection.sent = self.clock()
            self.connects.append(connection.sent - connection.opened)
            if self.context is None:
                self._ready(connection)
                return
            connection.state = HANDSHAKE
            try:
                wrapped = self.context.wrap_socket(
                    connection.sock, server_hostname=self.server_name, do_handshake_on_connect=False
                )
            except (ValueError, OSError) as problem:
                self.fail(connection, ErrorKind.TLS, describe(problem))
                return
            connection.sock, connection.send, connection.recv = wrapped, wrapped.send, wrapped.recv
            inner = getattr(wrapped, "_sslobj", None)
            if inner is not None:
                # The methods of SSLSocket are two layers of Python around this object; the checks they make are
                # made here by the connection's state. Without it, as in another implementation, they do as well.
                connection.send, connection.recv = inner.write, inner.read
        self._shake_hands(connection)

    def _shake_hands(self, connection: Connection) -> None:
        sock = connection.sock
        assert isinstance(sock, ssl.SSLSocket)
        try:
            sock.do_handshake()
        except ssl.SSLWantReadError:
            self.poller.modify(connection.fd, READABLE)
        except ssl.SSLWantWriteError:
            self.poller.modify(connection.fd, WRITABLE)
        except ssl.SSLError as error:
            self.fail(connection, ErrorKind.TLS, describe(error))
        except OSError as error:
            self.fail(connection, classify(error), f"during the TLS handshake: {describe(error)}")
        else:
            self.handshakes.append(self.clock() - connection.sent)
            self._ready(connection)

    def _ready(self, connection: Connection) -> None:
        self.opening -= 1
        connection.state = IDLE
        self.poller.modify(connection.fd, READABLE)
        self.owner.connection_ready(connection)

    def fail(self, connection: Connection, kind: ErrorKind, message: str) -> None:
        """Give up a connection that is being opened, and tell the owner."""
        self.close(connection)
        self.owner.connection_failed(kind, message)

    def close(self, connection: Connection) -> None:
        """Close a connection in any state."""
        if connection.state == CLOSED:
            return
        if connection.state in (CONNECTING, HANDSHAKE):
            self.opening -= 1
        connection.state = CLOSED
        connection.parser = connection.unsent = None
        del self.connections[connection.fd]
        self.poller.unregister(connection.fd)
        with contextlib.suppress(OSError):
            connection.sock.close()

    def take_idle(self) -> Connection | None:
        """Return the connection that has been idle the longest, or None."""
        while self.idle:
            connection = self.idle.popleft()
            if connection.state == IDLE:
                return connection
        return None

    def expire(self, now: int, timeout_s: float) -> None:
        """Give up connections that have been opening for too long."""
        latest = now - int(timeout_s * NANOSECONDS)
        for connection in list(self.connections.values()) if self.opening else ():
            if connection.state < IDLE and connection.opened <= latest:
                step = "the TLS handshake" if connection.state == HANDSHAKE else "the connection"
                self.fail(connection, ErrorKind.CONNECT_TIMEOUT, f"{step} was not there within {timeout_s:g} s")

    def close_all(self) -> None:
        """Close everything."""
        for connection in list(self.connections.values()):
            self.close(connection)
