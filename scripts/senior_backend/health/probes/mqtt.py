"""MQTT 3.1.1: CONNECT, CONNACK, PINGREQ, PINGRESP, DISCONNECT."""

from __future__ import annotations

import secrets
import struct
from typing import Any

from senior_backend.health.config.values import TEXT, WORD, Example, Field
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe, connect_step
from senior_backend.health.steps import Answer, Conversation, Exactly, Failure, Send, printable, stranger

_REFUSALS = {
    1: ("version_mismatch", "the broker does not speak MQTT 3.1.1"),
    2: ("server_error", "the client identifier was rejected"),
    3: ("not_serving", "server unavailable"),
    4: ("auth_failed", "bad user name or password"),
    5: ("auth_failed", "not authorized"),
}


def converse(service: Service) -> Conversation:
    """Connect with a clean session, ping, disconnect."""
    options = service.options
    yield connect_step(service)
    client = options.get("client_id") or f"health-check-{secrets.token_hex(4)}"
    yield Send(_connect(client, options.get("user"), options.get("password")))
    head = yield Exactly(4)
    if head[0] != 0x20 or head[1] != 2:
        raise stranger("MQTT", head)
    code = head[3]
    if code:
        reason, text = _REFUSALS.get(code, ("server_error", f"return code {code}"))
        if reason == "auth_failed" and options.get("user") is None:
            return Answer(f"accepts connections; it wants a login ({text})", {})
        raise Failure(reason, text)
    yield Send(b"\xc0\x00")
    answer = yield Exactly(2)
    if answer != b"\xd0\x00":
        raise Failure("protocol_mismatch", f"the ping was answered with {printable(answer)}")
    yield Send(b"\xe0\x00")
    return Answer("ping answered", {})


def _connect(client: str, user: Any, password: Any) -> bytes:
    flags = 0x02 | (0x80 if user is not None else 0) | (0x40 if user is not None and password is not None else 0)
    body = _text("MQTT") + bytes([4, flags]) + struct.pack("!H", 30) + _text(client)
    if user is not None:
        body += _text(str(user))
        if password is not None:
            body += _text(str(password))
    size, length = len(body), b""
    while True:
        size, digit = divmod(size, 128)
        length += bytes([digit | (0x80 if size else 0)])
        if not size:
            return b"\x10" + length + body


def _text(text: str) -> bytes:
    raw = text.encode()[:65535]
    return struct.pack("!H", len(raw)) + raw


PROBE = Probe(
    type="mqtt",
    title="MQTT connect and ping",
    converse=converse,
    schemes={"mqtt": False, "mqtts": True},
    port=1883,
    tls_port=8883,
    fields=(
        Field("user", WORD, "User."),
        Field("password", WORD, "Password.", secret=True),
        Field("client_id", TEXT, "Client identifier; a random one by default."),
    ),
    examples=(
        Example("a ping is answered", (b"\x20\x02\x00\x00", b"\xd0\x00")),
        Example("a login is wanted", (b"\x20\x02\x00\x05",), note="wants a login"),
        Example("a wrong password", (b"\x20\x02\x00\x04",), "auth_failed", options={"user": "u", "password": "p"}),
        Example("unavailable", (b"\x20\x02\x00\x03",), "not_serving"),
        Example("another version", (b"\x20\x02\x00\x01",), "version_mismatch"),
        Example("an HTTP server", (b"HTTP/1.1 400 Bad Request\r\n\r\n",), "protocol_mismatch"),
    ),
)
