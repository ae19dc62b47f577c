"""AMQP 0-9-1 (RabbitMQ): Connection.Start, and with credentials the login, the virtual host and a queue's depth."""

from __future__ import annotations

import secrets
import struct
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import SplitResult, unquote

from senior_backend.health.config.values import BOOLEAN, TEXT, WORD, Example, Field
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe, connect_step
from senior_backend.health.steps import Answer, Conversation, Exactly, Failure, Send, Step, stranger

HEADER = b"AMQP\x00\x00\x09\x01"
METHOD, HEARTBEAT, FRAME_END = 1, 8, 0xCE
START, TUNE, OPEN_OK, CLOSE, CLOSE_OK = (10, 10), (10, 30), (10, 41), (10, 50), (10, 51)
CHANNEL_OPEN_OK, CHANNEL_CLOSE, DECLARE_OK, CONFIRM_OK = (20, 11), (20, 40), (50, 11), (85, 11)
BLOCKED, ACK = (10, 60), (60, 80)
MAX_FRAME = 131072
_CLOSED = {403: "auth_failed", 404: "not_found", 530: "auth_failed", 320: "not_serving"}


def converse(service: Service) -> Conversation:
    """Open a connection as far as the credentials allow, and close it as the protocol asks."""
    options = service.options
    yield connect_step(service)
    yield Send(HEADER)
    _, arguments = yield from _method(START, first=True)
    product = _product(arguments)
    facts: dict[str, Any] = {"version": product}
    user = options.get("user")
    if user is None:
        return Answer(f"Connection.Start from {product or 'the broker'}; no login was configured", facts)
    plain = b"\0" + str(user).encode() + b"\0" + str(options.get("password") or "").encode()
    yield Send(_frame(0, (10, 11), _PROPERTIES + _short("PLAIN") + _long(plain) + _short("en_US")))
    _, arguments = yield from _method(TUNE, refusal="auth_failed")
    channels, size, _ = struct.unpack("!HIH", arguments[:8])
    yield Send(_frame(0, (10, 31), struct.pack("!HIH", channels, size or MAX_FRAME, 0)))
    yield Send(_frame(0, (10, 40), _short(options.get("vhost", "/")) + _short("") + b"\0"))
    yield from _method(OPEN_OK, refusal="auth_failed")
    queue = options.get("queue")
    if queue or options.get("publish"):
        yield Send(_frame(1, (20, 10), _short("")))
        yield from _method(CHANNEL_OPEN_OK)
    if options.get("publish"):
        yield from _publish()
    if queue:
        yield Send(_frame(1, (50, 10), struct.pack("!H", 0) + _short(queue) + b"\x01" + struct.pack("!I", 0)))
        _, arguments = yield from _method(DECLARE_OK)
        name = 1 + arguments[0]
        facts["messages"], facts["consumers"] = struct.unpack("!II", arguments[name : name + 8])
    yield Send(_frame(0, CLOSE, struct.pack("!H", 200) + _short("bye") + struct.pack("!HH", 0, 0)))
    yield from _method(CLOSE_OK)
    return Answer(f"logged in to {options.get('vhost', '/')}, {product}", facts)


def _publish() -> Generator[Step, Any, None]:
    """Publish to nobody, with a confirm: a broker under a memory or disk alarm tells a connection so only then."""
    yield Send(_frame(1, (85, 10), b"\0"))
    yield from _method(CONFIRM_OK)
    yield Send(
        _frame(1, (60, 40), struct.pack("!H", 0) + _short("") + _short(f"health-check-{secrets.token_hex(8)}") + b"\0")
    )
    header = struct.pack("!HHQH", 60, 0, 1, 0)
    yield Send(struct.pack("!BHI", 2, 1, len(header)) + header + bytes([FRAME_END]))
    yield Send(struct.pack("!BHI", 3, 1, 1) + b"x" + bytes([FRAME_END]))
    yield from _method(ACK)


def _method(
    wanted: tuple[int, int], *, first: bool = False, refusal: str = "server_error"
) -> Generator[Step, Any, tuple[tuple[int, int], bytes]]:
    """Read frames up to the wanted method; a close or an end of the connection becomes the failure `refusal`."""
    while True:
        try:
            kind, payload = yield from _read_frame(first=first)
        except Failure as failure:
            # Brokers older than RabbitMQ 3.3 close the connection on a refused login.
            if failure.reason == "connection_closed" and refusal == "auth_failed":
                raise Failure("auth_failed", "the broker closed the connection after the login") from None
            raise
        first = False
        if kind == HEARTBEAT:
            continue
        name = struct.unpack("!HH", payload[:4])
        if name == wanted:
            return name, payload[4:]
        if name == BLOCKED:
            raise Failure(
                "writes_refused",
                f"the broker takes no messages: {payload[5 : 5 + payload[4]].decode('utf-8', 'replace')}",
            )
        if name in (CLOSE, CHANNEL_CLOSE):
            (code,) = struct.unpack("!H", payload[4:6])
            text = payload[7 : 7 + payload[6]].decode("utf-8", "replace")
            reason = _CLOSED.get(code, refusal)
            if code == 530 and "not found" in text:
                reason = "not_found"
            raise Failure(reason, f"{code} {text}")


