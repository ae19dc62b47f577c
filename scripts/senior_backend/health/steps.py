"""The steps of a conversation, and what ends it.

A probe is a generator that yields steps and is sent their results; it does no I/O itself, so the same code runs
against a socket in the engine and against recorded bytes in the tests.

| step | result |
|---|---|
| `Connect` | `Peer`: a fresh connection (an earlier one is closed) |
| `Send` | None, when all bytes are handed to the kernel |
| `Some` | at least one byte, or `b""` when the peer has closed or its time is over |
| `Exactly` | that many bytes |
| `Until` | bytes up to and with the delimiter |
| `StartTls` | `Certificate` facts, after the handshake on the open connection |
| `Call` | the return value of a function run in a thread |
| `Sleep` | None |

When the peer closes early, `Exactly` and `Until` raise `Failure("connection_closed")` inside the generator.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

NO_FACTS: Mapping[str, Any] = MappingProxyType({})
READ_LIMIT = 1 << 20
"""Bytes that one read may gather: far above any health answer, far below what would hurt."""


class TlsOptions(NamedTuple):
    """How to verify the peer; `server_name` defaults to the host that is connected to."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None
    insecure: bool = False


class Connect(NamedTuple):
    """Open a connection; `transport` is tcp, udp or unix (then `host` is the socket's path)."""

    host: str
    port: int
    transport: str = "tcp"
    tls: TlsOptions | None = None
    alpn: tuple[str, ...] = ()


class Send(NamedTuple):
    """Write bytes."""

    data: bytes


class Some(NamedTuple):
    """Read what is there; after `within` seconds without anything, `b""`."""

    within: float = 0.0


class Exactly(NamedTuple):
    """Read `size` bytes."""

    size: int


class Until(NamedTuple):
    """Read up to `delimiter`; more than `limit` bytes without it raise `Failure("protocol_mismatch")`."""

    delimiter: bytes = b"\r\n"
    limit: int = 8192


class StartTls(NamedTuple):
    """Begin TLS on the open connection."""

    server_name: str
    options: TlsOptions = TlsOptions()


class Call(NamedTuple):
    """Run a blocking function in a thread; it must return by itself, and late results are dropped."""

    function: Callable[[], Any]


class Sleep(NamedTuple):
    """Wait, in seconds."""

    seconds: float


class Certificate(NamedTuple):
    """What the peer's certificate says: its end and begin (Unix time), its DNS names, and the SHA-256 of its bytes."""

    not_after: float
    fingerprint: str
    version: str = ""
    not_before: float = 0.0
    names: tuple[str, ...] = ()


class Peer(NamedTuple):
    """The other end of an open connection."""

    address: str
    certificate: Certificate | None = None


class Answer(NamedTuple):
    """A conversation that came to its end; `facts` are what `expect` and `degraded` can be asked about.

    `note` is one line for people. `reason` names a degraded reason that the protocol itself tells.
    """

    note: str = ""
    facts: Mapping[str, Any] = NO_FACTS
    headers: Mapping[str, str] | None = None
    body: bytes | None = None
    reason: str | None = None


class Failure(Exception):  # noqa: N818 - a result of a check, not an error of the program
    """A check that failed for `reason` (a code of `reasons.REASONS`); `detail` says what was seen."""

    def __init__(self, reason: str, detail: str = "", facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.facts: Mapping[str, Any] = facts or NO_FACTS


Step = Connect | Send | Some | Exactly | Until | StartTls | Call | Sleep
Conversation = Generator[Step, Any, Answer]


def printable(data: bytes | str, limit: int = 60) -> str:
    """Return the start of untrusted data as one quoted line without control characters."""
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    shown = "".join(char if char.isprintable() else "·" for char in text[: limit + 1])
    return repr(shown[:limit] + ("…" if len(shown) > limit else ""))


_SPEAKERS = (
    (b"\x15\x03", "TLS"),
    (b"HTTP/", "HTTP"),
    (b"SSH-", "SSH"),
    (b"220", "SMTP or FTP"),
    (b"+PONG", "Redis"),
    (b"-ERR", "Redis or NATS"),
    (b"INFO", "NATS"),
    (b"AMQP", "AMQP"),
    (b"RFB ", "VNC"),
)


def stranger(wanted: str, data: bytes) -> Failure:
    """Return the failure of an answer that is not of the wanted protocol, with the one that it looks like."""
    known = next((name for start, name in _SPEAKERS if data.startswith(start)), "")
    if not known and len(data) > 4 and data[3:5] == b"\0\x0a":
        known = "MySQL"  # packet number 0, protocol 10
    looks = f", it looks like {known}" if known else ""
    return Failure("protocol_mismatch", f"not {wanted}{looks}: the answer begins {printable(data)}")
