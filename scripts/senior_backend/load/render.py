"""Compiles the requests of a scenario into functions that write one message each.

Values are encoded for where they stand: percent-encoded in paths, queries and forms, escaped in JSON, without line
breaks in headers; so a value can never change the structure of the message.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from senior_backend.load import flow
from senior_backend.load.templates import Env, Expression, Template

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from senior_backend.load.scenario import Request, Scenario

USER_AGENT = "senior-backend-load-test"
CONTENT_TYPES = {
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain; charset=utf-8",
}
_ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789"
_RAW_IN_PATH = "/%:@!$&'()*+,;=~?[]"


class Draw:
    """The values of one request: every placeholder of the same variable sees the same one."""

    __slots__ = ("arrival", "chosen", "random", "source")

    def __init__(self, source: Values, arrival: int, random: Random) -> None:
        self.source, self.arrival, self.random = source, arrival, random
        self.chosen: dict[str, Any] = {}

    def value(self, name: str) -> Any:
        """Return the value of an extracted variable."""
        if name not in self.chosen:
            self.chosen[name] = self.source.pick(name, self.random)
        return self.chosen[name]

    def taken(self, name: str) -> Any:
        """Return a value of an extracted variable that no other request gets."""
        if name not in self.chosen:
            self.chosen[name] = self.source.take(name)
        return self.chosen[name]

    def row(self, feed: str) -> Mapping[str, Any]:
        """Return the row of a feed."""
        key = f"\0{feed}"
        if key not in self.chosen:
            self.chosen[key] = self.source.row(feed, self.arrival, self.random)
        row: Mapping[str, Any] = self.chosen[key]
        return row


class Values:
    """What placeholders draw from: feeds, and the values that responses have supplied."""

    KEPT = 1000
    """Values kept of each extracted variable; older ones give way."""

    def __init__(self, scenario: Scenario) -> None:
        self.feeds = {feed.name: feed for feed in scenario.feeds}
        self.pools: dict[str, list[Any]] = {name: [] for name in flow.extracted_names(scenario)}
        self._last: dict[str, Any] = {}
        self._oldest: dict[str, int] = {}

    def add(self, name: str, value: Any) -> None:
        """Keep a value of an extracted variable."""
        pool = self.pools[name]
        if len(pool) < self.KEPT:
            pool.append(value)
        else:
            place = self._oldest.get(name, 0) % self.KEPT
            pool[place] = value
            self._oldest[name] = place + 1

    def pick(self, name: str, random: Random) -> Any:
        """Return one of the kept values."""
        pool = self.pools[name]
        return pool[int(random.random() * len(pool))] if pool else self._last.get(name, "")

    def take(self, name: str) -> Any:
        """Return a value and forget it; when none is left, the last one again."""
        pool = self.pools[name]
        if pool:
            self._last[name] = pool.pop()
        return self._last.get(name, "")

    def row(self, feed: str, arrival: int, random: Random) -> Mapping[str, Any]:
        """Return the row of a feed for this arrival."""
        source = self.feeds[feed]
        size = len(source.rows)
        return source.rows[arrival % size if source.pick == "sequential" else int(random.random() * size)]


Piece = bytes | Callable[[Draw], bytes]
"""A part of a message: fixed, or written for each request."""


class Compiler:
    """Compiles requests; `fixed` holds variables that have one value for the whole run."""

    def __init__(self, scenario: Scenario, authority: str, base_path: str, fixed: Mapping[str, Any]) -> None:
        self.scenario, self.authority, self.base_path, self.fixed = scenario, authority, base_path, fixed
        self.constants = dict(scenario.variables)

    def request(self, request: Request, headers: tuple[tuple[str, Template], ...]) -> Piece:
        """Return the message with these headers: bytes where it never changes, else the function that writes it."""
        parts = self._body(request)
        head = _writer(self._head(request, headers, has_body=parts is not None))
        if parts is None:
            return _writer([head, b"\r\n"])
        body = _writer(parts)
        if isinstance(body, bytes):
            return _writer([head, b"Content-Length: %d\r\n\r\n" % len(body) + body])

        def write(draw: Draw) -> bytes:
            content = body(draw)
            start = head if isinstance(head, bytes) else head(draw)
            return b"%bContent-Length: %d\r\n\r\n%b" % (start, len(content), content)

        return write

    def _head(self, request: Request, headers: tuple[tuple[str, Template], ...], *, has_body: bool) -> list[Piece]:
        sent = {name.lower() for name, _ in headers}
        pieces = self._pieces(request.path, _path_text, _path_raw)
        pieces = [f"{request.method} {self.base_path}".encode(), *pieces]
        mark = b"&" if any(isinstance(part, str) and "?" in part for part in request.path.parts) else b"?"
        for name, value in request.query:
            pieces += [
                mark,
                quote(name, safe="").encode(),
                b"=",
                *self._pieces(value, _quoted, _quoted, literal=_quoted),
            ]
            mark = b"&"
        pieces.append(b" HTTP/1.1\r\n")
        defaults = [("Host", self.authority), ("User-Agent", USER_AGENT), ("Accept", "*/*")]
        if has_body and request.body:
            defaults.append(("Content-Type", CONTENT_TYPES[request.body.kind]))
        for name, fixed in defaults:
            if name.lower() not in sent:
                pieces.append(f"{name}: {fixed}\r\n".encode())
        for name, value in headers:
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                pieces += [f"{name}: ".encode(), *self._pieces(value, _header_text, _header_text), b"\r\n"]
        return pieces

    def _body(self, request: Request) -> list[Piece] | None:
        if request.body is None:
            return [] if request.method in ("POST", "PUT", "PATCH") else None
        if request.body.kind == "text":
            return self._pieces(request.body.content, _text, _text)
        if request.body.kind == "json":
            return self._json(request.body.content)
        pieces: list[Piece] = []
        for name, value in request.body.content:
            pieces += [b"&" if pieces else b"", quote_plus(name).encode(), b"="]
            pieces += self._pieces(value, _plus_quoted, _plus_quoted, literal=_plus_quoted)
        return pieces

    def _json(self, value: Any) -> list[Piece]:
        if isinstance(value, Template):
            if value.single:
                return [self._expression(value.single, _json_value)]
            return [b'"', *self._pieces(value, _json_text, _json_text, literal=_json_text), b'"']
        pieces: list[Piece] = []
        if isinstance(value, dict):
            for key, item in value.items():
                pieces += [b"," if pieces else b"{", json.dumps(key).encode(), b":", *self._json(item)]
            return [*pieces, b"}"] if pieces else [b"{}"]
        if isinstance(value, list):
            for item in value:
                pieces += [b"," if pieces else b"[", *self._json(item)]
            return [*pieces, b"]"] if pieces else [b"[]"]
        return [json.dumps(value).encode()]

    def _pieces(
        self,
        template: Template,
        encode: Callable[[Any], bytes],
        encode_raw: Callable[[Any], bytes],
        literal: Callable[[Any], bytes] | None = None,
    ) -> list[Piece]:
        fixed = literal or _text
        found: list[Piece] = []
        for part in template.parts:
            if isinstance(part, Expression):
                found.append(self._expression(part, encode_raw if part.filter == "raw" else encode))
            else:
                found.append(fixed(part.value if isinstance(part, Env) else part))
        return found

    def _expression(self, expression: Expression, encode: Callable[[Any], bytes]) -> Piece:
        name = expression.name
        if name in self.fixed and not expression.is_call:
            return encode(_filtered(expression.filter, self.fixed[name]))
        if name in self.constants and self.constants[name].is_static and not expression.is_call:
            return encode(_filtered(expression.filter, self.constants[name].static()))
        value = self._evaluator(expression)
        return lambda draw: encode(_filtered(expression.filter, value(draw)))

    def _evaluator(self, expression: Expression) -> Callable[[Draw], Any]:
        if expression.is_call:
            return _function(expression)
        name = expression.name
        if name in self.constants:
            write = _writer(self._pieces(self.constants[name], _text, _text))
            return lambda draw: (write if isinstance(write, bytes) else write(draw)).decode()
        feed, _, column = name.partition(".")
        if column:
            return lambda draw: draw.row(feed)[column]
        return lambda draw: draw.value(name)


def _function(expression: Expression) -> Callable[[Draw], Any]:
    name, arguments = expression.name, expression.arguments
    if name == "uuid":
        return lambda draw: _uuid(draw.random.getrandbits(128))
    if name == "sequence":
        return lambda draw: draw.arrival
    if name == "random_int":
        least, most = int(arguments[0]), int(arguments[1])
        return lambda draw: draw.random.randint(least, most)
    if name == "random_string":
        size = int(arguments[0])
        return lambda draw: "".join(draw.random.choices(_ALPHABET, k=size))
    if name == "timestamp":
        return lambda _: int(time.time())
    if name == "now":
        return lambda _: time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return lambda draw: draw.taken(arguments[0])


def _uuid(bits: int) -> str:
    """Return a random UUID (RFC 9562, version 4) from 128 random bits."""
    bits = bits & ~(0xF000 << 64) & ~(0xC000 << 48) | (4 << 76) | (0x8000 << 48)
    digits = f"{bits:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _filtered(name: str | None, value: Any) -> Any:
    if name is None or name == "raw":
        return value
    if name == "string":
        return _plain(value)
    try:
        return int(float(value)) if name == "int" else float(value)
    except (TypeError, ValueError, OverflowError):
        return value


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _text(value: Any) -> bytes:
    return _plain(value).encode("utf-8", "replace")


def _quoted(value: Any) -> bytes:
    return quote(_plain(value).encode("utf-8", "replace"), safe="").encode()


def _plus_quoted(value: Any) -> bytes:
    return quote_plus(_plain(value).encode("utf-8", "replace")).encode()


_path_text = _quoted


def _path_raw(value: Any) -> bytes:
    return quote(_plain(value).encode("utf-8", "replace"), safe=_RAW_IN_PATH).encode()


def _header_text(value: Any) -> bytes:
    return _plain(value).replace("\r", " ").replace("\n", " ").replace("\0", " ").encode("utf-8", "replace")


def _json_text(value: Any) -> bytes:
    return json.dumps(_plain(value), ensure_ascii=True)[1:-1].encode()


def _json_value(value: Any) -> bytes:
    return json.dumps(value).encode()


def _writer(pieces: list[Piece]) -> Piece:
    """Return the joined bytes where no piece changes, else the function that joins them."""
    merged: list[Piece] = []
    for piece in pieces:
        if isinstance(piece, bytes) and merged and isinstance(merged[-1], bytes):
            merged[-1] += piece
        else:
            merged.append(piece)
    if len(merged) <= 1:
        return merged[0] if merged else b""
    return lambda draw: b"".join([piece if isinstance(piece, bytes) else piece(draw) for piece in merged])
