"""Servers whose truth is known, each in a process of its own: `python -m tests.load.servers MODE [options]`.

`queue` simulates a queue with exact arithmetic on one thread that hardly uses the CPU: a request that is read at time
t starts when a worker is free and is answered when its service time is over, so lateness does not add up. `stall` can
be added: the whole process really sleeps. `hostile` answers with the bytes of a named misbehaviour.

Each prints its port and serves until its standard input is closed.
"""

from __future__ import annotations

import argparse
import asyncio
import heapq
import os
import random
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass

BODY = b'{"ok": true}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


def end_with_parent() -> None:
    """End the process when the test that started it is gone."""

    def watch() -> None:
        with suppress(OSError):
            while os.read(0, 1024):
                pass
        os._exit(0)

    threading.Thread(target=watch, daemon=True).start()


def announce(listener: socket.socket) -> None:
    print(listener.getsockname()[1], flush=True)


def listen(port: int = 0) -> socket.socket:
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(1024)
    return listener


class Work:
    """How long each request takes, and when it is answered."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.free = [0.0] * options.workers
        self.draw = random.Random(options.seed)
        self.in_system = 0
        self.first: float | None = None

    def service_s(self, now: float) -> float:
        mean = self.options.service_ms / 1e3
        if self.first is None:
            self.first = now
        mean += self.options.leak_ms_per_s / 1e3 * (now - self.first)
        return self.draw.expovariate(1 / mean) if self.options.exponential and mean else mean

    def finish_at(self, now: float) -> float:
        start = max(now, heapq.heappop(self.free))
        done = start + self.service_s(now)
        heapq.heappush(self.free, done)
        return done


class Stalls:
    """When the whole process sleeps, counted from its first request."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.at, self.for_s, self.every = options.stall_at, options.stall_for, options.stall_every
        self.origin: float | None = None

    def wait(self, now: float) -> float:
        """Return the seconds until the next stall."""
        if self.origin is None or self.at is None:
            return 60.0
        return float(self.origin + self.at - now)

    def sleep_if_due(self, now: float) -> float:
        """Return how long the process has slept."""
        if self.origin is None or self.at is None or now < self.origin + self.at:
            return 0.0
        time.sleep(max(0.0, self.origin + self.at + self.for_s - now))
        self.at = self.at + self.every if self.every else None
        return time.perf_counter() - now


