"""SMTP (RFC 5321): greeting, EHLO, STARTTLS (RFC 3207) where asked for, QUIT."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

from senior_backend.health.config.values import BOOLEAN, Example, Field
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe, connect_step
from senior_backend.health.steps import Answer, Conversation, Failure, Send, StartTls, Step, Until, printable

MAX_LINES = 100


def converse(service: Service) -> Conversation:
    """Greet, begin TLS, say goodbye."""
    yield connect_step(service)
    code, lines = yield from _reply()
    if code != 220:
        if code != 421:  # then the server closes by itself
            yield Send(b"QUIT\r\n")
            with contextlib.suppress(Failure):
                yield from _reply()
        raise Failure(_why(lines[0].lower()), f"greeted with {code} {lines[0]}")
    banner = lines[0]
    extensions = yield from _hello()
    facts: dict[str, Any] = {"starttls": "STARTTLS" in extensions}
    if service.options.get("starttls"):
        if not facts["starttls"]:
            raise Failure("tls_handshake", "the server does not offer STARTTLS", facts)
        yield Send(b"STARTTLS\r\n")
        code, lines = yield from _reply()
        if code != 220:
            raise Failure("tls_handshake", f"STARTTLS was answered with {code} {lines[0]}", facts)
        yield StartTls(service.host, service.tls_options)
        yield from _hello()
    yield Send(b"QUIT\r\n")
    yield from _reply()
    return Answer(banner, facts)


def _why(text: str) -> str:
    """Return the reason of a greeting that is none; the codes 421 and 554 have many (RFC 5321, section 4.2.3)."""
    if "too many" in text or "connection" in text:
        return "too_many_connections"
    if "rejected" in text or "denied" in text or "blocked" in text:
        return "not_allowed"
    return "shutting_down" if "shutting down" in text or "shutdown" in text else "not_serving"


def _hello() -> Generator[Step, Any, set[str]]:
    yield Send(b"EHLO health-check.invalid\r\n")
    code, lines = yield from _reply()
    if code != 250:
        yield Send(b"QUIT\r\n")
        raise Failure("server_error", f"EHLO was answered with {code} {lines[0]}")
    return {line.split(" ")[0].upper() for line in lines[1:]}


def _reply() -> Generator[Step, Any, tuple[int, list[str]]]:
    lines = []
    for _ in range(MAX_LINES):
        raw = (yield Until(b"\n", 2048)).decode("utf-8", "replace").rstrip("\r\n")
        if not raw[:3].isdigit() or raw[3:4] not in ("", " ", "-"):
            raise Failure("protocol_mismatch", f"not SMTP: the answer begins {printable(raw)}")
        lines.append(raw[4:])
        if raw[3:4] != "-":
            return int(raw[:3]), lines
    raise Failure("protocol_mismatch", "an answer without an end")


_GREETING = b"220 mail.example.org ESMTP\r\n"
_EHLO = b"250-mail.example.org\r\n250-SIZE 1000\r\n250 STARTTLS\r\n"

PROBE = Probe(
    type="smtp",
    title="SMTP greeting",
    converse=converse,
    schemes={"smtp": False, "smtps": True},
    port=25,
    tls_port=465,
    fields=(Field("starttls", BOOLEAN, "Begin TLS with STARTTLS and verify the certificate."),),
    facts={"starttls": "boolean"},
    examples=(
        Example("a greeting", (_GREETING, _EHLO, b"221 bye\r\n")),
        Example("a greeting of several lines", (b"220-hello\r\n220 there\r\n", _EHLO, b"221 bye\r\n")),
        Example("too busy", (b"421 too many connections\r\n",), "too_many_connections"),
        Example("shutting down", (b"421 4.3.2 Service shutting down\r\n",), "shutting_down"),
        Example("this host is not let in", (b"554 5.7.1 Client host rejected: Access denied\r\n", b"221 bye\r\n"),
                "not_allowed"),
        Example("no service", (b"554 no SMTP service here\r\n", b"221 bye\r\n"), "not_serving"),
        Example("STARTTLS is not offered", (_GREETING, b"250 mail.example.org\r\n"), "tls_handshake",
                options={"starttls": True}),
        Example("an SSH server", (b"SSH-2.0-OpenSSH_9.2\r\n",), "protocol_mismatch"),
    ),
)  # fmt: skip
