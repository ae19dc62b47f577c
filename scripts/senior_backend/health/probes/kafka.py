"""Kafka wire protocol: ApiVersions, SASL where credentials are given, and the cluster's metadata."""

from __future__ import annotations

import struct
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import SplitResult, unquote

from senior_backend.health.config.values import TEXT, WORD, Example, Field, one_of
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe, connect_step
from senior_backend.health.probes._scram import Scram
from senior_backend.health.steps import Answer, Conversation, Exactly, Failure, Send, Step, printable

METADATA, SASL_HANDSHAKE, API_VERSIONS, SASL_AUTHENTICATE = 3, 17, 18, 36
MAX_ANSWER = 8 << 20
_DIGESTS = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}


def converse(service: Service) -> Conversation:
    """Ask for the protocol versions, log in where configured, and read the metadata."""
    yield connect_step(service)
    versions = yield from _api_versions()
    if service.options.get("user") is not None:
        yield from _log_in(service)
    newest = versions.get(METADATA, (0, 0))
    version = min(newest[1], 4)
    if version < max(1, newest[0]):
        return Answer(f"{len(versions)} APIs", {})
    topic = service.options.get("topic")
    body = (struct.pack("!i", 1) + _string(topic)) if topic else struct.pack("!i", 0)
    if version >= 4:
        body += b"\0"  # topics are not created by looking at them
    answer = yield from _call(METADATA, version, body, 3)
    facts = _metadata(_Reader(answer), version, topic)
    if facts["controller"] < 0:
        raise Failure("not_serving", "the cluster has no controller", facts)
    if topic and facts.get("offline_partitions"):
        raise Failure("not_serving", f"{facts['offline_partitions']} partitions of {topic} have no leader", facts)
    return Answer(f"{facts['brokers']} brokers, controller {facts['controller']}", facts)


def _api_versions() -> Generator[Step, Any, dict[int, tuple[int, int]]]:
    reader = _Reader((yield from _call(API_VERSIONS, 0, b"", 1)))
    error = reader.int16()
    if error:
        raise Failure("server_error", f"ApiVersions gave error {error}")
    return {key: (low, high) for key, low, high in (
        (reader.int16(), reader.int16(), reader.int16()) for _ in range(reader.count()))}  # fmt: skip


def _log_in(service: Service) -> Generator[Step, Any, None]:
    options = service.options
    mechanism = options.get("mechanism", "PLAIN")
    reader = _Reader((yield from _call(SASL_HANDSHAKE, 1, _string(mechanism), 2)))
    if reader.int16():
        offered = [reader.string() for _ in range(reader.count())]
        raise Failure("auth_failed", f"{mechanism} is not offered; the broker has {', '.join(offered)}")
    user, password = str(options["user"]), str(options.get("password") or "")
    if mechanism == "PLAIN":
        yield from _token(b"\0" + user.encode() + b"\0" + password.encode())
        return
    scram = Scram(user, password, _DIGESTS[mechanism])
    challenge = yield from _token(scram.first())
    scram.verify((yield from _token(scram.final(challenge))))


def _token(data: bytes) -> Generator[Step, Any, bytes]:
    reader = _Reader((yield from _call(SASL_AUTHENTICATE, 0, struct.pack("!i", len(data)) + data, 4)))
    error, message = reader.int16(), reader.string()
    if error:
        raise Failure("auth_failed", message or f"error {error}")
    return reader.take(max(0, reader.int32()))


def _call(key: int, version: int, body: bytes, number: int) -> Generator[Step, Any, bytes]:
    request = struct.pack("!hhi", key, version, number) + _string("health_check") + body
    yield Send(struct.pack("!i", len(request)) + request)
    head = yield Exactly(8)
    size, answered = struct.unpack("!ii", head)
    if answered != number or not 4 <= size <= MAX_ANSWER:
        raise Failure("protocol_mismatch", f"not Kafka: the answer begins {printable(head)}")
    answer: bytes = (yield Exactly(size - 4)) if size > 4 else b""
    return answer


