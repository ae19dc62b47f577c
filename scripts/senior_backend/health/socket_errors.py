"""Errors of the operating system as named failures."""

from __future__ import annotations

import errno
import os
import socket

from senior_backend.health.steps import Failure

SHORT_OF_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_UNREACHABLE = frozenset({errno.ENETUNREACH, errno.EHOSTUNREACH, errno.ENETDOWN, errno.EHOSTDOWN})


def refusal(address: str, family: int, code: int) -> Failure:
    """Return why a connection could not be made."""
    text = f"{address}: {os.strerror(code)}"
    if code == errno.ECONNREFUSED or (code == errno.ENOENT and family == socket.AF_UNIX):
        return Failure("refused", text)
    if code in SHORT_OF_DESCRIPTORS:
        return Failure("checker_fd_limit", text)
    if code == errno.EADDRNOTAVAIL and family == socket.AF_INET:
        return Failure("checker_ports", text)
    if code in (errno.EACCES, errno.EPERM):
        return Failure("permission", text)
    if code == errno.ETIMEDOUT:
        return Failure("connect_timeout", text)
    if code in (errno.ECONNRESET, errno.EPIPE):
        return Failure("connection_reset", text)
    return Failure("unreachable", text)


def broken(error: OSError) -> Failure:
    """Return why an open connection ended."""
    if isinstance(error, ConnectionRefusedError):
        return Failure("refused", error.strerror or "")
    if error.errno in _UNREACHABLE:
        return Failure("unreachable", error.strerror or "")
    return Failure("connection_reset", error.strerror or str(error))


def wants_more(error: OSError) -> bool:
    """Whether TLS only waits for the socket; told by name, since `ssl` is not loaded for plain connections."""
    return type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")
