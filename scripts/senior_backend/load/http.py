"""HTTP/1.1 messages for a client: requests as bytes, and an incremental parser of responses (RFC 9112).

Bodies are framed, not interpreted: content codings stay as they are and redirects are responses like any other.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.load.model import Target

HEAD_END = b"\r\n\r\n"
CHUNK_LINE_LIMIT = 4096
TRAILER_LIMIT = 64 * 1024
"""Longest chunk-size line and longest trailer section that is read, in bytes."""

_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9]\d\d)(?: [^\r\n]*)?\Z")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_LINE_END = re.compile(rb"\r?\n")
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+\Z")
_FORBIDDEN_IN_TARGET = re.compile(r"[^\x21-\x7e]")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\Z")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n")
_IMF_DATE = re.compile(rb"[A-Z][a-z]{2}, (\d\d) ([A-Z][a-z]{2}) (\d{4}) (\d\d):(\d\d):(\d\d) GMT\Z")
_MONTHS = (b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec")
_BODYLESS = frozenset({204, 304})


class ProtocolError(Exception):
    """The peer does not speak HTTP/1.1, or exceeds a limit; the text says how."""


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a response says about its framing.

    `length` is the number of body bytes, or -1 where the body is chunked or ends with the connection. `close` is set
    when the connection cannot be used again. `retry_after_s` is Retry-After in seconds, if given.
    """

    status: int
    length: int
    chunked: bool
    close: bool
    retry_after_s: float | None = None

    @property
    def interim(self) -> bool:
        """Whether another response follows (1xx, except 101 which ends HTTP on this connection)."""
        return self.status < 200 and self.status != 101


def head_lines(head: bytes) -> list[bytes]:
    """Return the status line and the fields of a head, each in one line.

    As clients in general, it reads lines that end in LF alone (RFC 9112 section 2.2) and values that go on in the next
    line (section 5.2).
    """
    lines = _LINE_END.split(head)
    joined = lines[:2]
    for line in lines[2:]:
        if line[:1] in (b" ", b"\t"):
            joined[-1] += b" " + line.strip(b" \t")
        else:
            joined.append(line)
    return joined


def parse_head(head: bytes, *, to_head_request: bool = False) -> Head:
    """Return the framing that a head (without its empty line) announces; raise ProtocolError (RFC 9112 section 6.3)."""
    lines = head_lines(head)
    match = _STATUS_LINE.match(lines[0])
    if match is None:
        raise ProtocolError(f"not an HTTP/1.1 status line: {_shown(lines[0])}")
    status = int(match[2])
    fields: dict[bytes, list[bytes]] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(b":")
        if not colon or not name or name[-1:] in b" \t" or (name[:1] in b" \t"):
            raise ProtocolError(f"not a header field: {_shown(line)}")
        fields.setdefault(name.lower(), []).append(value.strip(b" \t"))
    connection = b",".join(fields.get(b"connection", ())).lower()
    tokens = {token.strip() for token in connection.split(b",")}
    close = b"close" in tokens or (match[1] == b"0" and b"keep-alive" not in tokens)
    length, chunked = _body_framing(fields, status)
    if to_head_request or status in _BODYLESS or status < 200:
        length, chunked = 0, False
        close = close or status == 101
    return Head(status, length, chunked, close or (length < 0 and not chunked), _retry_after(fields))


def _body_framing(fields: dict[bytes, list[bytes]], status: int) -> tuple[int, bool]:
    codings = b",".join(fields.get(b"transfer-encoding", ())).lower()
    lengths = {item.strip() for value in fields.get(b"content-length", ()) for item in value.split(b",")}
    if codings:
        if lengths:
            raise ProtocolError("both Content-Length and Transfer-Encoding (RFC 9112 section 6.3)")
        return -1, codings.split(b",")[-1].strip() == b"chunked"
    if not lengths:
        return -1, False
    if len(lengths) > 1:
        raise ProtocolError(f"Content-Length twice with different values in a response with status {status}")
    value = lengths.pop()
    if not value.isdigit() or len(value) > 18:
        raise ProtocolError(f"Content-Length is not a number: {_shown(value)}")
    return int(value), False


def _retry_after(fields: dict[bytes, list[bytes]]) -> float | None:
    """Return the seconds to wait (RFC 9110 section 10.2.3); a date counts from the server's own date."""
    value = fields.get(b"retry-after", [b""])[0]
    if value.isdigit():
        return float(value) if len(value) < 10 else None
    until, now = _date(value), _date(fields.get(b"date", [b""])[0])
    return None if until is None or now is None else max(0.0, until - now)


