"""A DNS query (RFC 1035) to one server over UDP, repeated over TCP when the answer is truncated."""

from __future__ import annotations

import ipaddress
import secrets
import struct
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, parse_qs

from senior_backend.health.config.values import TEXT, Example, Field, Reader, one_of
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe
from senior_backend.health.steps import Answer, Connect, Conversation, Exactly, Failure, Send, Some, Step

TYPES = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "MX": 15, "TXT": 16, "AAAA": 28, "SRV": 33}
TRIES = 3
MAX_LABELS = 127
_RCODES = {0: "NOERROR", 1: "FORMERR", 2: "SERVFAIL", 3: "NXDOMAIN", 4: "NOTIMP", 5: "REFUSED"}
_RESPONSE, _TRUNCATED, _RECURSION_DESIRED = 0x8000, 0x0200, 0x0100


def converse(service: Service) -> Conversation:
    """Ask for one record."""
    name, record = service.options["query_name"], service.options.get("record", "A")
    number = service.options.get("id") or secrets.randbelow(65536)
    query = question(number, name, TYPES[record])
    host = service.host or system_server()
    yield Connect(host, service.port, transport="udp")
    reply = yield from _over_udp(query, number, service.timeout)
    if len(reply) >= 4 and struct.unpack("!H", reply[2:4])[0] & _TRUNCATED:
        reply = yield from _over_tcp(host, service.port, query)
    rcode, values = parse(reply, number, TYPES[record])
    facts = {"rcode": rcode, "answers": len(values), "address": values[0] if values else None}
    asked = {rule.subject for rule in service.expect}
    if rcode != "NOERROR" and "rcode" not in asked:
        reason = "not_found" if rcode == "NXDOMAIN" else "server_error"
        raise Failure(reason, f"{name}: {rcode}", facts)
    if not values and rcode == "NOERROR" and "answers" not in asked:
        raise Failure("not_found", f"{name} has no {record} record", facts)
    return Answer(f"{name} {record} {', '.join(values[:3])}" if values else f"{name}: {rcode}", facts)


def question(number: int, name: str, record: int) -> bytes:
    """Return a query with recursion desired."""
    labels = name.rstrip(".").encode("idna" if not name.isascii() else "ascii").split(b".")
    packed = b"".join(bytes([len(label)]) + label for label in labels if label) + b"\0"
    return struct.pack("!HHHHHH", number, _RECURSION_DESIRED, 1, 0, 0, 0) + packed + struct.pack("!HH", record, 1)


def parse(reply: bytes, number: int, record: int) -> tuple[str, list[str]]:
    """Return the response code and the values of the wanted type.

    Raises:
        Failure: the bytes are not an answer to the query.
    """
    if len(reply) < 12:
        raise Failure("protocol_mismatch", f"{len(reply)} bytes are no DNS answer")
    answered, flags, questions, answers = struct.unpack("!HHHH", reply[:8])
    if answered != number or not flags & _RESPONSE:
        raise Failure("protocol_mismatch", "not an answer to this query")
    at = 12
    for _ in range(questions):
        at = _skip_name(reply, at) + 4
    values = []
    for _ in range(answers):
        at = _skip_name(reply, at)
        kind, _, _, size = struct.unpack("!HHIH", reply[at : at + 10])
        at += 10
        if kind == record:
            values.append(_value(kind, reply, at, size))
        at += size
    return _RCODES.get(flags & 15, f"RCODE{flags & 15}"), values


def _value(kind: int, reply: bytes, at: int, size: int) -> str:
    data = reply[at : at + size]
    if kind in (TYPES["A"], TYPES["AAAA"]):
        return str(ipaddress.ip_address(data))
    if kind == TYPES["TXT"]:
        return data[1 : 1 + data[0]].decode("utf-8", "replace")
    if kind == TYPES["MX"]:
        return f"{struct.unpack('!H', data[:2])[0]} {_name(reply, at + 2)}"
    if kind == TYPES["SRV"]:
        priority, weight, port = struct.unpack("!HHH", data[:6])
        return f"{priority} {weight} {port} {_name(reply, at + 6)}"
    return _name(reply, at)


