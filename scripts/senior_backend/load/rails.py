"""The rails of a load test: whom it may be aimed at, how hard, and when it stops by itself.

A load test against somebody else's service is an attack. So without `--i-own HOST` only loopback and private
addresses are accepted; the address that was checked is the one that is used, so a name cannot change in between.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, cast
from urllib.parse import urlsplit

from senior_backend.console.errors import InputError, RefusedError, UnavailableError
from senior_backend.load.model import ErrorKind, Stage, Target, TLSOptions
from senior_backend.load.sockets import Unreachable, reach

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from senior_backend.load.model import Progress

_PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in ("127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7", "0.0.0.0/32")
)
"""RFC 1918, RFC 4193 and loopback. Link-local is left out: 169.254.169.254 is the cloud's metadata service."""

ERROR_WINDOW_S = 5
ERROR_LEAST = 20
"""Failed requests within the window before the error budget is looked at: a few are no pattern."""
ERROR_SECONDS_LEAST = 3
"""A start with errors may recover."""
SURGE_WINDOW_S = 3
SURGE_LEAST = 10
SURGE_SHARE = 0.25
"""Share of 429 and 503 that means the server sheds load."""
SURGE_SHARE_ASKED = 0.05
"""The same once it has sent Retry-After: it has asked to be left alone."""

SLOW_START_RATE = 50.0
"""Requests per second up to which nothing needs a slow start."""


@dataclass(frozen=True, slots=True)
class Caps:
    """The most that a run may ask for."""

    rate: float
    duration_s: float
    connections: int


PRIVATE_CAPS = Caps(rate=50_000, duration_s=3600, connections=5_000)
PUBLIC_CAPS = Caps(rate=500, duration_s=600, connections=200)


@dataclass(frozen=True, slots=True)
class Destination:
    """A checked target. `target.host` is the checked address; `authority` is what the Host header says."""

    target: Target
    authority: str
    base_path: str
    url: str
    private: bool


