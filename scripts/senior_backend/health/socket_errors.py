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
    alert = getattr(error, "reason", None)  # of TLS; told by its attribute, for the reason below
    if alert:
        return alerted(str(alert))
    return Failure("connection_reset", error.strerror or str(error))


def alerted(alert: str) -> Failure:
    """Return what OpenSSL's name of an alert or error of TLS means.

    An alert about a certificate is about ours: of the server's, we are the judge (RFC 8446, section 6.2).
    """
    text = alert.lower().replace("_", " ")
    if "alert" in text and ("certificate" in text or "unknown ca" in text):
        return Failure("tls_client_certificate", text)
    if "unrecognized name" in text:
        return Failure("tls_hostname", "the server has no site of this name")
    hint = "; the port does not speak TLS" if "wrong version" in text or "http request" in text else ""
    return Failure("tls_handshake", text + hint)


def wants_more(error: OSError) -> bool:
    """Whether TLS only waits for the socket; told by name, since `ssl` is not loaded for plain connections."""
    return type(error).__name__ in ("SSLWantReadError", "SSLWantWriteError")
