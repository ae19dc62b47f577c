"""A conversation with its repetitions, inside the service's own timeout."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from senior_backend.health.model import Service
from senior_backend.health.reasons import REASONS
from senior_backend.health.steps import Connect, Conversation, Failure, Sleep, Step, TlsOptions

PAUSE = 0.2
_CERTIFICATE = frozenset({"tls_expired", "tls_untrusted", "tls_weak", "tls_hostname", "tls_not_yet_valid"})
_HUNG_UP = frozenset({"connection_reset", "connection_closed"})
_WAIT_AND_REPEAT = frozenset({"checker_fd_limit", "checker_ports"})


@dataclass(slots=True)
class Trace:
    """How often a service was asked, and what the first failure was."""

    attempts: int = 1
    first_failure: str = ""


def attempts(
    service: Service,
    converse: Callable[[Service], Conversation],
    trace: Trace,
    jitter: Callable[[], float] = random.random,
) -> Conversation:
    """Hold the conversation; repeat it after a transport failure (200 ms and full jitter later).

    When the checker itself lacks descriptors or ports, it waits for the other checks to end, as long as there is time.
    A certificate that does not verify is looked at once more without verification, sending nothing, for its end date.
    Where a peer hangs up on plain text without a word, a TLS handshake tells whether that was what it waited for.
    """
    while True:
        try:
            return (yield from converse(service))
        except Failure as failure:
            if failure.reason in _WAIT_AND_REPEAT:
                yield Sleep(0.05 + 0.05 * jitter())
                continue
            if failure.reason in _CERTIFICATE and service.tls is not None:
                yield from _date(service)
                raise
            if trace.attempts > service.retries or not REASONS[failure.reason].transport:
                if _may_want_tls(service, failure) and (yield from _speaks_tls(service)):
                    raise Failure("tls_expected", failure.detail) from None
                raise
            trace.first_failure = trace.first_failure or failure.reason
        trace.attempts += 1
        yield Sleep(PAUSE + PAUSE * jitter())


def _may_want_tls(service: Service, failure: Failure) -> bool:
    mute = failure.reason == "connection_reset" or failure.detail.startswith("before it sent anything")
    return mute and failure.reason in _HUNG_UP and service.tls is None and bool(service.host and service.port)


def _speaks_tls(service: Service) -> Generator[Step, Any, bool]:
    """Shake hands without verification and send nothing."""
    try:
        yield Connect(service.host, service.port, tls=TlsOptions(server_name=service.host, insecure=True))
    except Failure as failure:
        return failure.reason in ("tls_client_certificate", "tls_hostname")
    return True


def _date(service: Service) -> Generator[Step, Any, None]:
    """Let the engine see the certificate without verification; nothing is sent."""
    assert service.tls is not None
    options = TlsOptions(server_name=service.tls.server_name or service.host, insecure=True)
    with contextlib.suppress(Failure):
        yield Connect(service.host, service.port, tls=options)
