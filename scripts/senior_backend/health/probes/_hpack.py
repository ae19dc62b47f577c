"""Header compression for HTTP/2 (RFC 7541), decoding side, and literal encoding."""

from __future__ import annotations

_STATIC_NAMES = [
    ":authority",
    ":method",
    ":method",
    ":path",
    ":path",
    ":scheme",
    ":scheme",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    ":status",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "accept",
    "access-control-allow-origin",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "content-disposition",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-range",
    "content-type",
    "cookie",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "link",
    "location",
    "max-forwards",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "refresh",
    "retry-after",
    "server",
    "set-cookie",
    "strict-transport-security",
    "transfer-encoding",
    "user-agent",
    "vary",
    "via",
    "www-authenticate",
]
_STATIC_VALUES = {
    2: "GET", 3: "POST", 4: "/", 5: "/index.html", 6: "http", 7: "https", 8: "200", 9: "204", 10: "206", 11: "304",
    12: "400", 13: "404", 14: "500", 16: "gzip, deflate",
}  # fmt: skip

# The printable part of the code of appendix B. It is canonical: codes of one length follow each other, so the
# symbols in order and the first code of each length give all of it.
_CODE = (
    (5, 0x0, "012aceiost"),
    (6, 0x14, " %-./3456789=A_bdfghlmnpru"),
    (7, 0x5C, ":BCDEFGHIJKLMNOPQRSTUVWYjkqvwxyz"),
    (8, 0xF8, "&*,;XZ"),
    (10, 0x3F8, '!"()?'),
    (11, 0x7FA, "'+|"),
    (12, 0xFFA, "#>"),
    (13, 0x1FF8, "\0$@[]~"),
    (14, 0x3FFC, "^}"),
    (15, 0x7FFC, "<`{"),
)
_SYMBOLS = {(length, first + index): symbol for length, first, text in _CODE for index, symbol in enumerate(text)}
_LONGEST = 15


class Decoder:
    """Decodes header blocks of one connection; the dynamic table lives as long."""

    def __init__(self, table_size: int = 4096) -> None:
        self._dynamic: list[tuple[str, str]] = []
        self._limit = table_size

    def decode(self, block: bytes) -> dict[str, str]:
        """Return the headers of a block.

        Raises:
            IndexError: the block is truncated or refers to no entry.
        """
        headers: dict[str, str] = {}
        at = 0
        while at < len(block):
            first = block[at]
            if first & 0x80:
                index, at = _integer(block, at, 7)
                name, value = self._entry(index)
                headers[name] = value
            elif first & 0xE0 == 0x20:
                self._limit, at = _integer(block, at, 5)
                self._evict()
            else:
                indexed = first & 0xC0 == 0x40
                index, at = _integer(block, at, 6 if indexed else 4)
                if index:
                    name = self._entry(index)[0]
                else:
                    name, at = _string(block, at)
                value, at = _string(block, at)
                headers[name] = value
                if indexed:
                    self._dynamic.insert(0, (name, value))
                    self._evict()
        return headers

    def _entry(self, index: int) -> tuple[str, str]:
        if 1 <= index <= len(_STATIC_NAMES):
            return _STATIC_NAMES[index - 1], _STATIC_VALUES.get(index, "")
        if index == 0:
            raise IndexError("index 0")
        return self._dynamic[index - len(_STATIC_NAMES) - 1]

    def _evict(self) -> None:
        size = sum(len(name) + len(value) + 32 for name, value in self._dynamic)
        while self._dynamic and size > self._limit:
            name, value = self._dynamic.pop()
            size -= len(name) + len(value) + 32


def literal(name: str, value: str) -> bytes:
    """Return a header as a literal that is never put into the table."""
    raw_name, raw_value = name.encode(), value.encode()
    return b"\0" + _length(len(raw_name)) + raw_name + _length(len(raw_value)) + raw_value


def _length(value: int) -> bytes:
    if value < 127:
        return bytes([value])
    out, value = bytearray([127]), value - 127
    while value >= 128:
        out.append(value % 128 + 128)
        value //= 128
    return bytes([*out, value])


def _integer(block: bytes, at: int, bits: int) -> tuple[int, int]:
    mask = (1 << bits) - 1
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    shift = 0
    while True:
        byte = block[at]
        value += (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if not byte & 128:
            return value, at
        if shift > 28:
            raise IndexError("integer too long")


def _string(block: bytes, at: int) -> tuple[str, int]:
    coded = bool(block[at] & 0x80)
    size, at = _integer(block, at, 7)
    raw = block[at : at + size]
    if len(raw) < size:
        raise IndexError("string cut off")
    return (huffman(raw) if coded else raw.decode("latin-1")), at + size


def huffman(data: bytes) -> str:
    """Return Huffman-coded text; characters outside of printable ASCII end it with `?`."""
    text: list[str] = []
    code = length = 0
    for byte in data:
        for shift in range(7, -1, -1):
            code, length = code << 1 | (byte >> shift & 1), length + 1
            symbol = _SYMBOLS.get((length, code))
            if symbol is not None:
                text.append(symbol)
                code = length = 0
            elif length > _LONGEST:
                return "".join(text) + "?"
    return "".join(text)
