"""Holding a probe's conversation against recorded bytes, without a socket."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any

from senior_backend.health.attempts import Trace
from senior_backend.health.judge import judge
from senior_backend.health.model import Result, Service
from senior_backend.health.outcomes import Outcome, Phases
from senior_backend.health.probes import Probe
from senior_backend.health.steps import (
    Answer,
    Call,
    Certificate,
    Connect,
    Conversation,
    Exactly,
    Failure,
    Peer,
    Send,
    Sleep,
    Some,
    StartTls,
    Until,
    printable,
)


class StalledError(Exception):
    """The conversation waits for bytes that nobody sends."""


def service_of(probe: Probe, options: Mapping[str, Any] | None = None, **fields: Any) -> Service:
    return Service(
        "s", probe.type, **{"host": "h.example", "port": probe.port or 1, "options": options or {}, **fields}
    )


def hold(conversation: Conversation, sent: Sequence[bytes], *, closes: bool = False) -> tuple[Answer, bytes]:
    """Return the answer and all bytes that the probe sent; a failure is raised."""
    pending, buffer, said = list(sent), bytearray(), bytearray()
    value: Any = None
    failure: Failure | None = None
    while True:
        try:
            step = conversation.throw(failure) if failure else conversation.send(value)
        except StopIteration as stop:
            return stop.value, bytes(said)
        value, failure = None, None
        if isinstance(step, Connect):
            buffer.clear()
            value = Peer("192.0.2.1", Certificate(4e9, "f" * 64) if step.tls else None)
        elif isinstance(step, StartTls):
            value = Certificate(4e9, "f" * 64)
        elif isinstance(step, Send):
            said += step.data
        elif isinstance(step, Call):
            value = step.function()
        elif not isinstance(step, Sleep):
            while (value := _taken(step, buffer)) is None:
                if pending:
                    buffer += pending.pop(0)
                elif closes:
                    value = b"" if isinstance(step, Some) else None
                    failure = None if isinstance(step, Some) else Failure("connection_closed")
                    break
                else:
                    raise StalledError(f"{step} with {bytes(buffer)!r}")
                if isinstance(step, Until) and len(buffer) > step.limit and step.delimiter not in buffer:
                    failure = Failure("protocol_mismatch", printable(bytes(buffer)))
                    break


def _taken(step: Any, buffer: bytearray) -> bytes | None:
    size = 0
    if isinstance(step, Exactly) and step.size == 0:
        return b""
    if isinstance(step, Exactly):
        size = step.size if len(buffer) >= step.size else 0
    elif isinstance(step, Until):
        end = buffer.find(step.delimiter)
        size = end + len(step.delimiter) if end >= 0 else 0
    else:
        size = len(buffer)
    if not size:
        return None
    taken = bytes(buffer[:size])
    del buffer[:size]
    return taken


def judged(probe: Probe, service: Service, sent: Sequence[bytes], *, closes: bool = False) -> Result:
    """Return the judgement on a recorded conversation; unreadable answers are treated as the engine does."""
    ended: Answer | Failure
    try:
        ended = hold(probe.converse(service), sent, closes=closes)[0]
    except Failure as failure:
        ended = failure
    except (ValueError, IndexError, KeyError, struct.error):
        ended = Failure("protocol_mismatch", "unreadable")
    return judge(service, Outcome(None, ended, Phases()), Trace(), 0.0)