def split_url(url: str) -> tuple[Literal["http", "https"], str, int, str]:
    """Return scheme, host, port and base path of a base URL.

    Raises:
        InputError: not an http or https URL with a host, or one with a user, a query or a fragment.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError as error:
        raise InputError(f"'{url}' is not a URL: {error}", code="bad-url") from error
    if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise InputError(
            f"'{url}' is not an http or https URL",
            code="bad-url",
            hint=f"Did you mean http://{url.partition('://')[2] or url}?",
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise InputError(
            "the base URL holds a user, a query or a fragment",
            code="bad-url",
            hint="Send credentials with --header 'Authorization: …' and queries in --endpoint.",
        )
    if any(ord(letter) <= 32 or ord(letter) == 127 for letter in url.strip()):
        raise InputError("the base URL holds a space or a control character", code="bad-url")
    scheme = cast("Literal['http', 'https']", parts.scheme.lower())
    try:
        host = parts.hostname if parts.hostname.isascii() else parts.hostname.encode("idna").decode("ascii")
    except UnicodeError as error:
        raise InputError(f"'{parts.hostname}' is not a host name", code="bad-url") from error
    return scheme, host, port or (443 if scheme == "https" else 80), parts.path.rstrip("/")


def destination(
    url: str,
    owned: Sequence[str],
    tls: TLSOptions,
    *,
    resolve: Callable[..., Sequence[tuple[object, ...]]] = socket.getaddrinfo,
    answers: Callable[[str, int], bool] | None = None,
) -> Destination:
    """Resolve a base URL, check every address that it has, and return the one that answers.

    Raises:
        InputError: not a base URL.
        UnavailableError: the name is unknown.
        RefusedError: an address is neither loopback nor private, and the host is not in `owned`.
    """
    scheme, host, port, base_path = split_url(url)
    addresses = _addresses(host, port, resolve)
    private = all(is_private(address) for address in addresses)
    if not private and host.lower() not in {name.lower().strip("[]") for name in owned}:
        public = next(address for address in addresses if not is_private(address))
        raise RefusedError(
            f"{host if host == public else f'{host} ({public})'} is neither a loopback nor a private address",
            code="not-yours",
            where=url,
            hint=f"If the service is yours and its owners agree to a load test, add --i-own {host}.",
        )
    chosen = next((address for address in addresses if (answers or _answers)(address, port)), addresses[0])
    options = None
    if scheme == "https":
        options = TLSOptions(tls.verify, tls.ca_file, tls.server_name or host, tls.certificate_file, tls.key_file)
    named = Target(scheme, host, port, options)
    return Destination(
        Target(scheme, chosen, port, options), named.authority, base_path, named.url + base_path, private
    )


def _addresses(host: str, port: int, resolve: Callable[..., Sequence[tuple[object, ...]]]) -> list[str]:
    try:
        found = resolve(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise UnavailableError(
            f"the host {host} cannot be resolved: {getattr(error, 'strerror', None) or error}",
            code="dns",
            where=host,
            hint="Check the name in --base-url or BASE_URL.",
        ) from error
    addresses = [str(cast("tuple[object, ...]", entry[4])[0]).partition("%")[0] for entry in found]
    return list(dict.fromkeys(addresses))


def is_private(address: str) -> bool:
    """Whether an address is loopback or private; an IPv4 address inside an IPv6 one counts as itself."""
    parsed = ipaddress.ip_address(address)
    if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in _PRIVATE)


def _answers(address: str, port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection((address, port), timeout=3):
        return True
    return False


def require_reachable(to: Destination, timeout_s: float = 5.0) -> None:
    """Open one connection, with TLS where the URL says so, and close it.

    Raises:
        UnavailableError: nothing listens there, it does not accept in time, or its certificate is not valid.
    """
    try:
        reach(to.target, timeout_s)
    except Unreachable as error:
        hints = {
            ErrorKind.TLS: "Name the authority with --ca-file, or for a test certificate of your own add --insecure.",
        }
        raise UnavailableError(
            f"no connection to {to.url}: {error.message}",
            code=error.kind.label.replace("_", "-"),
            where=to.url,
            hint=hints.get(error.kind, "Start the service, or name where it is with --base-url or BASE_URL."),
        ) from error


def require_caps(
    stages: Sequence[Stage], connections: int, *, private: bool, rate: float | None, duration_s: float | None
) -> Caps:
    """Refuse a plan above the caps; `rate` and `duration_s` are the caps that the user has set.

    Raises:
        RefusedError: with every cap that the plan breaks.
    """
    default = PRIVATE_CAPS if private else PUBLIC_CAPS
    caps = Caps(rate or default.rate, duration_s or default.duration_s, default.connections)
    peak = max((max(stage.start_rate, stage.end_rate) for stage in stages), default=0.0)
    total = sum(stage.seconds for stage in stages)
    broken = []
    if peak > caps.rate:
        broken.append((f"{peak:g} requests/s is above the cap of {caps.rate:g}", f"--max-rate {peak:g}"))
    if total > caps.duration_s:
        broken.append((f"{total:g} s is above the cap of {caps.duration_s:g} s", f"--max-duration {total:g}s"))
    if connections > caps.connections:
        broken.append((f"{connections} connections are above the cap of {caps.connections}", "fewer --connections"))
    if broken:
        raise RefusedError(
            "; ".join(message for message, _ in broken),
            code="above-cap",
            hint=f"If that is meant: {' '.join(flag for _, flag in broken)}.",
        )
    return caps


def with_warmup(stages: tuple[Stage, ...], warmup_s: float) -> tuple[Stage, ...]:
    """Return the stages with a warm-up before them: a slow start to the first rate, then half of it at that rate."""
    if warmup_s <= 0 or not stages:
        return stages
    first = stages[0].start_rate or stages[0].end_rate * 0.1
    if first <= SLOW_START_RATE:
        return (Stage(warmup_s, first, first), *stages)
    return (Stage(warmup_s / 2, first * 0.1, first), Stage(warmup_s / 2, first, first), *stages)


class Watch:
    """Stops a run that breaks its error budget, or that the server asks to stop; called once a second."""

    def __init__(
        self, error_budget: float | None, *, surge: bool = True, expected: frozenset[int] = frozenset()
    ) -> None:
        self.error_budget = error_budget
        self.surge = surge
        self.shedding = frozenset({429, 503}) - expected
        """A status that a request expects (the test of a rate limiter) is no sign of overload."""
        self.retry_after_s: float | None = None
        self.asked_to_stop = False
        self._seconds: deque[tuple[int, int, int]] = deque(maxlen=ERROR_WINDOW_S)
        self._completed = 0

    def __call__(self, progress: Progress) -> str | None:
        """Return why the run must end now, or None."""
        # Several runs may share a watch; the totals of each start from nothing.
        done = progress.completed - (self._completed if progress.completed >= self._completed else 0)
        self._completed = progress.completed
        shed = sum(progress.statuses_now.get(status, 0) for status in self.shedding)
        self._seconds.append((done, progress.failed_now, shed))
        if progress.retry_after_s is not None:
            self.retry_after_s = max(self.retry_after_s or 0.0, progress.retry_after_s)
        return self._surge() or self._errors()

    def _surge(self) -> str | None:
        if not self.surge or not self.shedding:
            return None
        recent = list(self._seconds)[-SURGE_WINDOW_S:]
        total, shed = sum(second[0] for second in recent), sum(second[2] for second in recent)
        limit = SURGE_SHARE_ASKED if self.retry_after_s else SURGE_SHARE
        if shed < SURGE_LEAST or shed < limit * total:
            return None
        self.asked_to_stop = True
        asked = f" and asks to wait {self.retry_after_s:g} s (Retry-After)" if self.retry_after_s else ""
        return f"the server sheds load: {shed} of {total} answers in {len(recent)} s were 429 or 503{asked}"

    def _errors(self) -> str | None:
        if self.error_budget is None or len(self._seconds) < ERROR_SECONDS_LEAST:
            return None
        total, failed = sum(second[0] for second in self._seconds), sum(second[1] for second in self._seconds)
        if failed < ERROR_LEAST or failed <= self.error_budget * total:
            return None
        budget = f"{self.error_budget:.0%}"
        return f"the error budget of {budget} is broken: {failed} of {total} requests failed in {len(self._seconds)} s"
