"""A conversation with its repetitions, inside the service's own timeout."""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any

from senior_backend.health.model import Service
from senior_backend.health.reasons import REASONS
from senior_backend.health.steps import Answer, Connect, Conversation, Failure, Sleep, StartTls, Step, TlsOptions

PAUSE = 0.2
_CERTIFICATE = frozenset({"tls_expired", "tls_untrusted", "tls_hostname", "tls_not_yet_valid"})
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
    """
    while True:
        try:
            return (yield from _with_certificate(converse(service)))
        except Failure as failure:
            if failure.reason in _WAIT_AND_REPEAT:
                yield Sleep(0.05 + 0.05 * jitter())
                continue
            if failure.reason in _CERTIFICATE and service.tls is not None:
                raise (yield from _dated(service, failure)) from None
            if trace.attempts > service.retries or not REASONS[failure.reason].transport:
                raise
            trace.first_failure = trace.first_failure or failure.reason
        trace.attempts += 1
        yield Sleep(PAUSE + PAUSE * jitter())


def _with_certificate(conversation: Conversation) -> Conversation:
    """Add the end date of the certificate that was seen to the facts of the answer."""
    value = None
    not_after: float | None = None
    failure: Failure | None = None
    while True:
        try:
            step = conversation.throw(failure) if failure else conversation.send(value)
        except StopIteration as stop:
            answer: Answer = stop.value
            if not_after is None:
                return answer
            facts = {**answer.facts, "not_after": not_after}
            return Answer(answer.note, facts, answer.headers, answer.body, answer.reason)
        failure = None
        try:
            value = yield step
        except Failure as raised:
            failure = raised
            continue
        if isinstance(step, Connect | StartTls):
            certificate = value.certificate if isinstance(step, Connect) else value
            not_after = certificate.not_after if certificate else not_after


def _dated(service: Service, failure: Failure) -> Generator[Step, Any, Failure]:
    assert service.tls is not None
    server_name = service.tls.server_name or service.host
    try:
        peer = yield Connect(service.host, service.port, tls=TlsOptions(server_name=server_name, insecure=True))
    except Failure:
        return failure
    facts = {"not_after": peer.certificate.not_after} if peer.certificate else {}
    return Failure(failure.reason, failure.detail, {**failure.facts, **facts})
