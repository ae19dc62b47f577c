"""Can the measurement be trusted, and what was the limit: nothing, the generator, the connection cap, or the server?

The generator is judged by its own error: schedule lag, the time between a request's intended start and the moment the
generator noticed it. The connection cap is the limit when requests waited for a connection although the server
answered as fast as it ever does; when the server itself had become slow, the server is.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Literal

from senior_backend.console.report import Finding
from senior_backend.load.findings import View
from senior_backend.load.model import NANOSECONDS, ErrorKind
from senior_backend.load.samples import Distribution
from senior_backend.load.statistics import MS, falls_behind, redirected, show_ms

if TYPE_CHECKING:
    from senior_backend.load.model import RunResult
    from senior_backend.load.statistics import Summary

Limit = Literal["none", "generator", "cap", "server"]

LAG_MS = 1.0
INVALID_LAG_MS = 5.0
LAG_SHARE = 0.1
"""The 99th percentile of schedule lag may be 1 ms, or a tenth of the response time's where that is more: above that
the report warns, and above 5 ms (or the tenth) the run is not valid."""
CPU_SHARE = 0.95
BUSY_SHARE = 0.5
"""A late generator that used less than this of a core was kept from running."""
DISTURBED = "something else on this machine took the CPU"
OWN_SHARE = 0.5
"""A lag of which at least half is what one request costs the generator is its own."""
CAPPED_SHARE = 0.02
WAIT_SHARE = 0.1
"""The cap mattered when requests waited for it in more than 2 % of the time and waiting is 10 % of response time."""
FEW = 4
FEW_LEAST = 5
"""Few others are a quarter of the cap; so many such requests show how quick the server is then."""
SLOWED = 2.0
"""A server whose service time, while requests wait, is this many times its quick answers is slow itself."""
FD_SHARE = 0.9
REDIRECT_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Validity:
    """Whether the run measured the server, and what was the limit."""

    valid: bool
    limit: Limit
    reasons: tuple[Finding, ...]

    def to_json(self) -> dict[str, object]:
        """Return it as the report shows it; the reasons are among the report's findings."""
        return {"valid": self.valid, "limit": self.limit, "reasons": [reason.code for reason in self.reasons]}


def judge(result: RunResult, summary: Summary) -> Validity:
    """Return the verdict on the measurement itself."""
    if not summary.planned:
        reason = Finding("nothing-measured", "error", "no request was measured", fix="run longer, or ask a higher rate")
        return Validity(False, "generator", (reason,))
    elsewhere = _redirected(result)
    if elsewhere is not None:
        return Validity(False, "none", (elsewhere,))
    reasons = [*_generator(result)]
    invalid = [reason for reason in reasons if reason.severity == "error"]
    if invalid:
        return Validity(False, "generator", tuple(reasons))
    cap, server = _capped(result, summary), _server(result, summary)
    if cap is not None and cap.code == "connection-cap":
        return Validity(False, "cap", (cap, *reasons))
    told = [finding for finding in (server, cap) if finding is not None]
    return Validity(True, "server" if told else "none", (*told, *reasons))


def _redirected(result: RunResult) -> Finding | None:
    """Return that redirects were measured: what users wait for is what those lead to."""
    seen = redirected(result)
    if seen.total() < REDIRECT_SHARE * len(result.samples):
        return None
    status, _ = seen.most_common(1)[0]
    return Finding(
        "redirects",
        "error",
        f"{seen.total():,} of {len(result.samples):,} answers are redirects (status {status}), not what they lead to",
        fix="name the path that Location shows, often with another / or host, or log in; where the redirect itself is "
        f"what to measure, add --expect-status {status}, or expect_status in the scenario",
    )


