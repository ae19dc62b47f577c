"""Requests and responses of a run: which request is next, what a response means, what a failure counts as.

This is everything the loop does that is not on its fast path. `Exchange` holds the state of a run; `engine.Loop` adds
the schedule.
"""

from __future__ import annotations

import random
import ssl
from collections import Counter, deque
from typing import TYPE_CHECKING

from senior_backend.load.http import HEAD_END, Head, ProtocolError, ResponseParser, parse_head
from senior_backend.load.model import NANOSECONDS, ErrorExample, ErrorKind, Response, StaticWorkload
from senior_backend.load.poller import READABLE, WRITABLE
from senior_backend.load.pool import BUSY, IDLE, WAIT, Connection, Pool, Route
from senior_backend.load.recorder import Recorder, pack_meta
from senior_backend.load.sockets import classify, describe

if TYPE_CHECKING:
    from collections.abc import Callable

    from senior_backend.load.model import Plan, Prepared, Workload

RECEIVE_BYTES = 16 * 1024
LARGE_RECEIVE_BYTES = 256 * 1024
LONG_BODY_PIECES = 4
"""How many large pieces of one body are taken before the loop looks at other connections again."""
CLOSED_REST_NS = 100_000_000
"""A closed loop's user rests this long after a failed request, else a refusing server makes it spin."""
SURPLUS = "bytes follow the end of the response: a body longer than announced, or one where there must be none"
HEADS_KEPT = 4096
ORDER_LENGTH = 8192
"""Length of the cycle of weighted requests."""