def _name(data: bytes, at: int) -> str:
    """Return the name at a place; a pointer may only lead back, so that this ends (RFC 1035, section 4.1.4)."""
    labels: list[str] = []
    while data[at]:
        if data[at] & 0xC0 == 0xC0:
            target = struct.unpack("!H", data[at : at + 2])[0] & 0x3FFF
            if target >= at:
                raise ValueError("a name that leads forward")
            at = target
            continue
        labels.append(data[at + 1 : at + 1 + data[at]].decode("ascii", "replace"))
        at += data[at] + 1
        if len(labels) > MAX_LABELS:
            raise ValueError("a name without an end")
    return ".".join(labels) or "."


def _skip_name(data: bytes, at: int) -> int:
    while data[at]:
        if data[at] & 0xC0 == 0xC0:
            return at + 2
        at += data[at] + 1
    return at + 1


def _over_udp(query: bytes, number: int, timeout: float) -> Generator[Step, Any, bytes]:
    """Ask up to `TRIES` times, as every resolver does: a packet that is lost is no outage."""
    for attempt in range(TRIES):
        yield Send(query)
        patience = timeout / (TRIES + 1) if attempt < TRIES - 1 else 0.0
        while True:
            reply: bytes = yield Some(patience)
            if not reply:
                break
            if len(reply) >= 12 and struct.unpack("!H", reply[:2])[0] == number:
                return reply
    raise Failure("connection_closed", "before an answer")


def _over_tcp(host: str, port: int, query: bytes) -> Generator[Step, Any, bytes]:
    yield Connect(host, port)
    yield Send(struct.pack("!H", len(query)) + query)
    (size,) = struct.unpack("!H", (yield Exactly(2)))
    reply: bytes = yield Exactly(size)
    return reply


def system_server(path: Path = Path("/etc/resolv.conf")) -> str:
    """Return the first name server of this machine.

    Raises:
        Failure: none is configured.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    for line in lines:
        words = line.split()
        if len(words) > 1 and words[0] == "nameserver":
            return words[1]
    raise Failure("unsupported", "no name server is configured here; name one with `host`")


def _from_url(parts: SplitResult) -> Mapping[str, Any]:
    record = parse_qs(parts.query).get("type", ["A"])[-1].upper()
    return {"query_name": parts.path.strip("/"), "record": record}


def _validate(reader: Reader, node: Any, options: dict[str, Any]) -> None:
    if options.get("record", "A") not in TYPES:
        reader.problem(node, "choice", f"unknown record type {options['record']!r}", f"Known: {', '.join(TYPES)}.")
    name = options.get("query_name", "")
    try:
        question(0, name, 1)
        fits = bool(name) and len(name) < 254 and all(0 < len(label) < 64 for label in name.rstrip(".").split("."))
    except UnicodeError:
        fits = False
    if not fits:
        reader.problem(node, "name", f"{name[:60]!r} is not a domain name", "Write query_name: example.org.")


def _reply(rcode: int, *answers: bytes) -> bytes:
    asked = b"\x01a\x00\x00\x01\x00\x01"
    records = b"".join(b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, len(item)) + item for item in answers)
    return struct.pack("!HHHHHH", 7, 0x8180 | rcode, 1, len(answers), 0, 0) + asked + records


_ASKED = {"query_name": "a", "id": 7}

PROBE = Probe(
    type="dns",
    title="DNS query",
    converse=converse,
    schemes={"dns": False},
    port=53,
    host_optional=True,
    fields=(
        Field("query_name", TEXT, "The domain name to ask for.", required=True),
        Field("record", one_of(*TYPES), "Record type, default A."),
    ),
    facts={"rcode": "text", "answers": "number", "address": "text"},
    from_url=_from_url,
    validate=_validate,
    examples=(
        Example("an address", (_reply(0, b"\x7f\0\0\1"),), options=_ASKED),
        Example("no such name", (_reply(3),), "not_found", options=_ASKED),
        Example("no such record", (_reply(0),), "not_found", options=_ASKED),
        Example("the server fails", (_reply(2),), "server_error", options=_ASKED),
        Example("cut off", (_reply(0, b"\x7f\0\0\1")[:33],), "protocol_mismatch", options=_ASKED),
    ),
)
