"""What the stages of a load test hand to each other: plans, workloads, samples and results.

Times are integer nanoseconds where a name ends in `_ns` or a column says so, else seconds as float. Offsets count
from the start of the run.

Vocabulary: a request has an *intended* start (the plan's), is *noticed* by the generator (schedule lag), may wait for
a free connection (connection wait), is sent, and is answered. Service time is sent to last byte. Response time is
intended start to last byte, what a user feels: lag + wait + service.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Literal, Protocol

from senior_backend.load.http import head_lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from senior_backend.load.samples import Samples

Arrivals = Literal["poisson", "constant", "closed"]

NANOSECONDS = 1_000_000_000


class ErrorKind(IntEnum):
    """The closed taxonomy of what can go wrong with a request; every failed request has exactly one.

    The first nine are about the target, the last four about the generator or the end of the run.
    """

    NONE = 0
    DNS = 1
    """The name could not be resolved."""
    REFUSED = 2
    """The connection could not be opened: refused, or no route to the host."""
    RESET = 3
    """The connection ended before the first byte of the response, or was reset at any time."""
    CONNECT_TIMEOUT = 4
    """The connection (TCP and TLS) was not there within `Plan.connect_timeout_s`."""
    TLS = 5
    """The handshake or a record failed: certificate, name, version."""
    READ_TIMEOUT = 6
    """The response was not complete within `Plan.timeout_s` of sending. Counted at the time it took."""
    PROTOCOL = 7
    """Not HTTP, a broken message, a body shorter or longer than announced, or a limit exceeded."""
    STATUS = 8
    """A complete response with a status the request does not expect (by default 400 and above)."""
    CHECK = 9
    """A complete response that a check of the workload rejects."""
    NO_CONNECTION = 10
    """Never sent: no connection came free before the run ended."""
    FD_LIMIT = 11
    """The generator has no file descriptor left for a first connection."""
    PORT_EXHAUSTION = 12
    """The generator has no local port left."""
    UNFINISHED = 13
    """Sent, and not answered when the run ended; counted at the time it took so far."""

    @property
    def label(self) -> str:
        """Return the name that reports show: `read_timeout`."""
        return self.name.lower()

    @property
    def by_generator(self) -> bool:
        """Whether the generator, not the target, is at fault."""
        return self in (ErrorKind.FD_LIMIT, ErrorKind.PORT_EXHAUSTION)


@dataclass(frozen=True, slots=True)
class TLSOptions:
    """How to speak TLS; by default certificates are verified against the system's authorities."""

    verify: bool = True
    ca_file: str | None = None
    server_name: str | None = None
    certificate_file: str | None = None
    key_file: str | None = None


@dataclass(frozen=True, slots=True)
class Target:
    """Where requests go. `host` is a name or an address without brackets; `tls` is set exactly for https."""

    scheme: Literal["http", "https"]
    host: str
    port: int
    tls: TLSOptions | None = None

    @property
    def authority(self) -> str:
        """Return `host[:port]` as the Host header shows it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.scheme == "https" else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Return the base URL."""
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True, slots=True)
class Stage:
    """A part of the plan: the rate goes linearly from `start_rate` to `end_rate` (requests per second)."""

    seconds: float
    start_rate: float
    end_rate: float

    @property
    def expected(self) -> float:
        """Return the expected number of arrivals."""
        return self.seconds * (self.start_rate + self.end_rate) / 2


@dataclass(frozen=True, slots=True)
class Plan:
    """A whole run. `arrivals="closed"` ignores the stages' rates: each connection sends again when it is answered.

    Requests whose intended start lies before `warmup_s` are sent and left out of the measured samples; the warm-up is
    part of the stages. After the last stage the run waits at most `grace_s` for answers. `connections` is the cap of
    the pool; `preopen` of them (None: as many as the rates suggest) are opened before the first request.
    """

    target: Target
    stages: tuple[Stage, ...]
    arrivals: Arrivals = "poisson"
    seed: int = 1
    connections: int = 100
    preopen: int | None = None
    timeout_s: float = 10.0
    connect_timeout_s: float = 5.0
    warmup_s: float = 0.0
    grace_s: float = 10.0
    processes: int = 1
    keep_alive: bool = True
    precise: bool = False
    """Spin longer before each intended start: less lag, more CPU."""
    max_head_bytes: int = 256 * 1024
    max_body_bytes: int = 64 * 1024 * 1024
    max_kept_body_bytes: int = 4 * 1024 * 1024
    """How much of a body is kept for a check or an extraction."""
    redirects_expected: frozenset[int] = frozenset()
    """Requests, by index, of which a redirect is what is to be measured."""
    exact_samples: int = 10_000_000
    """Beyond this many samples, further ones are folded into histograms (error below 0.1 %)."""

    @property
    def duration_s(self) -> float:
        """Return the length of all stages in seconds, without the grace."""
        return sum(stage.seconds for stage in self.stages)