def _read_frame(*, first: bool) -> Generator[Step, Any, tuple[int, bytes]]:
    head = yield Exactly(7)
    if first and head[:4] == b"AMQP":
        version = (head + (yield Exactly(1)))[4:]
        raise Failure("version_mismatch", f"the server speaks AMQP {'.'.join(str(part) for part in version)}")
    kind, _, size = struct.unpack("!BHI", head)
    if kind not in (1, 2, 3, HEARTBEAT) or size > MAX_FRAME:
        raise stranger("AMQP", head)
    payload = (yield Exactly(size + 1)) if size + 1 else b""
    if payload[-1] != FRAME_END:
        raise Failure("protocol_mismatch", "a frame does not end where it says")
    return kind, payload[:-1]


def _product(arguments: bytes) -> str:
    """Return product and version out of the server's properties, where they are found as long strings."""
    words = []
    for name in (b"\x07productS", b"\x07versionS"):
        at = arguments.find(name)
        if at >= 0:
            at += len(name)
            (size,) = struct.unpack("!I", arguments[at : at + 4])
            words.append(arguments[at + 4 : at + 4 + min(size, 60)].decode("utf-8", "replace"))
    return " ".join(words)


def _frame(channel: int, name: tuple[int, int], arguments: bytes) -> bytes:
    payload = struct.pack("!HH", *name) + arguments
    return struct.pack("!BHI", METHOD, channel, len(payload)) + payload + bytes([FRAME_END])


def _short(text: str) -> bytes:
    raw = text.encode()[:255]
    return bytes([len(raw)]) + raw


def _long(data: bytes) -> bytes:
    return struct.pack("!I", len(data)) + data


# With this capability a broker tells a refused login at once instead of closing silently seconds later.
_CAPABILITIES = b"\x1cauthentication_failure_closet\x01\x12connection.blockedt\x01"
_PROPERTIES = _long(b"\x07productS" + _long(b"health_check") + b"\x0ccapabilitiesF" + _long(_CAPABILITIES))


def _from_url(parts: SplitResult) -> Mapping[str, Any]:
    path = parts.path[1:]
    return {"vhost": unquote(path)} if path else {}


_START = _frame(
    0,
    START,
    b"\0\x09" + _long(b"\x07productS" + _long(b"RabbitMQ") + b"\x07versionS" + _long(b"3.13.1")) + _long(b"PLAIN")
    + _long(b"en_US"),
)  # fmt: skip
_TUNE = _frame(0, TUNE, struct.pack("!HIH", 2047, 131072, 60))
_LOGIN = {"user": "guest", "password": "guest"}


def _close(code: int, text: str) -> bytes:
    return _frame(0, CLOSE, struct.pack("!H", code) + _short(text) + struct.pack("!HH", 0, 0))


PROBE = Probe(
    type="amqp",
    title="AMQP 0-9-1 login and queue depth",
    converse=converse,
    schemes={"amqp": False, "amqps": True},
    port=5672,
    tls_port=5671,
    aliases=("rabbitmq",),
    fields=(
        Field("user", WORD, "User; without one the broker's first answer is judged."),
        Field("password", WORD, "Password of the login.", secret=True),
        Field("vhost", TEXT, "Virtual host, default /."),
        Field("publish", BOOLEAN, "true: publish a message that no queue gets, which tells a memory or disk alarm."),
        Field("queue", TEXT, "A queue that must exist; gives the facts `messages` and `consumers`."),
    ),
    facts={"messages": "number", "consumers": "number", "version": "text"},
    from_url=_from_url,
    examples=(
        Example("no login configured", (_START,), note="Connection.Start"),
        Example("a login", (_START, _TUNE, _frame(0, OPEN_OK, b"\0"), _frame(0, CLOSE_OK, b"")), options=_LOGIN),
        Example("a wrong password", (_START, _close(403, "ACCESS_REFUSED")), "auth_failed", options=_LOGIN),
        Example("an absent virtual host", (_START, _TUNE, _close(530, "NOT_ALLOWED - vhost x not found")), "not_found",
                options=_LOGIN),
        Example("forced to close", (_START, _TUNE, _close(320, "CONNECTION_FORCED")), "not_serving", options=_LOGIN),
        Example("a queue's depth", (_START, _TUNE, _frame(0, OPEN_OK, b"\0"), _frame(1, CHANNEL_OPEN_OK, _long(b"")),
                _frame(1, DECLARE_OK, _short("q") + struct.pack("!II", 7, 1)), _frame(0, CLOSE_OK, b"")),
                options={**_LOGIN, "queue": "q"}),
        Example("a memory alarm", (_START, _TUNE, _frame(0, OPEN_OK, b"\0"), _frame(1, CHANNEL_OPEN_OK, _long(b"")),
                _frame(1, CONFIRM_OK, b""), _frame(0, BLOCKED, _short("low on memory"))), "writes_refused",
                options={**_LOGIN, "publish": True}),
        Example("messages are taken", (_START, _TUNE, _frame(0, OPEN_OK, b"\0"), _frame(1, CHANNEL_OPEN_OK, _long(b"")),
                _frame(1, CONFIRM_OK, b""), _frame(1, ACK, struct.pack("!QB", 1, 0)), _frame(0, CLOSE_OK, b"")),
                options={**_LOGIN, "publish": True}),
        Example("AMQP 1.0 only", (b"AMQP\x03\x01\x00\x00",), "version_mismatch"),
        Example("an HTTP server", (b"HTTP/1.1 400 Bad Request\r\n\r\n",), "protocol_mismatch"),
        Example("truncated", (_START[:20],), "connection_closed", closes=True),
    ),
)  # fmt: skip
