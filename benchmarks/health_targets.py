"""Local HTTP targets for measurements: many ports, one process, one answer; some ports may accept and stay silent.

python3 benchmarks/health_targets.py PORTS SILENT prints the first port of each kind and serves until it is ended.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import sys
from typing import cast

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\nConnection: close\r\n\r\n"
ANSWER = HEAD + b'{"status":"ok"}'


def listen(count: int) -> list[socket.socket]:
    """Return `count` listening sockets on free ports of 127.0.0.1."""
    sockets = []
    for _ in range(count):
        sock = socket.create_server(("127.0.0.1", 0), backlog=4096)
        sock.setblocking(False)
        sockets.append(sock)
    return sockets


def main() -> int:
    answering, silent = listen(int(sys.argv[1])), listen(int(sys.argv[2]))
    print(*[sock.getsockname()[1] for sock in answering])
    print(*[sock.getsockname()[1] for sock in silent])
    sys.stdout.flush()
    selector = selectors.DefaultSelector()
    for sock in answering:
        selector.register(sock, selectors.EVENT_READ, "listen")
    for sock in silent:
        selector.register(sock, selectors.EVENT_READ, "silent")
    kept: list[socket.socket] = []
    while True:
        for key, _mask in selector.select():
            sock = cast("socket.socket", key.fileobj)
            if key.data == "talk":
                with contextlib.suppress(OSError):
                    if sock.recv(65536):
                        sock.send(ANSWER)
                selector.unregister(sock)
                sock.close()
                continue
            with contextlib.suppress(BlockingIOError):
                while True:
                    peer = sock.accept()[0]
                    if key.data == "silent":
                        kept.append(peer)
                        continue
                    peer.setblocking(False)
                    try:
                        request = peer.recv(65536)
                    except BlockingIOError:
                        selector.register(peer, selectors.EVENT_READ, "talk")
                        continue
                    if request:
                        peer.send(ANSWER)
                    peer.close()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        main()