def queue(options: argparse.Namespace) -> None:
    listener = listen()
    listener.setblocking(False)
    poller = select.epoll()
    poller.register(listener.fileno(), select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    work, stalls = Work(options), Stalls(options)
    timers: list[tuple[float, int, int, bytes]] = []
    number = 0
    announce(listener)
    while True:
        now = time.perf_counter()
        while timers and timers[0][0] <= now:
            _, _, fd, answer = heapq.heappop(timers)
            work.in_system -= 1
            if fd in clients:
                with suppress(OSError):
                    clients[fd].send(answer)
        pause = min(timers[0][0] - now if timers else 60.0, stalls.wait(now))
        if pause > 0.0002:
            select.select([poller.fileno()], [], [], pause - 0.0001)
        before = time.perf_counter()
        if slept := stalls.sleep_if_due(before):
            # Work stood still as well: what was not done then takes as much longer.
            work.free = [max(moment, before) + slept for moment in work.free]
            timers = [(max(at, before) + slept, one, fd, answer) for at, one, fd, answer in timers]
        for fd, _ in poller.poll(0, 64):
            if fd == listener.fileno():
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()] = client
                poller.register(client.fileno(), select.EPOLLIN)
                continue
            try:
                data = clients[fd].recv(65536)
            except OSError:
                data = b""
            if not data:
                poller.unregister(fd)
                clients.pop(fd).close()
                continue
            now = time.perf_counter()
            stalls.origin = stalls.origin or now
            for _ in range(data.count(b"\r\n\r\n")):
                if options.fail_above and work.in_system >= options.fail_above:
                    clients[fd].send(BUSY)
                    continue
                work.in_system += 1
                number += 1
                heapq.heappush(timers, (work.finish_at(now), number, fd, ANSWER))


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a reset instead of a regular end."""
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


OK = b"HTTP/1.1 200 OK\r\n"
FIXED = {
    "fine": ANSWER,
    "errors": b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 4\r\n\r\noops",
    "garbage": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "bad-status": b"HTTP/1.1 OK\r\nContent-Length: 0\r\n\r\n",
    "bad-length": OK + b"Content-Length: many\r\n\r\n",
    "two-lengths": OK + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    "both-framings": OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "too-long": OK + b"Content-Length: 2\r\n\r\nabcdef",
    "bad-chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\nabc\r\n0\r\n\r\n",
    "chunked": OK + b"Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\nX-Two: 2\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ANSWER,
    "no-content": b"HTTP/1.1 204 No Content\r\n\r\n",
    "not-modified": b"HTTP/1.1 304 Not Modified\r\nContent-Length: 999\r\n\r\n",
    "head": OK + b"Content-Length: 12345\r\n\r\n",
    "redirect": b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
    "too-many": b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n",
    "folded": OK + b"X-Long: a\r\n  b\r\n\tc\r\ncontent-length: 2\r\n\r\nok",
    "bare-line-feeds": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "no-reason": b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    "same-lengths": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "list-of-lengths": OK + b"Content-Length: 2, 2\r\n\r\nok",
    "signed-length": OK + b"Content-Length: +2\r\n\r\nok",
    "no-content-with-body": b"HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nok",
    "two-answers": ANSWER + ANSWER,
    "switching": b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
    "keep-alive-1.0": b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok",
    "http2": b"\0\0\x12\4\0\0\0\0\0" + bytes(18),
    "many-chunks": OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 500 + b"0\r\n\r\n",
    "interim-flood": b"HTTP/1.1 102 Processing\r\n\r\n" * 50 + ANSWER,
    "gzip": OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\n\x1f\x8b\x08",
}
"""Answers that are the same bytes each time, on a connection that stays open."""


THEN_CLOSE = {
    "half-head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "half-body": OK + b"Content-Length: 100\r\n\r\nonly this",
    "half-chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n64\r\nonly this",
    "until-close": b"HTTP/1.0 200 OK\r\n\r\neverything until the end",
    "close-header": OK + b"Connection: close\r\nContent-Length: 2\r\n\r\nok",
    "close": b"",
    "closed-1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "no-last-line": OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n",
    "early-answer": b"HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
}
"""Bytes after which the connection is closed."""
MIXED = ("fine", "close-header", "silent-close", "chunked", "until-close")


async def pieces(writer: asyncio.StreamWriter) -> bool:
    for byte in FIXED["chunked"]:
        writer.write(bytes((byte,)))
        await writer.drain()
        await asyncio.sleep(0)
    return True


async def never(_: asyncio.StreamWriter) -> bool:
    await asyncio.sleep(3600)
    return False


async def half_and_wait(writer: asyncio.StreamWriter) -> bool:
    writer.write(OK + b"Content-Length: 100\r\n\r\nonly this")
    return await never(writer)


TEN_MEGABYTES = OK + b"".join(b"X-%d: %b\r\n" % (number, b"a" * 1000) for number in range(10_000)) + b"\r\n"


async def big_head(writer: asyncio.StreamWriter) -> bool:
    writer.write(TEN_MEGABYTES)
    await writer.drain()
    return True


async def endless(writer: asyncio.StreamWriter, head: bytes, piece: bytes, pause: float) -> bool:
    writer.write(head)
    while not writer.is_closing():
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(pause)
    return False


async def drip(writer: asyncio.StreamWriter) -> bool:
    for byte in ANSWER * 100:
        if writer.is_closing():
            break
        writer.write(bytes((byte,)))
        await asyncio.sleep(0.05)
    return False


async def reset_now(writer: asyncio.StreamWriter) -> bool:
    reset(writer)
    return False


async def reset_in_body(writer: asyncio.StreamWriter) -> bool:
    writer.write(OK + b"Content-Length: 100\r\n\r\nonly this")
    await writer.drain()
    await asyncio.sleep(0.01)
    return await reset_now(writer)


async def late_body(writer: asyncio.StreamWriter) -> bool:
    """Send the body that a 204 must not have, when the connection is idle again."""
    writer.write(FIXED["no-content"])
    await writer.drain()
    await asyncio.sleep(0.005)
    writer.write(b"body")
    return True


async def late_interim(writer: asyncio.StreamWriter) -> bool:
    for part in (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"):
        writer.write(part)
        await writer.drain()
        await asyncio.sleep(0.01)
    writer.write(ANSWER)
    return True


async def half_close(writer: asyncio.StreamWriter) -> bool:
    """Say goodbye in one direction only, and go on reading."""
    writer.write(ANSWER)
    await writer.drain()
    writer.write_eof()
    await asyncio.sleep(0.5)
    return False


BEHAVIOURS: dict[str, Callable[[asyncio.StreamWriter], Awaitable[bool]]] = {
    "pieces": pieces,
    "never": never,
    "half-and-wait": half_and_wait,
    "late-body": late_body,
    "late-interim": late_interim,
    "half-close": half_close,
    "big-head": big_head,
    "endless-body": lambda writer: endless(writer, OK + b"\r\n", b"x" * 65536, 0),
    "endless-chunks": lambda writer: endless(writer, OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n", 0.001),
    "drip": drip,
    "reset": reset_now,
    "reset-in-body": reset_in_body,
}


async def answer(mode: str, writer: asyncio.StreamWriter, served: int) -> bool:
    """Send what the mode stands for; return whether the connection goes on."""
    if mode == "mixed-close":
        mode = MIXED[served % len(MIXED)]
    if mode == "silent-close":
        writer.write(ANSWER)
        return served < 3
    if mode in ("few-connections", "gone"):
        await asyncio.sleep(0.02)
        mode = "fine"
    if mode in BEHAVIOURS:
        return await BEHAVIOURS[mode](writer)
    writer.write(FIXED[mode] if mode in FIXED else THEN_CLOSE[mode])
    await writer.drain()
    return mode in FIXED


MOST_CONNECTIONS = 4
GONE_S = 0.6


async def hostile_main(mode: str, context: ssl.SSLContext | None) -> None:
    connections = requests = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections, requests
        served = 0
        connections += 1
        if mode == "few-connections" and connections > MOST_CONNECTIONS:
            writer.close()
            return
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ssl.SSLError):
            going_on = True
            while going_on:
                if mode == "greeting":
                    writer.write(FIXED["garbage"])
                    await writer.drain()
                head = await reader.readuntil(b"\r\n\r\n")
                lower = head.lower()
                if b"content-length:" in lower and mode != "early-answer":
                    await reader.readexactly(int(lower.split(b"content-length:")[1].split(b"\r\n")[0]))
                served += 1
                requests += 1
                if mode == "gone" and requests == 1:
                    asyncio.get_running_loop().call_later(GONE_S, os._exit, 1)
                going_on = await answer(mode, writer, served)
        with suppress(ConnectionError, OSError):
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=2**20, backlog=1024, ssl=context)
    announce(server.sockets[0])
    await server.serve_forever()


def hostile(options: argparse.Namespace) -> None:
    context = None
    if options.certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate)
    asyncio.run(hostile_main(options.behaviour, context))


def full_backlog(_options: argparse.Namespace) -> None:
    """Listen and never accept, with a full queue: connects get no answer."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    held = []
    for _number in range(4):
        client = socket.socket()
        client.setblocking(False)
        client.connect_ex(listener.getsockname())
        held.append(client)
    time.sleep(0.1)
    announce(listener)
    time.sleep(3600)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    modes = parser.add_subparsers(dest="mode", required=True)
    add = modes.add_parser("queue")
    add.add_argument("--workers", type=int, default=1)
    add.add_argument("--service-ms", type=float, default=0.0)
    add.add_argument("--exponential", action="store_true")
    add.add_argument("--seed", type=int, default=7)
    add.add_argument("--leak-ms-per-s", type=float, default=0.0)
    add.add_argument("--fail-above", type=int, default=0)
    add.add_argument("--stall-at", type=float)
    add.add_argument("--stall-for", type=float, default=0.0)
    add.add_argument("--stall-every", type=float, default=0.0)
    add.set_defaults(run=queue)
    add = modes.add_parser("hostile")
    add.add_argument("behaviour")
    add.add_argument("--certificate")
    add.set_defaults(run=hostile)
    modes.add_parser("full-backlog").set_defaults(run=full_backlog)
    options = parser.parse_args()
    end_with_parent()
    options.run(options)


if __name__ == "__main__":
    main()
