"""Servers that behave badly in one way each, for probes to be tried on."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator

Behaviour = Callable[[socket.socket], None]


@contextlib.contextmanager
def serving(behave: Behaviour, host: str = "127.0.0.1") -> Iterator[int]:
    """Serve on a free port of `host`, each connection in a thread of its own; yield the port."""
    listener = socket.create_server((host, 0), backlog=512)
    stopped = threading.Event()

    def accept() -> None:
        while not stopped.is_set():
            try:
                peer, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=_hold, args=(peer,), daemon=True).start()

    def _hold(peer: socket.socket) -> None:
        with contextlib.suppress(OSError), peer:
            behave(peer)

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield listener.getsockname()[1]
    finally:
        stopped.set()
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def silent(peer: socket.socket) -> None:
    peer.settimeout(20)
    while peer.recv(4096):
        pass


def closing(peer: socket.socket) -> None:
    peer.settimeout(0.05)
    with contextlib.suppress(TimeoutError):
        peer.recv(4096)


def resetting(peer: socket.socket) -> None:
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def dripping(peer: socket.socket) -> None:
    for byte in b"x" * 400:
        peer.send(bytes([byte]))
        time.sleep(0.05)


def flooding(peer: socket.socket) -> None:
    while True:
        peer.sendall(b"\0\xff" * 32768)


def saying(text: bytes) -> Behaviour:
    """Return a server that says `text` to everybody, reads for a moment, and closes."""

    def behave(peer: socket.socket) -> None:
        peer.sendall(text)
        peer.settimeout(0.3)
        with contextlib.suppress(TimeoutError):
            while peer.recv(4096):
                pass

    return behave


def http(status: int, body: bytes = b"", *headers: str, delay: float = 0.0) -> Behaviour:
    """Return a server that answers every request with this response."""
    lines = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", "Connection: close", *headers]

    def behave(peer: socket.socket) -> None:
        peer.settimeout(5)
        peer.recv(65536)
        time.sleep(delay)
        peer.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    return behave


def free_port() -> int:
    """Return a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])
