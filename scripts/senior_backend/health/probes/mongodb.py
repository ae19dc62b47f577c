"""MongoDB: the `hello` command in an OP_MSG; it needs no login and tells whether the member can be written to."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult

from senior_backend.health.config.values import WORD, Example, Field, Reader, one_of
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe, connect_step
from senior_backend.health.steps import Answer, Conversation, Exactly, Failure, Send, printable

OP_MSG = 2013
MAX_ANSWER = 1 << 20


def converse(service: Service) -> Conversation:
    """Say hello and judge the role."""
    yield connect_step(service)
    document = _document(b"\x10hello\0\x01\0\0\0" + b"\x02$db\0\x06\0\0\0admin\0")
    body = struct.pack("<I", 0) + b"\0" + document
    yield Send(struct.pack("<iiii", 16 + len(body), 1, 0, OP_MSG) + body)
    head = yield Exactly(16)
    size, _, answered, code = struct.unpack("<iiii", head)
    if code != OP_MSG or answered != 1 or not 26 <= size <= MAX_ANSWER:
        raise Failure("protocol_mismatch", f"not MongoDB: the answer begins {printable(head)}")
    reply = fields((yield Exactly(size - 16))[5:])
    if reply.get("ok") != 1:
        code_name = reply.get("codeName", "")
        reason = "shutting_down" if code_name == "ShutdownInProgress" else "server_error"
        raise Failure(reason, f"{code_name} {reply.get('errmsg', '')}".strip())
    facts = {
        "writable": bool(reply.get("isWritablePrimary", reply.get("ismaster"))),
        "secondary": bool(reply.get("secondary")),
        "set_name": reply.get("setName"),
        "wire_version": reply.get("maxWireVersion"),
    }
    role = "primary" if facts["writable"] else "secondary" if facts["secondary"] else "neither primary nor secondary"
    wanted = service.options.get("role", "any")
    if role == "neither primary nor secondary":
        raise Failure("starting_up", "the member is neither primary nor secondary", facts)
    if wanted not in ("any", role):
        raise Failure("not_serving", f"the member is {role}, wanted {wanted}", facts)
    return Answer(f"hello from the {role}" + (f" of {facts['set_name']}" if facts["set_name"] else ""), facts)


def fields(document: bytes) -> dict[str, Any]:
    """Return the scalar fields at the top of a BSON document; other types are passed over.

    Raises:
        ValueError: a type that is not BSON.
    """
    found: dict[str, Any] = {}
    at = 4
    while document[at]:
        kind = document[at]
        end = document.index(0, at + 1)
        name = document[at + 1 : end].decode("utf-8", "replace")
        at = end + 1
        if kind == 0x01:
            found[name], at = struct.unpack_from("<d", document, at)[0], at + 8
        elif kind == 0x02:
            size = _size(document, at)
            found[name], at = document[at + 4 : at + 3 + size].decode("utf-8", "replace"), at + 4 + size
        elif kind in (0x03, 0x04):
            at += _size(document, at)
        elif kind == 0x05:
            at += 5 + _size(document, at)
        elif kind == 0x08:
            found[name], at = document[at] == 1, at + 1
        elif kind == 0x10:
            found[name], at = struct.unpack_from("<i", document, at)[0], at + 4
        elif kind == 0x12:
            found[name], at = struct.unpack_from("<q", document, at)[0], at + 8
        elif kind in (0x07, 0x09, 0x0A, 0x11):
            at += {0x07: 12, 0x09: 8, 0x0A: 0, 0x11: 8}[kind]
        else:
            raise ValueError(f"type {kind}")
    return found


def _size(document: bytes, at: int) -> int:
    """Return a length; one that leads backwards would be read for ever."""
    (size,) = struct.unpack_from("<i", document, at)
    if not 0 < size <= len(document):
        raise ValueError(f"length {size}")
    return int(size)


def _from_url(parts: SplitResult) -> Mapping[str, Any]:
    return {"srv": True} if parts.scheme.endswith("+srv") else {}


def _validate(reader: Reader, node: Any, options: dict[str, Any]) -> None:
    if options.pop("srv", False):
        fix = "Name each member: mongodb://host:27017. `dig SRV _mongodb._tcp.NAME` lists them."
        reader.problem(node, "srv", "a mongodb+srv:// name stands for several members, not for one", fix)


def _document(body: bytes) -> bytes:
    return struct.pack("<i", len(body) + 5) + body + b"\0"


def _answer(body: bytes) -> bytes:
    message = struct.pack("<I", 0) + b"\0" + _document(body)
    return struct.pack("<iiii", 16 + len(message), 9, 1, OP_MSG) + message


_OK = b"\x01ok\0" + struct.pack("<d", 1.0)
_PRIMARY = b"\x08isWritablePrimary\0\x01"
_SECONDARY = b"\x08isWritablePrimary\0\x00\x08secondary\0\x01"

PROBE = Probe(
    type="mongodb",
    title="MongoDB hello",
    converse=converse,
    schemes={"mongodb": False},
    port=27017,
    tls_port=27017,
    aliases=("mongo",),
    fields=(
        Field("role", one_of("any", "primary", "secondary"), "The role that the member must have, default any."),
        Field("user", WORD, "Accepted so that application URLs can be used; `hello` needs no login."),
        Field("password", WORD, "As `user`.", secret=True),
    ),
    facts={"writable": "boolean", "secondary": "boolean", "set_name": "text", "wire_version": "number"},
    from_url=_from_url,
    validate=_validate,
    examples=(
        Example("a primary", (_answer(_PRIMARY + _OK),)),
        Example("a secondary", (_answer(_SECONDARY + b"\x02setName\0\x04\0\0\0rs0\0" + _OK),)),
        Example("not the primary that is wanted", (_answer(_SECONDARY + _OK),), "not_serving",
                options={"role": "primary"}),
        Example("still starting", (_answer(b"\x08isWritablePrimary\0\x00\x08secondary\0\x00" + _OK),), "starting_up"),
        Example("shutting down", (_answer(b"\x01ok\0" + struct.pack("<d", 0.0)
                + b"\x02codeName\0\x13\0\0\0ShutdownInProgress\0"),), "shutting_down"),
        Example("an HTTP server", (b"HTTP/1.1 400 Bad Request\r\n\r\n",), "protocol_mismatch"),
        Example("a document that lies", (_answer(_PRIMARY + b"\x7fx\0"),), "protocol_mismatch"),
    ),
)  # fmt: skip