def _date(value: bytes) -> float | None:
    """Return an HTTP date in the form that senders must use (RFC 9110 section 5.6.7) as Unix time."""
    match = _IMF_DATE.match(value)
    if match is None or match[2] not in _MONTHS:
        return None
    day, year, hour, minute, second = (int(match[group]) for group in (1, 3, 4, 5, 6))
    try:
        return datetime(year, _MONTHS.index(match[2]) + 1, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _shown(data: bytes) -> str:
    text = data[:60].decode("latin-1")
    return repr(text + ("..." if len(data) > 60 else ""))


class _State(IntEnum):
    HEAD = 0
    LENGTH = 1
    UNTIL_CLOSE = 2
    CHUNK_SIZE = 3
    CHUNK_DATA = 4
    CHUNK_END = 5
    TRAILERS = 6
    DONE = 7


class ResponseParser:
    """One response, fed in pieces of any size. After `feed` returned True nothing more may be fed."""

    __slots__ = (
        "_buffer",
        "_keep",
        "_max_body",
        "_max_head",
        "_remaining",
        "_state",
        "_to_head_request",
        "body_bytes",
        "head",
        "head_bytes",
        "kept",
        "surplus",
    )

    def __init__(self, *, to_head_request: bool, max_head: int, max_body: int, keep: int) -> None:
        self._to_head_request = to_head_request
        self._max_head = max_head
        self._max_body = max_body
        self._keep = keep
        self._state = _State.HEAD
        self._buffer = bytearray()
        self._remaining = 0
        self.head: Head | None = None
        self.head_bytes = b""
        self.kept = bytearray()
        self.body_bytes = 0
        self.surplus = False
        """Bytes followed the response; the connection cannot be trusted any more."""

    def feed(self, data: bytes) -> bool:
        """Take bytes; return whether the response is complete. Raise ProtocolError."""
        buffer = self._buffer
        if self._state is _State.LENGTH and not buffer:
            return self._take_length(memoryview(data))
        searched = max(0, len(buffer) - 3)
        buffer += data
        progress = True
        while progress and self._state is not _State.DONE:
            progress = self._step(searched)
            searched = 0
        if self._state is _State.DONE and buffer:
            self.surplus = True
        return self._state is _State.DONE

    def end(self) -> bool:
        """Say that the peer closed; return True where that ends the response, else raise ProtocolError."""
        if self._state is _State.UNTIL_CLOSE:
            self._state = _State.DONE
            return True
        if self._state is _State.HEAD:
            raise ProtocolError(f"closed inside the head of a response, after {len(self._buffer)} bytes")
        of = f" of {self.head.length}" if self.head and self.head.length >= 0 else ""
        raise ProtocolError(f"closed inside the body, after {self.body_bytes}{of} bytes")

    @property
    def started(self) -> bool:
        """Whether any byte has arrived."""
        return self.head is not None or bool(self._buffer)

    def _step(self, searched: int) -> bool:
        """Do what the buffered bytes allow in the present state; return whether to go on."""
        if self._state is _State.HEAD:
            return self._take_head(searched)
        if self._state is _State.CHUNK_SIZE:
            return self._take_chunk_size()
        if self._state is _State.CHUNK_END:
            return self._take_chunk_end()
        if self._state is _State.TRAILERS:
            return self._take_trailers()
        if self._state is _State.CHUNK_DATA:
            return self._take_chunk_data()
        taken = bytes(self._buffer)
        self._buffer.clear()
        if self._state is _State.LENGTH:
            return self._take_length(memoryview(taken))
        self._take_body(taken)
        return False

    def _take_head(self, searched: int) -> bool:
        found = _HEAD_END.search(self._buffer, searched)
        if found is None:
            if len(self._buffer) > self._max_head:
                raise ProtocolError(f"the head of a response exceeds {self._max_head} bytes")
            if len(self._buffer) >= 7 and not self._buffer.startswith(b"HTTP/1."):
                raise ProtocolError(f"not an HTTP/1.1 response: {_shown(bytes(self._buffer))}")
            return False
        end = found.start()
        if end > self._max_head:
            raise ProtocolError(f"the head of a response exceeds {self._max_head} bytes")
        self.head_bytes = bytes(self._buffer[:end])
        del self._buffer[: found.end()]
        head = parse_head(self.head_bytes, to_head_request=self._to_head_request)
        if head.interim:
            return True
        self.head = head
        if head.chunked:
            self._state = _State.CHUNK_SIZE
        elif head.length < 0:
            self._state = _State.UNTIL_CLOSE
        elif head.length == 0:
            self._state = _State.DONE
        else:
            self._state, self._remaining = _State.LENGTH, head.length
        return True

    def _take_length(self, data: memoryview) -> bool:
        part = data[: self._remaining]
        self._remaining -= len(part)
        self._take_body(part)
        if self._remaining == 0:
            self._state = _State.DONE
            self.surplus = len(data) > len(part)
            return True
        return False

    def _take_whole_chunks(self) -> None:
        """Take the chunks that are in the buffer from end to end, but for the last: a body may have thousands."""
        buffer, at, taken = self._buffer, 0, 0
        kept = []
        while match := _CHUNK_LINE.match(buffer, at):
            size, start = int(match[1], 16), match.end()
            if not size or not buffer.startswith(b"\r\n", start + size):
                break
            if self._keep:
                kept.append(buffer[start : start + size])
            taken += size
            at = start + size + 2
        del buffer[:at]
        self._take_body(b"".join(kept), taken)

    def _take_chunk_size(self) -> bool:
        self._take_whole_chunks()
        end = self._buffer.find(b"\r\n")
        if end < 0:
            if len(self._buffer) > CHUNK_LINE_LIMIT:
                raise ProtocolError("a chunk-size line does not end")
            return False
        match = _CHUNK_SIZE.match(bytes(self._buffer[:end]))
        if match is None:
            raise ProtocolError(f"not a chunk size: {_shown(bytes(self._buffer[:end]))}")
        del self._buffer[: end + 2]
        self._remaining = int(match[1], 16)
        self._state = _State.CHUNK_DATA if self._remaining else _State.TRAILERS
        return True

    def _take_chunk_data(self) -> bool:
        part = self._buffer[: self._remaining]
        del self._buffer[: len(part)]
        self._remaining -= len(part)
        self._take_body(part)
        if self._remaining == 0:
            self._state = _State.CHUNK_END
            return True
        return False

    def _take_chunk_end(self) -> bool:
        if len(self._buffer) < 2:
            return False
        if self._buffer[:2] != b"\r\n":
            raise ProtocolError("a chunk is longer than its size says")
        del self._buffer[:2]
        self._state = _State.CHUNK_SIZE
        return True

    def _take_trailers(self) -> bool:
        end = 0 if self._buffer.startswith(b"\r\n") else self._buffer.find(HEAD_END)
        if end < 0:
            if len(self._buffer) > TRAILER_LIMIT:
                raise ProtocolError(f"the trailers exceed {TRAILER_LIMIT} bytes")
            return False
        if not end and len(self._buffer) < 2:
            return False
        del self._buffer[: end + (4 if end else 2)]
        self._state = _State.DONE
        return True

    def _take_body(self, part: memoryview | bytes | bytearray, size: int | None = None) -> None:
        """Count a part of the body, of `size` bytes where it is not at hand, and keep what is to be kept."""
        self.body_bytes += len(part) if size is None else size
        if self.body_bytes > self._max_body:
            raise ProtocolError(f"the body exceeds {self._max_body} bytes")
        room = self._keep - len(self.kept)
        if room > 0:
            self.kept += part[:room]


def request_bytes(
    target: Target,
    method: str,
    path: str,
    headers: Sequence[tuple[str, str]] = (),
    body: bytes = b"",
    *,
    keep_alive: bool = True,
) -> bytes:
    """Return a request message with Host, and Content-Length where the method or a body asks for it.

    Raise ValueError for a method, path or field that cannot stand in a request (RFC 9112 section 3, RFC 9110
    section 5.5): nothing is escaped silently.
    """
    if not _TOKEN.match(method):
        raise ValueError(f"not an HTTP method: {method!r}")
    bad = _FORBIDDEN_IN_TARGET.search(path)
    if bad or not path.startswith(("/", "*")):
        at = f" (character {bad.start() + 1}: {bad[0]!r}; percent-encode it)" if bad else " (it must begin with /)"
        raise ValueError(f"not a request path: {path!r}{at}")
    given = {name.lower() for name, _ in headers}
    lines = [f"{method} {path} HTTP/1.1"]
    if "host" not in given:
        lines.append(f"Host: {target.authority}")
    for name, value in headers:
        if not _TOKEN.match(name):
            raise ValueError(f"not a header name: {name!r}")
        if re.search(r"[\r\n\0]", value):
            raise ValueError(f"header {name} holds a line break or a null character")
        lines.append(f"{name}: {value.strip()}")
    if "user-agent" not in given:
        lines.append("User-Agent: senior-backend-load-test")
    if "accept" not in given:
        lines.append("Accept: */*")
    if not keep_alive and "connection" not in given:
        lines.append("Connection: close")
    if (
        "content-length" not in given
        and "transfer-encoding" not in given
        and (body or method in ("POST", "PUT", "PATCH"))
    ):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join(lines).encode("latin-1") + HEAD_END + body
