"""TLS on non-blocking sockets: shared contexts, named failures, and the end date of certificates that do not verify."""

from __future__ import annotations

import datetime
import hashlib
import ssl
from functools import lru_cache
from typing import TYPE_CHECKING

from senior_backend.health.der import element
from senior_backend.health.socket_errors import alerted
from senior_backend.health.steps import Certificate, Failure, TlsOptions

if TYPE_CHECKING:
    import socket

WantRead = ssl.SSLWantReadError
WantWrite = ssl.SSLWantWriteError

# X509_V_ERR_* of OpenSSL's x509_vfy.h.
_EXPIRED, _NOT_YET_VALID, _HOSTNAME, _IP_ADDRESS = 10, 9, 62, 64
_WEAK = frozenset({66, 67, 68})
"""A key that is too small, of the certificate or of an authority, and a digest that is too weak."""
_SUBJECT_ALT_NAME = b"\x06\x03\x55\x1d\x11"


@lru_cache(maxsize=64)
def context(options: TlsOptions, alpn: tuple[str, ...] = ()) -> ssl.SSLContext:
    """Return the shared context for `options`; loading the authorities costs tens of milliseconds, once.

    Raises:
        Failure: a file with authorities, a certificate or a key cannot be read.
    """
    try:
        if options.insecure:
            made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
            made.check_hostname = False
            made.verify_mode = ssl.CERT_NONE
        else:
            made = ssl.create_default_context(cafile=options.ca)
        if options.cert:
            made.load_cert_chain(options.cert, options.key)
        if alpn:
            made.set_alpn_protocols(list(alpn))
    except OSError as error:
        name = options.cert if options.cert and options.insecure else options.ca or options.cert
        raise Failure("unsupported", f"cannot load {name}: {error.strerror or error}") from error
    return made


def wrap(sock: socket.socket, host: str, options: TlsOptions, alpn: tuple[str, ...] = ()) -> ssl.SSLSocket:
    """Return `sock` wrapped for a handshake that is driven by readiness."""
    return context(options, alpn).wrap_socket(
        sock, do_handshake_on_connect=False, server_hostname=options.server_name or host
    )


def failure(error: OSError) -> Failure:
    """Return the named failure of a handshake that raised `error`."""
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        detail = error.verify_message
        if code == _EXPIRED:
            return Failure("tls_expired", detail)
        if code == _NOT_YET_VALID:
            return Failure("tls_not_yet_valid", detail)
        if code in (_HOSTNAME, _IP_ADDRESS):
            return Failure("tls_hostname", detail)
        return Failure("tls_weak" if code in _WEAK else "tls_untrusted", detail)
    if isinstance(error, ssl.SSLEOFError):
        return Failure("tls_handshake", "the peer closed the connection during the handshake")
    if isinstance(error, ssl.SSLError):
        return alerted(error.reason or str(error))
    return Failure("tls_handshake", error.strerror or str(error))


def certificate(sock: ssl.SSLSocket) -> Certificate | None:
    """Return what the peer's certificate says, from its bytes: those are there without verification too."""
    der = sock.getpeercert(binary_form=True)
    if not der:
        return None
    begins, ends = validity(der)
    return Certificate(ends, hashlib.sha256(der).hexdigest(), sock.version() or "", begins, names(der))


def validity(der: bytes) -> tuple[float, float]:
    """Return when a certificate begins and ends, in Unix time (RFC 5280, section 4.1: Certificate, tbsCertificate).

    Raises:
        ValueError: the bytes are not such a certificate.
    """
    try:
        _, at, _ = element(der, 0)
        _, at, _ = element(der, at)
        tag, start, end = element(der, at)
        if tag == 0xA0:  # the explicit version
            _, start, end = element(der, end)
        for _ in range(3):  # serial number, signature algorithm, issuer
            _, start, end = element(der, end)
        first = element(der, start)
        return _moment(der, *first), _moment(der, *element(der, first[2]))
    except (IndexError, UnicodeDecodeError) as error:
        raise ValueError("not a certificate") from error


def _moment(der: bytes, tag: int, start: int, end: int) -> float:
    form = "%y%m%d%H%M%SZ" if tag == 0x17 else "%Y%m%d%H%M%SZ"
    moment = datetime.datetime.strptime(der[start:end].decode("ascii"), form).replace(tzinfo=datetime.UTC)
    if tag == 0x17 and moment.year >= 2050:  # two-digit years 50 to 99 are 1950 to 1999
        moment = moment.replace(year=moment.year - 100)
    return moment.timestamp()


def names(der: bytes) -> tuple[str, ...]:
    """Return the DNS names that a certificate is for (RFC 5280, section 4.2.1.6), at most ten."""
    at = der.find(_SUBJECT_ALT_NAME)
    found: list[str] = []
    try:
        tag, at, end = element(der, at + len(_SUBJECT_ALT_NAME))
        if tag == 0x01:  # the mark of a critical extension
            _, at, _ = element(der, end)
        _, at, last = element(der, at)
        while at < last and len(found) < 10:
            tag, start, at = element(der, at)
            if tag == 0x82:
                found.append(der[start:at].decode("ascii"))
    except (IndexError, UnicodeDecodeError):
        return ()
    return tuple(found)
