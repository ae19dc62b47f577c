"""From a run and its judgements to one sentence and one exit code."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.console.exit_codes import ExitCode
from senior_backend.load.model import ErrorKind
from senior_backend.load.statistics import MS, show_ms

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.load.model import RunResult
    from senior_backend.load.slo import Judged
    from senior_backend.load.statistics import Summary
    from senior_backend.load.validity import Validity

UNREACHABLE = frozenset({ErrorKind.DNS, ErrorKind.REFUSED, ErrorKind.CONNECT_TIMEOUT, ErrorKind.TLS})
DEFAULT_ERROR_SHARE = 0.01
"""Without an objective, a run with more failed requests than this does not hold."""


def decide(
    result: RunResult, summary: Summary, validity: Validity, judged: Sequence[Judged] = ()
) -> tuple[ExitCode, str]:
    """Return the exit code and the sentence. Order: interrupted, refused, unreachable, invalid, broken, undecided."""
    rate = f"{summary.achieved_rate:.0f} of {summary.asked_rate:.0f} requests/s"
    if result.plan.arrivals == "closed":
        rate = f"{summary.achieved_rate:.0f} requests/s"
    broken = [item for item in judged if item.state == "broken"]
    undecided = [item for item in judged if item.state == "undecided"]
    if result.interrupted:
        return ExitCode.INTERRUPTED, f"interrupted after {result.elapsed_s:.1f} s: {rate}, {_latency(summary)}"
    if result.stopped:
        return ExitCode.REFUSED, f"stopped after {result.elapsed_s:.1f} s: {result.stopped}"
    if summary.planned and not summary.succeeded:
        kinds = {kind for kind, count in result.errors.items() if count}
        main = summary.errors[0]
        what = f"{main.kind.label}: {main.example.message}" if main.example else main.kind.label
        generator = any(kind.by_generator for kind in kinds)
        code = ExitCode.ENVIRONMENT if kinds <= UNREACHABLE or generator else ExitCode.FAILED
        return code, f"none of {summary.planned:,} requests succeeded ({what})"
    if not validity.valid:
        reason = validity.reasons[0].message if validity.reasons else validity.limit
        return ExitCode.UNDECIDED, f"not a valid measurement: {reason}"
    if broken:
        misses = "; ".join(f"{item.objective.text} is broken: {item.message}" for item in broken)
        return ExitCode.FAILED, f"{misses} ({rate})"
    if undecided:
        return ExitCode.UNDECIDED, "; ".join(f"{item.objective.text}: {item.message}" for item in undecided)
    if not any(item.objective.metric == "errors" for item in judged) and summary.error_share > DEFAULT_ERROR_SHARE:
        return ExitCode.FAILED, f"{summary.failed:,} of {summary.planned:,} requests failed ({summary.error_share:.1%})"
    behind = next((reason for reason in validity.reasons if reason.code == "server-saturated"), None)
    if behind is not None and not any(item.objective.metric == "rps" for item in judged):
        return ExitCode.FAILED, f"{behind.message} ({_latency(summary)})"
    kept = "every objective holds: " if judged else ""
    return ExitCode.OK, f"{kept}{rate}, {_latency(summary)}, {summary.failed:,} failed"


def _latency(summary: Summary) -> str:
    parts = []
    for share, name in ((0.5, "p50"), (0.99, "p99")):
        value = summary.response.at.get(share)
        parts.append(f"{name} {show_ms(value * MS)}" if value is not None else f"{name} not enough data")
    return ", ".join(parts)
