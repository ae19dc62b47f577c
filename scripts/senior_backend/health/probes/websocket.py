"""A WebSocket (RFC 6455): the upgrade, a ping that must be answered, and a clean close."""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Generator
from typing import Any

from senior_backend.health.config.values import TEXT, TEXT_MAP, WORD, Example, Field
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe, connect_step
from senior_backend.health.probes import http as http_probe
from senior_backend.health.steps import Answer, Conversation, Exactly, Failure, Send, Step

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
PING, PONG, CLOSE = 9, 10, 8
MAX_FRAMES = 50
MAX_FRAME = 1 << 20


def converse(service: Service) -> Conversation:
    """Upgrade, ping, close."""
    options = service.options
    nonce = options.get("nonce") or base64.b64encode(secrets.token_bytes(16)).decode()
    headers = {**http_probe.request_headers(options), "Upgrade": "websocket", "Sec-WebSocket-Key": nonce}
    headers["Sec-WebSocket-Version"] = "13"
    if options.get("subprotocol"):
        headers["Sec-WebSocket-Protocol"] = options["subprotocol"]
    yield connect_step(service)
    authority = http_probe.authority("https" if service.tls else "http", service.host, service.port)
    text = http_probe.request("GET", authority, options.get("path", "/"), headers)
    yield Send(text.replace(b"Connection: close", b"Connection: Upgrade"))
    status, received = yield from http_probe.head()
    if status != 101:
        reason = "auth_failed" if status in (401, 403) else "http_status"
        detail = f"the upgrade was answered with {status}"
        if 200 <= status < 300:
            reason, detail = "protocol_mismatch", f"{detail}: the path is no WebSocket, or a proxy drops `Upgrade`"
        raise Failure(reason, detail, {"status": status})
    expected = base64.b64encode(hashlib.sha1(nonce.encode() + _GUID, usedforsecurity=False).digest()).decode()
    if received.get("sec-websocket-accept") != expected:
        raise Failure("protocol_mismatch", "Sec-WebSocket-Accept is wrong: not a WebSocket server")
    facts = {"status": status, "subprotocol": received.get("sec-websocket-protocol")}
    yield Send(frame(PING, b"health"))
    for _ in range(MAX_FRAMES):
        kind, payload = yield from _frame()
        if kind == PONG and payload == b"health":
            yield Send(frame(CLOSE, b"\x03\xe8"))
            return Answer("ping answered", facts)
        if kind == PING:
            yield Send(frame(PONG, payload))
        if kind == CLOSE:
            code = int.from_bytes(payload[:2], "big") if len(payload) > 1 else 1005
            raise Failure("not_serving", f"closed at once with code {code}", facts)
    raise Failure("protocol_mismatch", f"{MAX_FRAMES} frames without an answer to the ping", facts)


def _frame() -> Generator[Step, Any, tuple[int, bytes]]:
    first, second = yield Exactly(2)
    size = second & 127
    if size > 125:
        size = int.from_bytes((yield Exactly(2 if size == 126 else 8)), "big")
    if second & 128 or size > MAX_FRAME:
        raise Failure("protocol_mismatch", "the server sent a frame that no server may send")
    return first & 15, ((yield Exactly(size)) if size else b"")


def frame(kind: int, payload: bytes) -> bytes:
    """Return a masked frame, as clients have to send."""
    mask = secrets.token_bytes(4)
    return bytes([0x80 | kind, 0x80 | len(payload)]) + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(payload))


_NONCE = {"nonce": "dGhlIHNhbXBsZSBub25jZQ=="}
_SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
)

PROBE = Probe(
    type="websocket",
    title="WebSocket upgrade and ping",
    converse=converse,
    schemes={"ws": False, "wss": True},
    port=80,
    tls_port=443,
    aliases=("ws",),
    fields=(
        Field("path", TEXT, "Path, when the service is given by host and port."),
        Field("headers", TEXT_MAP, "Headers to send; masked in every output.", secret=True),
        Field("subprotocol", TEXT, "Value of Sec-WebSocket-Protocol."),
        Field("user", WORD, "User of Basic authentication."),
        Field("password", WORD, "Password of Basic authentication.", secret=True),
        Field("bearer", TEXT, "Bearer token.", secret=True),
    ),
    facts={"status": "number", "subprotocol": "text"},
    from_url=http_probe.from_url,
    validate=http_probe.validate,
    examples=(
        Example("a ping is answered", (_SWITCH, b"\x8a\x06health"), options=_NONCE),
        Example("a message first", (_SWITCH, b"\x81\x02hi\x8a\x06health"), options=_NONCE),
        Example("the key of RFC 6455 with a wrong answer", (_SWITCH.replace(b"s3pP", b"AAAA"),), "protocol_mismatch",
                options=_NONCE),
        Example("refused", (b"HTTP/1.1 403 Forbidden\r\n\r\n",), "auth_failed", options=_NONCE),
        Example("no upgrade", (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",), "protocol_mismatch", options=_NONCE),
        Example("a proxy without a backend", (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n",), "http_status",
                options=_NONCE),
        Example("closed at once", (_SWITCH, b"\x88\x02\x03\xf3"), "not_serving", options=_NONCE),
    ),
)  # fmt: skip