def _generator(result: RunResult) -> list[Finding]:
    stats = result.generator
    found = []
    lag = result.samples.distribution("lag").at(0.99) or 0.0
    response = result.samples.distribution("response").at(0.99) or 0.0
    allowed = max(LAG_MS * MS, LAG_SHARE * response)
    if lag > allowed:
        # One response that takes that long to read makes the next request late, however idle the rest of the time is.
        each = stats.cpu_s * NANOSECONDS / max(len(result.samples), 1)
        busy = stats.cpu_share > BUSY_SHARE or each > OWN_SHARE * lag
        why = "it needs more CPU" if busy else DISTURBED
        found.append(
            Finding(
                "generator-lag",
                "error" if lag > max(allowed, INVALID_LAG_MS * MS) else "warning",
                f"the generator itself was late: schedule lag p99 {show_ms(lag)} (allowed {show_ms(allowed)}), "
                f"with {stats.cpu_share:.0%} of a core: {why}",
                fix="use --processes, or ask a lower rate" if busy else "repeat it on an idle machine or core",
            )
        )
    if result.plan.arrivals == "closed" and stats.cpu_share > CPU_SHARE:
        found.append(
            Finding(
                "generator-cpu",
                "error",
                f"the closed loop used {stats.cpu_share:.0%} of a core: its rate is the generator's, not the server's",
                fix="use --processes",
            )
        )
    elif stats.cpu_share > CPU_SHARE:
        message = f"the generator used {stats.cpu_share:.0%} of a core; a higher rate needs --processes"
        found.append(Finding("generator-cpu", "warning", message))
    descriptors = f"file descriptors (limit {stats.fds_limit})"
    for limited, kind, what, fix in (
        (stats.fd_limited, ErrorKind.FD_LIMIT, descriptors, "raise the limit with ulimit -n"),
        (stats.port_limited, ErrorKind.PORT_EXHAUSTION, "local ports", "keep connections alive, or use fewer"),
    ):
        if limited:
            failed = result.errors.get(kind, 0)
            waited = stats.capped_s > CAPPED_SHARE * stats.wall_s
            found.append(
                Finding(
                    kind.label.replace("_", "-"),
                    "error" if failed or waited else "warning",
                    f"the generator ran out of {what} at {stats.connections_peak} connections"
                    + (f"; {failed:,} requests failed for that" if failed else ""),
                    fix=fix,
                )
            )
    if not stats.fd_limited and stats.fds_limit and stats.fds_open > FD_SHARE * stats.fds_limit:
        message = f"{stats.fds_open} of {stats.fds_limit} file descriptors were open"
        found.append(Finding("fd-near-limit", "warning", message, fix="raise the limit with ulimit -n"))
    return found


def _capped(result: RunResult, summary: Summary) -> Finding | None:
    """Return what the waiting for connections was due to, if it mattered."""
    samples, stats = result.samples, result.generator
    waits, responses = samples.distribution("wait").mean or 0.0, samples.distribution("response").mean or 1.0
    if stats.capped_s < CAPPED_SHARE * stats.wall_s or waits < WAIT_SHARE * responses:
        return None
    service = samples.service
    # What requests take that meet few others; where all of them met many, the quickest.
    few = View.of(result, summary).met_at_most(stats.connections_cap // FEW)
    quick = median(few) if len(few) >= FEW_LEAST else Distribution(value for value in service if value).at(0.05) or 0.0
    waited = Distribution(
        value for value, wait in zip(service, samples.wait, strict=True) if value and wait > LAG_MS * MS
    )
    # While requests wait, all connections are busy. A server that then needs as long as ever could do more; the
    # requests that held the connections at the start of the wait are among the slow ones in either case.
    slow = waited.at(0.5) or 0.0
    longest = Distribution(service).greatest or 0.0
    stalled = longest > SLOWED * quick and longest >= 0.5 * (samples.distribution("wait").greatest or 0.0)
    if (waited.count and slow > SLOWED * quick) or stalled:
        return Finding(
            "server-slow",
            "warning",
            f"requests waited up to {show_ms(samples.distribution('wait').greatest or 0)} for one of "
            f"{stats.connections_cap} connections because the server held them: service time rose from "
            f"{show_ms(quick)} to {show_ms(longest if stalled else slow)}",
        )
    cap = stats.connections_cap
    busy = "the only connection was" if cap == 1 else f"all {cap} connections were"
    return Finding(
        "connection-cap",
        "error",
        f"{busy} busy for {stats.capped_s:.1f} s while the server answered as fast as ever ({show_ms(slow)}): "
        "the cap was the limit",
        fix=f"use --connections {_more_connections(result, slow)}",
    )


def _more_connections(result: RunResult, service_ns: float) -> int:
    """Return a cap with room: three times what Little's law says."""
    rate = len(result.samples) / max(result.measured_s, 1e-9)
    return max(2 * result.generator.connections_cap, int(3 * rate * service_ns / 1e9) + 1)


def _server(result: RunResult, summary: Summary) -> Finding | None:
    growth = falls_behind(result)
    if growth is None:
        return None
    return Finding(
        "server-saturated",
        "warning",
        f"the server does not keep up: the backlog grew by {growth:.0f} requests per second, "
        f"{summary.achieved_rate:.0f} of {summary.asked_rate:.0f} requests per second were answered",
    )