@dataclass(frozen=True, slots=True)
class Response:
    """What a check sees. `head` has the status line and the fields, without the empty line; the body is undecoded."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first field of that name, case-insensitively, or None."""
        wanted = name.lower().encode("ascii")
        for line in head_lines(self.head)[1:]:
            key, _, value = line.partition(b":")
            if key.strip().lower() == wanted:
                return value.strip().decode("latin-1")
        return None


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """A request ready to send.

    `payload` is the whole message, head and body. `request` indexes `Workload.names`. `check` gets the complete
    response and returns what is wrong with it, or None; without a check bodies are counted and not kept. It may look at
    nothing but the response: an answer with the same bytes as the last one is not checked again.
    `expected` holds the statuses that count as success; None means 200 to 399. `idempotent` allows one retry on a
    fresh connection when a reused one turns out to be closed (RFC 9110 section 9.2.2).
    """

    payload: bytes
    request: int = 0
    head: bool = False
    idempotent: bool = True
    check: Callable[[Response], str | None] | None = None
    expected: frozenset[int] | None = None
    follow: Callable[[Response | None], Prepared | None] | None = None
    """Called with the response (None: the request failed without one); what it returns is sent next, due at once.
    It makes sessions of several steps: a step closes over what it extracted."""


@dataclass(frozen=True, slots=True)
class StaticWorkload:
    """Requests that do not change, drawn by weight with the plan's seed: the engine's fast path."""

    names: tuple[str, ...]
    requests: tuple[Prepared, ...]
    weights: tuple[float, ...]


class Workload(Protocol):
    """Requests made one by one: data feeds, templates, sessions.

    `next` is called once for each arrival, in order; with `Plan.processes` K, process i gets arrivals i, i+K, ...
    It must be quick: the time it takes is schedule lag.
    """

    @property
    def names(self) -> Sequence[str]:
        """Return the names of the requests; `Prepared.request` indexes them."""
        ...

    def next(self, arrival: int) -> Prepared:
        """Return the request of the arrival with this number, counted from 0."""
        ...


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a run, once a second. Percentiles are of this second, from at most 2,000 of its requests."""

    elapsed_s: float
    total_s: float
    asked_rate: float
    """Arrivals that were due in this second, per second."""
    rate: float
    """Requests that ended in this second, per second."""
    p50_ms: float | None
    p99_ms: float | None
    completed: int
    failed: int
    """Totals so far."""
    failed_now: int
    statuses_now: Mapping[int, int]
    errors_now: Mapping[ErrorKind, int]
    """Of this second alone."""
    in_flight: int
    waiting: int
    """Requests that are due and have no connection."""
    retry_after_s: float | None
    """The longest Retry-After of a 429 or 503 in this second."""


ProgressCallback = Callable[[Progress], str | None]
"""Called once a second; a returned text stops the run and becomes `RunResult.stopped`."""


@dataclass(frozen=True, slots=True)
class ErrorExample:
    """One example of a class of errors: what was seen, at which request, when."""

    message: str
    request: str
    at_s: float


@dataclass(frozen=True, slots=True)
class GeneratorStats:
    """What the run cost the generator, and the limits it met. With several processes, CPU is the busiest one's."""

    cpu_share: float
    """CPU seconds per wall second of the busiest process (0 to 1)."""
    cpu_s: float
    wall_s: float
    fds_open: int
    fds_limit: int
    """Peak of open descriptors, and the soft limit (0: unknown)."""
    fd_limited: bool
    """A connection could not be opened for want of a descriptor."""
    port_limited: bool
    connections_cap: int
    connections_peak: int
    connections_opened: int
    capped_s: float
    """Seconds in which a due request waited while every connection up to the cap was busy."""
    keep_alive_races: int
    """Retried requests: a reused connection was closed under them."""
    server_closes: int
    """Connections that the server closed after a response or while idle."""
    preopen_s: float
    """How long opening the first connections took."""
    unused_failures: int = 0
    """Requests that failed on a connection which had not carried an answer before, warm-up included."""
    connections_used: int = 0
    """Peak of open connections that had carried an answer."""


@dataclass(frozen=True, slots=True)
class Gauges:
    """State sampled every 50 ms: parallel columns."""

    at_ns: Sequence[int]
    waiting: Sequence[int]
    in_flight: Sequence[int]
    completed: Sequence[int]

    @property
    def backlog(self) -> list[int]:
        """Return due and unanswered requests at each sample."""
        return [waiting + flying for waiting, flying in zip(self.waiting, self.in_flight, strict=True)]


@dataclass(frozen=True, slots=True)
class RunResult:
    """Everything a run measured. `samples` holds the measured requests, `warmup` the count of those left out."""

    plan: Plan
    names: tuple[str, ...]
    samples: Samples
    errors: Mapping[ErrorKind, int]
    examples: Mapping[ErrorKind, ErrorExample]
    statuses: Mapping[int, int]
    generator: GeneratorStats
    gauges: Gauges
    planned: int
    """Arrivals that fell due in the measured part; each is in `samples`, whatever happened to it."""
    warmup: int
    started_at: float
    """Unix time of the start of the run."""
    elapsed_s: float
    interrupted: bool = False
    stopped: str | None = None
    """Why the run ended early, when a callback stopped it."""
    retry_after_s: float | None = None
    notes: tuple[str, ...] = field(default=())
    """What the reader must know: a clock that could not be calibrated, a limit that was lowered."""
    warmup_samples: Samples | None = None
    """What the warm-up's requests took: no figure is made of them, but a slow start shows what one takes alone."""

    @property
    def measured_s(self) -> float:
        """Return the seconds of the plan that were measured: without the warm-up, until the end or the stop."""
        return max(0.0, min(self.elapsed_s, self.plan.duration_s) - self.plan.warmup_s)

    @property
    def failed(self) -> int:
        """Return the number of measured requests that failed."""
        return sum(self.errors.values())
