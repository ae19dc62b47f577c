"""The steps of a conversation, and what ends it.

A probe is a generator that yields steps and is sent their results; it does no I/O itself, so the same code runs
against a socket in the engine and against recorded bytes in the tests.

| step | result |
|---|---|
| `Connect` | `Peer`: a fresh connection (an earlier one is closed) |
| `Send` | None, when all bytes are handed to the kernel |
| `Some` | at least one byte, or `b""` when the peer has closed |
| `Exactly` | that many bytes |
| `Until` | bytes up to and with the delimiter |
| `StartTls` | `Certificate` facts, after the handshake on the open connection |
| `Call` | the return value of a function run in a thread |
| `Sleep` | None |

When the peer closes early, `Exactly` and `Until` raise `Failure("connection_closed")` inside the generator.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass, field
from typing import Any

READ_LIMIT = 1 << 20
"""Bytes that one read may gather: far above any health answer, far below what would hurt."""


@dataclass(frozen=True, slots=True)
class TlsOptions:
    """How to verify the peer; `server_name` defaults to the host that is connected to."""

    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    server_name: str | None = None
    insecure: bool = False


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a connection; `transport` is tcp, udp or unix (then `host` is the socket's path)."""

    host: str
    port: int
    transport: str = "tcp"
    tls: TlsOptions | None = None
    alpn: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Send:
    """Write bytes."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Some:
    """Read what is there."""


@dataclass(frozen=True, slots=True)
class Exactly:
    """Read `count` bytes."""

    count: int


@dataclass(frozen=True, slots=True)
class Until:
    """Read up to `delimiter`; more than `limit` bytes without it raise `Failure("protocol_mismatch")`."""

    delimiter: bytes = b"\r\n"
    limit: int = 8192


@dataclass(frozen=True, slots=True)
class StartTls:
    """Begin TLS on the open connection."""

    server_name: str
    options: TlsOptions = field(default_factory=TlsOptions)


@dataclass(frozen=True, slots=True)
class Call:
    """Run a blocking function in a thread; it must return by itself, and late results are dropped."""

    function: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait, in seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Certificate:
    """What the peer's certificate says: the day it ends (Unix time) and the SHA-256 of its bytes."""

    not_after: float
    fingerprint: str
    version: str = ""


@dataclass(frozen=True, slots=True)
class Peer:
    """The other end of an open connection."""

    address: str
    certificate: Certificate | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A conversation that came to its end; `facts` are what `expect` and `degraded` can be asked about.

    `note` is one line for people. `reason` names a degraded reason that the protocol itself tells.
    """

    note: str = ""
    facts: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] | None = None
    body: bytes | None = None
    reason: str | None = None


class Failure(Exception):  # noqa: N818 - a result of a check, not an error of the program
    """A check that failed for `reason` (a code of `reasons.REASONS`); `detail` says what was seen."""

    def __init__(self, reason: str, detail: str = "", facts: Mapping[str, Any] | None = None) -> None:
        super().__init__(f"{reason}: {detail}" if detail else reason)
        self.reason = reason
        self.detail = detail
        self.facts: Mapping[str, Any] = facts or {}


Step = Connect | Send | Some | Exactly | Until | StartTls | Call | Sleep
Conversation = Generator[Step, Any, Answer]


def printable(data: bytes | str, limit: int = 60) -> str:
    """Return the start of untrusted data as one quoted line without control characters."""
    text = data.decode("utf-8", "replace") if isinstance(data, bytes) else data
    shown = "".join(char if char.isprintable() else "·" for char in text[: limit + 1])
    return repr(shown[:limit] + ("…" if len(shown) > limit else ""))
