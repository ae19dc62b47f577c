"""gRPC Health Checking Protocol v1 over HTTP/2 (RFC 9113), without a gRPC library."""

from __future__ import annotations

import struct
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import SplitResult, unquote

from senior_backend.health.config.values import TEXT, TEXT_MAP, Example, Field
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe
from senior_backend.health.probes._hpack import Decoder, literal
from senior_backend.health.steps import Answer, Connect, Conversation, Exactly, Failure, Send, Step, printable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, CONTINUATION = 0, 1, 3, 4, 5, 6, 7, 9
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITY = 1, 1, 4, 8, 0x20
MAX_FRAME = 16384
MAX_FRAMES = 100
_SERVING = {0: "UNKNOWN", 1: "SERVING", 2: "NOT_SERVING", 3: "SERVICE_UNKNOWN"}
_CODES = {"1": "CANCELLED", "2": "UNKNOWN", "4": "DEADLINE_EXCEEDED", "5": "NOT_FOUND", "7": "PERMISSION_DENIED",
          "8": "RESOURCE_EXHAUSTED", "12": "UNIMPLEMENTED", "13": "INTERNAL", "14": "UNAVAILABLE",
          "16": "UNAUTHENTICATED"}  # fmt: skip


def converse(service: Service) -> Conversation:
    """Call grpc.health.v1.Health/Check."""
    name = service.options.get("service", "")
    yield Connect(service.host, service.port, tls=service.tls, alpn=("h2",))
    yield Send(_request(service, name))
    headers, message = yield from _response()
    status = headers.get("grpc-status", "0" if message else "")
    text = unquote(headers.get("grpc-message", ""))
    if headers.get(":status", "200") != "200":
        raise Failure("protocol_mismatch", f"HTTP/2 status {headers[':status']}: not a gRPC server")
    kind = headers.get("content-type", "application/grpc")
    if not kind.startswith("application/grpc"):
        raise Failure("protocol_mismatch", f"HTTP/2, but not gRPC: an answer of type {printable(kind)}")
    if status == "12":
        raise Failure("unsupported", "the server has no health service (UNIMPLEMENTED); add grpc.health.v1 to it")
    if status in ("16", "7"):
        raise Failure("auth_failed", f"{_CODES[status]} {text}")
    if status == "5":
        raise Failure("not_found", f"the server knows no service {name!r} (NOT_FOUND)")
    if status != "0":
        raise Failure("server_error", f"grpc-status {status or 'missing'} {_CODES.get(status, '')} {text}".strip())
    serving = _SERVING.get(_enum(message), "UNKNOWN")
    if serving != "SERVING":
        raise Failure("not_serving", f"{name or 'the server'}: {serving}", {"serving": serving})
    return Answer(f"{name}: SERVING" if name else "SERVING", {"serving": serving})


def _request(service: Service, name: str) -> bytes:
    authority = f"{service.host}:{service.port}"
    # Indexed fields of the static table: :method POST (3), :scheme http (6) or https (7).
    block = b"\x83" + (b"\x87" if service.tls else b"\x86")
    block += literal(":path", "/grpc.health.v1.Health/Check") + literal(":authority", authority)
    block += literal("content-type", "application/grpc") + literal("te", "trailers")
    block += literal("grpc-timeout", f"{max(1, int(service.timeout * 1000))}m")
    for key, value in (service.options.get("headers") or {}).items():
        block += literal(key.lower(), value)
    raw = name.encode()
    payload = b"\x0a" + _varint(len(raw)) + raw if raw else b""
    body = b"\0" + struct.pack("!I", len(payload)) + payload
    settings = struct.pack("!HIHI", 1, 0, 2, 0)  # HEADER_TABLE_SIZE 0, ENABLE_PUSH 0
    return (
        PREFACE
        + frame(SETTINGS, 0, 0, settings)
        + frame(HEADERS, END_HEADERS, 1, block)
        + frame(DATA, END_STREAM, 1, body)
    )


