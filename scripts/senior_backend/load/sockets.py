"""Names, addresses, non-blocking connects and TLS; and what their failures mean in the taxonomy."""

from __future__ import annotations

import contextlib
import errno
import select
import socket
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

from senior_backend.load.model import ErrorKind

if TYPE_CHECKING:
    from senior_backend.load.model import Target, TLSOptions

_REFUSED = frozenset(
    {
        errno.ECONNREFUSED,
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
        errno.EHOSTDOWN,
        errno.ENETDOWN,
        errno.EACCES,
        errno.EPERM,
        errno.ENOENT,
        errno.EINVAL,
    }
)
_IN_PROGRESS = frozenset({errno.EINPROGRESS, errno.EWOULDBLOCK, errno.EAGAIN, errno.EINTR, 0})


class Unreachable(Exception):  # noqa: N818 - a finding about the target, not a fault of the program
    """The target cannot be used at all: `kind` says which class, `message` what was seen."""

    def __init__(self, kind: ErrorKind, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


@dataclass(frozen=True, slots=True)
class Address:
    """A resolved address, ready for `socket.connect`."""

    family: int
    sockaddr: tuple[str, int] | tuple[str, int, int, int]


def resolve(target: Target, timeout_s: float) -> list[Address]:
    """Return the target's addresses in the resolver's order; raise Unreachable (dns) when there is none in time."""
    box: list[list[Address] | OSError] = []

    def ask() -> None:
        try:
            found = socket.getaddrinfo(target.host, target.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            box.append(error if isinstance(error, OSError) else OSError(str(error)))
            return
        box.append([Address(family, sockaddr) for family, _, _, _, sockaddr in found])  # type: ignore[arg-type]

    asking = threading.Thread(target=ask, daemon=True, name="resolver")
    asking.start()
    asking.join(timeout_s)
    if not box:
        raise Unreachable(ErrorKind.DNS, f"{target.host}: no answer from the resolver within {timeout_s:g} s")
    answer = box[0]
    if isinstance(answer, OSError):
        raise Unreachable(ErrorKind.DNS, f"{target.host}: {answer.strerror or answer}")
    if not answer:
        raise Unreachable(ErrorKind.DNS, f"{target.host}: no address")
    return answer


def tls_context(options: TLSOptions) -> ssl.SSLContext:
    """Return a client context; raise Unreachable (tls) when a certificate file cannot be used."""
    try:
        context = ssl.create_default_context(cafile=options.ca_file)
        if options.certificate_file:
            context.load_cert_chain(options.certificate_file, options.key_file)
    except (OSError, ssl.SSLError) as error:
        raise Unreachable(ErrorKind.TLS, f"certificate file cannot be used: {error}") from error
    if not options.verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    return context


def classify(error: BaseException) -> ErrorKind:
    """Return the class of an error of a socket call."""
    if isinstance(error, ssl.SSLError):
        return ErrorKind.RESET if isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)) else ErrorKind.TLS
    code = error.errno if isinstance(error, OSError) else None
    if code in (errno.EMFILE, errno.ENFILE):
        return ErrorKind.FD_LIMIT
    if code in (errno.EADDRNOTAVAIL, errno.EADDRINUSE):
        return ErrorKind.PORT_EXHAUSTION
    if code == errno.ETIMEDOUT:
        return ErrorKind.CONNECT_TIMEOUT
    return ErrorKind.REFUSED if code in _REFUSED else ErrorKind.RESET


def describe(error: BaseException) -> str:
    """Return an error in one line: the symbolic name and the text."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{errno.errorcode.get(error.errno, error.errno)}: {error.strerror}"
    return str(error) or type(error).__name__


def start_connect(address: Address) -> socket.socket:
    """Return a non-blocking socket that is connecting; raise OSError."""
    connection = socket.socket(address.family, socket.SOCK_STREAM)
    try:
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        code = connection.connect_ex(address.sockaddr)
        if code not in _IN_PROGRESS:
            raise OSError(code, errno_text(code))
    except BaseException:
        connection.close()
        raise
    return connection


def errno_text(code: int) -> str:
    """Return the system's text for an error number."""
    import os

    return os.strerror(code)


def reach(target: Target, timeout_s: float) -> Address:
    """Return the first address that accepts a connection (and speaks TLS, where asked); raise Unreachable.

    The connection is closed at once and no request is sent. All addresses share the timeout.
    """
    import time

    end = time.monotonic() + timeout_s
    context = tls_context(target.tls) if target.tls else None
    failure: Unreachable | None = None
    addresses = resolve(target, timeout_s)
    for place, address in enumerate(addresses):
        share = max(0.05, (end - time.monotonic()) / (len(addresses) - place))
        try:
            _try(address, target, context, share)
        except Unreachable as problem:
            failure = failure or problem
        else:
            return address
    raise failure or Unreachable(ErrorKind.DNS, f"{target.host}: no address")


def choose(target: Target, timeout_s: float) -> Address:
    """Return the address to use: the first that accepts a TCP connection, or the first where none does.

    `localhost` often has an IPv6 address that nothing listens on. Raise Unreachable (dns) without any address.
    """
    addresses = resolve(target, timeout_s)
    for address in addresses if len(set(addresses)) > 1 else ():
        with contextlib.suppress(Unreachable):
            _try(address, target, None, min(timeout_s, 1.0))
            return address
    return addresses[0]


def _try(address: Address, target: Target, context: ssl.SSLContext | None, timeout_s: float) -> None:
    where = f"{target.host} ({address.sockaddr[0]}) port {target.port}"
    try:
        connection = start_connect(address)
    except OSError as error:
        raise Unreachable(classify(error), f"{where}: {describe(error)}") from error
    with connection:
        if not select.select([], [connection], [], timeout_s)[1]:
            raise Unreachable(ErrorKind.CONNECT_TIMEOUT, f"{where}: no answer within {timeout_s:.1f} s")
        code = connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            refusal = OSError(code, errno_text(code))
            raise Unreachable(classify(refusal), f"{where}: {describe(refusal)}")
        if context is None or target.tls is None:
            return
        connection.settimeout(timeout_s)
        try:
            context.wrap_socket(connection, server_hostname=target.tls.server_name or target.host).close()
        except TimeoutError as error:
            raise Unreachable(ErrorKind.CONNECT_TIMEOUT, f"{where}: no TLS handshake in time") from error
        except (OSError, ValueError) as error:
            raise Unreachable(ErrorKind.TLS, f"{where}: {describe(error)}") from error
