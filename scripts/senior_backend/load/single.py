"""One request outside the load: login and setup steps, metric scrapes, a specification from a URL."""

from __future__ import annotations

import contextlib
import http.client
import socket
import threading
from typing import TYPE_CHECKING

from senior_backend.console.errors import UnavailableError
from senior_backend.load.model import Response
from senior_backend.load.sockets import Unreachable, describe, tls_context

if TYPE_CHECKING:
    from senior_backend.load.model import Target

MAX_BODY = 16 * 1024 * 1024


class ExchangeError(Exception):
    """No whole response came; the message says why."""


def exchange(target: Target, payload: bytes, timeout_s: float, method: str = "GET") -> Response:
    """Send one message on a connection of its own and return the response.

    Raises:
        ExchangeError: refused, reset, too slow, not HTTP, a TLS failure, or a body above 16 MB.
    """
    try:
        with contextlib.ExitStack() as stack:
            plain = stack.enter_context(socket.create_connection((target.host, target.port), timeout=timeout_s))
            connection: socket.socket = plain
            if target.tls is not None:
                context = tls_context(target.tls)
                connection = stack.enter_context(context.wrap_socket(plain, server_hostname=target.tls.server_name))
            # The socket's own timeout starts again with each byte; this one ends a server that drips.
            guard = threading.Timer(timeout_s, _hang_up, (connection,))
            guard.daemon = True
            guard.start()
            stack.callback(guard.cancel)
            connection.sendall(payload)
            answer = stack.enter_context(contextlib.closing(http.client.HTTPResponse(connection, method=method)))
            answer.begin()
            body = answer.read(MAX_BODY + 1)
            if len(body) > MAX_BODY:
                raise ExchangeError(f"the body is larger than {MAX_BODY} bytes")
            fields = b"".join(
                f"\r\n{name}: {value}".encode("latin-1", "replace") for name, value in answer.getheaders()
            )
            return Response(answer.status, f"HTTP/1.1 {answer.status}".encode() + fields, body)
    except TimeoutError as error:
        raise ExchangeError(f"no whole answer within {timeout_s:g} s") from error
    except http.client.HTTPException as error:
        raise ExchangeError(f"not a whole HTTP response ({type(error).__name__} {error})") from error
    except (OSError, Unreachable) as error:
        raise ExchangeError(describe(error)) from error


def closing(payload: bytes) -> bytes:
    """Return a message that asks the server to close the connection after its answer."""
    return payload.replace(b"\r\n", b"\r\nConnection: close\r\n", 1)


def _hang_up(connection: socket.socket) -> None:
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)


def get(target: Target, authority: str, path: str, timeout_s: float) -> Response:
    """Fetch a path with GET.

    Raises:
        UnavailableError: no whole response came.
    """
    lines = [f"GET {path} HTTP/1.1", f"Host: {authority}", "User-Agent: senior-backend-load-test", "Accept: */*"]
    payload = "\r\n".join([*lines, "Connection: close", "", ""]).encode()
    try:
        return exchange(target, payload, timeout_s)
    except ExchangeError as error:
        raise UnavailableError(
            f"no answer from {authority}{path}: {error}", code="no-answer", where=path, hint="Check that it is served."
        ) from error