class Exchange:
    """The requests of one run on one pool of connections."""

    pool: Pool

    def __init__(
        self,
        plan: Plan,
        workload: StaticWorkload | Workload,
        *,
        clock: Callable[[], int],
        part: int,
        parts: int,
    ) -> None:
        self.plan = plan
        self.workload = workload
        self.clock = clock
        self.part, self.parts = part, parts
        self.closed = plan.arrivals == "closed"
        self.recorder = Recorder(max(1, plan.exact_samples // parts))
        self.waiting: deque[tuple[int, int, Route]] = deque()
        """Requests that are due and not sent: intended and noticed clock reading, and the request."""
        self.resting: deque[int] = deque()
        """When users of a closed loop, who rest after a failure, go on."""
        self.follows: deque[Route] = deque()
        self.heads: tuple[dict[bytes, Head], dict[bytes, Head]] = ({}, {})
        self.arrivals = 0
        self.base = self.end = 0
        self.started = self.serving = self.over = False
        self.failed: Counter[ErrorKind] = Counter()
        self.failed_statuses: Counter[int] = Counter()
        self.examples: dict[ErrorKind, ErrorExample] = {}
        self.races = self.server_closes = 0
        self.unused_failures = self.most_used = 0
        self.retry_after_now: float | None = None
        self.order: list[Route] = []
        if isinstance(workload, StaticWorkload):
            self.order = self._static_order(workload)
        self.only = self.order[0] if len(self.order) == 1 and not self._follows_possible() else None

    def _static_order(self, workload: StaticWorkload) -> list[Route]:
        routes = [self._route(prepared, static=prepared.follow is None) for prepared in workload.requests]
        if len(routes) == 1:
            return routes
        draw = random.Random(f"{self.plan.seed}/{self.part}")  # noqa: S311 - a simulation
        return draw.choices(routes, weights=workload.weights, k=ORDER_LENGTH)

    def _follows_possible(self) -> bool:
        return any(route.prepared.follow is not None for route in self.order)

    def _route(self, prepared: Prepared, *, static: bool = False) -> Route:
        return Route(prepared, self.heads[prepared.head], static=static)

    def draw(self) -> Route:
        """Return the request of the next arrival."""
        if self.closed and self.follows:
            return self.follows.popleft()
        number = self.arrivals
        self.arrivals = number + 1
        if self.order:
            return self.order[number % len(self.order)]
        assert not isinstance(self.workload, StaticWorkload)
        return self._route(self.workload.next(number * self.parts + self.part))

    def serve(self) -> None:
        """Give waiting requests the idle connections, and open new ones for the rest, up to the cap."""
        pool, waiting = self.pool, self.waiting
        if self.serving or self.over:
            return  # a send that fails at once asks again: the outer call goes on
        self.serving = True
        while waiting:
            connection = pool.take_idle()
            if connection is None:
                break
            connection.intended, connection.noticed, connection.route = waiting.popleft()
            connection.state = BUSY
            connection.sent = self.clock()
            self.send_rest(connection, memoryview(connection.route.payload))
        while pool.opening < len(waiting) and pool.open():
            pass
        self.serving = False

    def send_rest(self, connection: Connection, data: memoryview) -> None:
        """Send what the socket takes; the rest when it is writable again."""
        try:
            sent = connection.send(data)
        except OSError as error:
            if not isinstance(error, WAIT):
                self.send_failed(connection, error)
                return
            sent = 0
        watched = connection.unsent is not None
        connection.unsent = data[sent:] if sent < len(data) else None
        if (connection.unsent is not None) != watched:
            self.pool.poller.modify(connection.fd, READABLE if watched else READABLE | WRITABLE)

    def partly_sent(self, connection: Connection, sent: int) -> None:
        """Remember the rest of a request that the socket has taken only in part."""
        connection.unsent = memoryview(connection.route.payload)[sent:]
        self.pool.poller.modify(connection.fd, READABLE | WRITABLE)

    def send_failed(self, connection: Connection, error: OSError) -> None:
        """Look after a send that would block, or that failed."""
        if isinstance(error, WAIT):
            self.partly_sent(connection, 0)
            return
        # The peer may have answered before it closed (a 413 or 503 to a long body): that says more than the reset.
        connection.unsent = None
        try:
            data = connection.recv(RECEIVE_BYTES)
        except OSError:
            data = b""
        if data:
            self.take(connection, data)
        if connection.state == BUSY:
            self.lost(connection, classify(error), describe(error))

    def attend(self, connection: Connection, events: int) -> None:
        """Handle any event that is not simply bytes of an awaited response."""
        if connection.state < IDLE:
            self.pool.advance(connection, events)
            return
        if connection.state == BUSY and connection.unsent is not None and events & WRITABLE:
            self.send_rest(connection, connection.unsent)
        if connection.state == BUSY and events & ~WRITABLE:
            try:
                data = connection.recv(RECEIVE_BYTES)
            except OSError as error:
                self.receive_failed(connection, error)
                return
            self.take(connection, data)
        elif connection.state == IDLE:
            self._idle_event(connection)

    def _idle_event(self, connection: Connection) -> None:
        try:
            connection.recv(RECEIVE_BYTES)
        except WAIT:
            return  # a TLS record without data, such as a session ticket
        except OSError:
            pass
        self.server_closes += 1
        self.pool.close(connection)

    def take(self, connection: Connection, data: bytes) -> None:
        """Handle bytes of an awaited response outside the fast path."""
        meta = self.received(connection, data, self.clock())
        if meta >= 0:
            self.record(connection, connection.done, meta)
            self.free(connection, connection.done)

    def record(self, connection: Connection, now: int, meta: int) -> None:
        """Keep a finished request."""
        self.recorder.rows.extend(
            (connection.intended, connection.noticed, connection.sent, connection.first, now, meta)
        )

    def free(self, connection: Connection, now: int) -> None:
        """Give a connection that is ready again its next request."""
        connection.used = True
        connection.state = IDLE
        self.pool.idle.append(connection)
        self._next_of_user(now)
        self.serve()

    def _next_of_user(self, now: int) -> None:
        """Let the user of a closed loop go on at once."""
        if self.closed and now < self.end:
            self.waiting.append((now, now, self.draw()))

    def received(self, connection: Connection, data: bytes, now: int) -> int:
        """Take bytes of a response; return its meta when it is complete and the connection stays, else -1.

        What needs another end (a broken response, a connection that closes) has been recorded when this returns -1.
        """
        if not data:
            connection.done = now
            return self._closed_by_peer(connection)
        route = connection.route
        connection.done = now
        whole = b"" if connection.parser else data
        try:
            if connection.parser is None:
                connection.first = now
                end = data.find(HEAD_END)
                if end >= 0:
                    head = data[:end]
                    info = route.heads.get(head) or self._learn_head(route, head)
                    if len(data) == end + 4 + info.length and not info.interim:
                        return self._complete(connection, info, head, data[end + 4 :], data)
                connection.parser = self._parser(route)
            done = connection.parser.feed(data)
            for _ in range(LONG_BODY_PIECES):
                if done or connection.parser.head is None:
                    break
                more = self._more(connection)
                if more is None:
                    return -1
                whole = b""
                connection.done = self.clock()
                if not more:
                    return self._closed_by_peer(connection)
                done = connection.parser.feed(more)
        except ProtocolError as error:
            self._fail(connection, ErrorKind.PROTOCOL, str(error))
            return -1
        return self._parsed(connection, whole) if done else -1

    def _more(self, connection: Connection) -> bytes | None:
        """Return further bytes, b"" at the end, None when there are none now."""
        parser = connection.parser
        assert parser is not None
        try:
            return connection.recv(LARGE_RECEIVE_BYTES)
        except WAIT:
            return None
        except OSError as error:
            self.receive_failed(connection, error)
            return None

    def _learn_head(self, route: Route, head: bytes) -> Head:
        info = parse_head(head, to_head_request=route.prepared.head)
        if len(route.heads) >= HEADS_KEPT:
            route.heads.clear()
        route.heads[head] = info
        return info

    def _parser(self, route: Route) -> ResponseParser:
        plan = self.plan
        return ResponseParser(
            to_head_request=route.prepared.head,
            max_head=plan.max_head_bytes,
            max_body=plan.max_body_bytes,
            keep=plan.max_kept_body_bytes if route.prepared.check or route.prepared.follow else 0,
        )

    def _parsed(self, connection: Connection, whole: bytes) -> int:
        parser = connection.parser
        assert parser is not None
        assert parser.head is not None
        if parser.surplus:
            self._fail(connection, ErrorKind.PROTOCOL, SURPLUS)
            return -1
        connection.parser = None
        return self._complete(connection, parser.head, parser.head_bytes, bytes(parser.kept), whole)

    def _closed_by_peer(self, connection: Connection) -> int:
        parser = connection.parser
        if parser is None or not parser.started:
            self.lost(connection, ErrorKind.RESET, "the connection was closed before any byte of the response")
            return -1
        try:
            parser.end()
        except ProtocolError as error:
            self._fail(connection, ErrorKind.PROTOCOL, str(error))
            return -1
        return self._parsed(connection, b"")

    def receive_failed(self, connection: Connection, error: OSError) -> None:
        """Look after a receive that would block, or that failed."""
        if isinstance(error, WAIT):
            return
        if isinstance(error, ssl.SSLEOFError):
            self.take(connection, b"")  # closed without the goodbye of TLS, as many servers do
            return
        self.lost(connection, classify(error), describe(error))

    def _complete(self, connection: Connection, info: Head, head: bytes, body: bytes, whole: bytes) -> int:
        """Judge a complete response; return its meta, or -1 when it is recorded and the connection closed.

        `whole` is the response as it was received, if in one piece, to be recognised next time.
        """
        route, now = connection.route, connection.done
        prepared = route.prepared
        status = info.status
        expected = 200 <= status < 400 if prepared.expected is None else status in prepared.expected
        kind, message = ErrorKind.NONE, ""
        response = Response(status, head, body) if prepared.check or prepared.follow else None
        if not expected:
            kind, message = ErrorKind.STATUS, f"status {status}"
        elif prepared.check and response:
            message = prepared.check(response) or ""
            kind = ErrorKind.CHECK if message else ErrorKind.NONE
        if kind:
            self.unused_failures += not connection.used
            self._count_failure(kind, message, route, status, now)
            if status in (429, 503) and info.retry_after_s is not None:
                self.retry_after_now = max(self.retry_after_now or 0.0, info.retry_after_s)
        meta = pack_meta(prepared.request, status, kind)
        if prepared.follow:
            self._follow(prepared, response, now)
        if info.close or not self.plan.keep_alive or connection.unsent is not None:
            # With a part of the request unsent, the server would read that as the next request.
            self.server_closes += info.close
            self.record(connection, now, meta)
            self.pool.close(connection)
            self._next_of_user(now)
            self.serve()
            return -1
        if not kind and route.static and whole:
            route.last, route.last_meta = whole, meta
        return meta

    def _follow(self, prepared: Prepared, response: Response | None, now: int) -> None:
        follow = prepared.follow(response) if prepared.follow else None
        if follow is None:
            return
        route = self._route(follow)
        if self.closed:
            self.follows.append(route)
        else:
            self.waiting.append((now, now, route))

    def lost(self, connection: Connection, kind: ErrorKind, message: str) -> None:
        """End a request whose connection is gone; send it again where the retry policy says so."""
        raced = connection.used and connection.parser is None and kind is ErrorKind.RESET
        if raced and connection.route.prepared.idempotent:
            self.races += 1
            self.waiting.appendleft((connection.intended, connection.noticed, connection.route))
            self.pool.close(connection)
            self.serve()
            return
        if connection.parser is not None:
            message += f" (after {connection.parser.body_bytes} bytes of the body)"
        self._fail(connection, kind, message)

    def _fail(self, connection: Connection, kind: ErrorKind, message: str) -> None:
        """Record a request that failed on a connection, and close that."""
        route, parser, now = connection.route, connection.parser, self.clock()
        status = parser.head.status if parser and parser.head else 0
        self.unused_failures += not connection.used
        if connection.first < connection.sent:
            connection.first = now
        self._count_failure(kind, message, route, status, now)
        self.record(connection, now, pack_meta(route.prepared.request, status, kind))
        self.pool.close(connection)
        if route.prepared.follow:
            self._follow(route.prepared, None, now)
        self._rest_of_user(now)
        self.serve()

    def fail_waiting(self, kind: ErrorKind, message: str) -> None:
        """Record that the request which has waited longest failed without having been sent."""
        if not self.waiting:
            return
        now = self.clock()
        intended, noticed, route = self.waiting.popleft()
        self._count_failure(kind, message, route, 0, now)
        self.recorder.rows.extend((intended, noticed, now, now, now, pack_meta(route.prepared.request, 0, kind)))
        if route.prepared.follow:
            self._follow(route.prepared, None, now)
        self._rest_of_user(now)

    def _rest_of_user(self, now: int) -> None:
        if self.closed and now < self.end:
            self.resting.append(now + CLOSED_REST_NS)

    def _count_failure(self, kind: ErrorKind, message: str, route: Route, status: int, now: int) -> None:
        self.failed[kind] += 1
        if status:
            self.failed_statuses[status] += 1
        if kind not in self.examples:
            name = self.workload.names[route.prepared.request]
            self.examples[kind] = ErrorExample(message, name, max(0.0, (now - self.base) / NANOSECONDS))

    def connection_ready(self, connection: Connection) -> None:
        """Use a new connection."""
        self.pool.idle.append(connection)
        if self.started:
            self.serve()

    def connection_failed(self, kind: ErrorKind, message: str) -> None:
        """Charge a failed attempt to the request that has waited longest; without one it is not a request's failure."""
        if self.started:
            self.fail_waiting(kind, message)

    def expire(self, now: int) -> int:
        """End requests and connects that have taken too long; return the number of requests in flight."""
        latest = now - int(self.plan.timeout_s * NANOSECONDS)
        in_flight = used = 0
        late = []
        for connection in self.pool.connections.values():
            used += connection.used
            if connection.state == BUSY:
                in_flight += 1
                if connection.sent <= latest:
                    late.append(connection)
        self.most_used = max(self.most_used, used)
        for connection in late:
            self.give_up(connection, now)
        self.pool.expire(now, self.plan.connect_timeout_s)
        while self.resting and self.resting[0] <= now:
            self.resting.popleft()
            self._next_of_user(now)
        self.serve()
        return in_flight - len(late)

    def give_up(self, connection: Connection, now: int) -> None:
        """End a request that has not been answered completely in time."""
        parser = connection.parser
        got = f"; {parser.body_bytes} bytes of the body had come" if parser and parser.head else ""
        if now - connection.sent >= int(self.plan.timeout_s * NANOSECONDS):
            message = f"no complete response within {self.plan.timeout_s:g} s{got}"
            self._fail(connection, ErrorKind.READ_TIMEOUT, message)
        else:
            waited = (now - connection.sent) / NANOSECONDS
            self._fail(connection, ErrorKind.UNFINISHED, f"no answer {waited:.1f} s after sending{got}")