def _varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number % 128 + 128]) + _varint(number // 128)


def _response() -> Generator[Step, Any, tuple[dict[str, str], bytes]]:
    """Read frames until the stream ends; return all headers and trailers, and the message bytes."""
    headers: dict[str, str] = {}
    data, block = b"", b""
    decoder = Decoder()
    settled = False
    for _ in range(MAX_FRAMES):
        kind, flags, stream, payload = yield from _frame(settled=settled)
        settled = True
        if kind == SETTINGS and not flags & ACK:
            yield Send(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            yield Send(frame(PING, ACK, 0, payload))
        elif kind == GOAWAY:
            reason = payload[8:].decode("utf-8", "replace")
            raise Failure("server_error", f"GOAWAY {struct.unpack('!I', payload[4:8])[0]} {reason}".strip())
        elif stream != 1:
            continue
        elif kind == RST_STREAM:
            raise Failure("server_error", f"RST_STREAM {struct.unpack('!I', payload[:4])[0]}")
        elif kind == DATA:
            data += _unpadded(flags, payload)
        elif kind in (HEADERS, CONTINUATION):
            block += _unpadded(flags, payload) if kind == HEADERS else payload
            if kind == HEADERS and flags & PRIORITY:
                block = block[5:]
            if flags & END_HEADERS:
                headers.update(decoder.decode(block))
                block = b""
        if flags & END_STREAM and kind in (DATA, HEADERS):
            return headers, data
    raise Failure("protocol_mismatch", f"{MAX_FRAMES} frames without an end")


def _frame(*, settled: bool) -> Generator[Step, Any, tuple[int, int, int, bytes]]:
    head = yield Exactly(9)
    size = int.from_bytes(head[:3], "big")
    if size > MAX_FRAME or (not settled and head[3] != SETTINGS):
        raise Failure("protocol_mismatch", f"not HTTP/2: the answer begins {printable(head)}")
    payload = (yield Exactly(size)) if size else b""
    return head[3], head[4], struct.unpack("!I", head[5:9])[0] & 0x7FFFFFFF, payload


def _unpadded(flags: int, payload: bytes) -> bytes:
    return payload[1 : len(payload) - payload[0]] if flags & PADDED else payload


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return an HTTP/2 frame."""
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + struct.pack("!I", stream) + payload


def _enum(message: bytes) -> int:
    """Return field 1 of the HealthCheckResponse behind the five bytes of the gRPC prefix."""
    if len(message) < 5 or message[0] != 0:
        raise Failure("protocol_mismatch", "the message is compressed or cut off")
    body = message[5:]
    return body[1] if len(body) > 1 and body[0] == 0x08 else 0


def _from_url(parts: SplitResult) -> Mapping[str, Any]:
    name = unquote(parts.path.strip("/"))
    return {"service": name} if name else {}


def _said(*frames: bytes) -> bytes:
    return frame(SETTINGS, 0, 0, b"") + b"".join(frames)


_OK = frame(HEADERS, END_HEADERS, 1, b"\x88")


def _message(value: int) -> bytes:
    return frame(DATA, 0, 1, b"\0\0\0\0\2\x08" + bytes([value]))


def _trailers(status: str) -> bytes:
    return frame(HEADERS, END_HEADERS | END_STREAM, 1, literal("grpc-status", status))


PROBE = Probe(
    type="grpc",
    title="gRPC health protocol",
    converse=converse,
    schemes={"grpc": False, "grpcs": True},
    port=50051,
    tls_port=443,
    fields=(
        Field("service", TEXT, "Name of the gRPC service; empty asks for the server as a whole."),
        Field("headers", TEXT_MAP, "Metadata to send; masked in every output.", secret=True),
    ),
    facts={"serving": "text"},
    from_url=_from_url,
    examples=(
        Example("serving", (_said(_OK, _message(1), _trailers("0")),)),
        Example("not serving", (_said(_OK, _message(2), _trailers("0")),), "not_serving"),
        Example("an unknown service", (_said(_trailers("5")),), "not_found", options={"service": "x"}),
        Example("no health service", (_said(_trailers("12")),), "unsupported"),
        Example("a call without credentials", (_said(_trailers("16")),), "auth_failed"),
        Example("another HTTP/2 server", (_said(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x88" +
                literal("content-type", "text/plain"))),), "protocol_mismatch"),
        Example("it goes away", (_said(frame(GOAWAY, 0, 0, b"\0" * 8)),), "server_error"),
        Example("an HTTP/1 server", (b"HTTP/1.1 400 Bad Request\r\n\r\n",), "protocol_mismatch"),
        Example("a broken header block", (_said(frame(HEADERS, 5, 1, b"\xff\xff\xff\xff\xff\xff")),),
                "protocol_mismatch"),
    ),
)  # fmt: skip