def _metadata(reader: _Reader, version: int, topic: str | None) -> dict[str, Any]:
    if version >= 3:
        reader.int32()  # throttle time
    brokers = reader.count()
    for _ in range(brokers):
        reader.int32()
        reader.string()
        reader.int32()
        reader.string()
    if version >= 2:
        reader.string()  # cluster id
    facts: dict[str, Any] = {"brokers": brokers, "controller": reader.int32()}
    if not topic:
        return facts
    offline = behind = 0
    for _ in range(reader.count()):
        error = reader.int16()
        reader.string()
        reader.take(1)
        if error == 3:
            raise Failure("not_found", f"there is no topic {topic}", facts)
        for _ in range(reader.count()):
            reader.int16()
            reader.int32()
            leader = reader.int32()
            replicas = [reader.int32() for _ in range(reader.count())]
            in_sync = [reader.int32() for _ in range(reader.count())]
            offline += leader < 0
            behind += len(in_sync) < len(replicas)
    return {**facts, "offline_partitions": offline, "under_replicated": behind}


class _Reader:
    """Reads the primitive types of the protocol."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        if self._at + size > len(self._data):
            raise IndexError("cut off")
        self._at += size
        return self._data[self._at - size : self._at]

    def int16(self) -> int:
        return int(struct.unpack("!h", self.take(2))[0])

    def int32(self) -> int:
        return int(struct.unpack("!i", self.take(4))[0])

    def count(self) -> int:
        count = self.int32()
        if count > len(self._data):
            raise IndexError("more items than bytes")
        return max(0, count)

    def string(self) -> str:
        size = self.int16()
        return self.take(size).decode("utf-8", "replace") if size >= 0 else ""


def _string(text: str) -> bytes:
    raw = text.encode()
    return struct.pack("!h", len(raw)) + raw


def _from_url(parts: SplitResult) -> Mapping[str, Any]:
    topic = unquote(parts.path.strip("/"))
    return {"topic": topic} if topic else {}


def _answer(number: int, body: bytes) -> bytes:
    return struct.pack("!ii", len(body) + 4, number) + body


_VERSIONS = _answer(1, struct.pack("!hi", 0, 2) + struct.pack("!hhh", 3, 0, 8) + struct.pack("!hhh", 18, 0, 3))
_BROKER = struct.pack("!ii", 0, 1) + struct.pack("!i", 1) + _string("b") + struct.pack("!ih", 9092, -1) + _string("c")


def _topic(error: int, leader: int) -> bytes:
    partition = struct.pack("!hii", 0, 0, leader) + struct.pack("!ii", 1, 1) + struct.pack("!ii", 1, 1)
    return struct.pack("!ih", 1, error) + _string("orders") + b"\0" + struct.pack("!i", 1) + partition


_TOPIC = {"topic": "orders"}

PROBE = Probe(
    type="kafka",
    title="Kafka metadata",
    converse=converse,
    schemes={"kafka": False, "kafkas": True},
    port=9092,
    tls_port=9093,
    fields=(
        Field("user", WORD, "SASL user."),
        Field("password", WORD, "SASL password.", secret=True),
        Field("mechanism", one_of("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"), "SASL mechanism, default PLAIN."),
        Field("topic", TEXT, "A topic that must exist with a leader for every partition."),
    ),
    facts={"brokers": "number", "controller": "number", "offline_partitions": "number", "under_replicated": "number"},
    from_url=_from_url,
    examples=(
        Example("a cluster", (_VERSIONS, _answer(3, _BROKER + struct.pack("!ii", 1, 0)))),
        Example("no controller", (_VERSIONS, _answer(3, _BROKER + struct.pack("!ii", -1, 0))), "not_serving"),
        Example("a topic", (_VERSIONS, _answer(3, _BROKER + struct.pack("!i", 1) + _topic(0, 1))), options=_TOPIC),
        Example("no leader", (_VERSIONS, _answer(3, _BROKER + struct.pack("!i", 1) + _topic(0, -1))), "not_serving",
                options=_TOPIC),
        Example("no such topic", (_VERSIONS, _answer(3, _BROKER + struct.pack("!i", 1) + _topic(3, 1))), "not_found",
                options=_TOPIC),
        Example("a wrong password", (_VERSIONS, _answer(2, struct.pack("!hi", 0, 0)),
                _answer(4, struct.pack("!h", 58) + _string("Authentication failed") + struct.pack("!i", 0))),
                "auth_failed", options={"user": "u", "password": "p"}),
        Example("an HTTP server", (b"HTTP/1.1 400 Bad Request\r\n\r\n",), "protocol_mismatch"),
        Example("truncated metadata", (_VERSIONS, _answer(3, _BROKER)), "protocol_mismatch"),
    ),
)  # fmt: skip
