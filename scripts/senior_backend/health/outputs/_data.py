"""A verdict as plain data, for JSON, history and templates."""

from __future__ import annotations

import datetime
from typing import Any

from senior_backend.health.model import Result
from senior_backend.health.verdict import Verdict

SHOWN = 200
"""Services on standard output; `--output FILE` and `--write json=FILE` hold all of them."""


def of_verdict(verdict: Verdict, shown: int | None = None) -> dict[str, Any]:
    """Return the part of the envelope that belongs to this tool.

    Where there are more services than `shown`, the worst come first, and `services_omitted` counts the rest.
    """
    whole = shown is None or len(verdict.results) <= shown
    results = list(verdict.results) if whole else verdict.worst_first()[:shown]
    return {
        "checked_at": timestamp(verdict.started_at),
        "services_file": verdict.path,
        "seconds": round(verdict.seconds, 4),
        "counts": verdict.counts,
        "causes": [
            {"service": cause.service, "reason": cause.reason, "detail": cause.detail, "affected": list(cause.affected)}
            for cause in verdict.causes
        ],
        "shared_causes": [
            {"kind": cause.kind, "subject": cause.subject, "services": list(cause.services), "message": cause.message}
            for cause in verdict.shared
        ],
        "checker": {"lag_p99_ms": round(verdict.lag_p99 * 1000, 2), "second_looks": verdict.second_looks},
        "services": [of_result(result) for result in results],
        "services_omitted": len(verdict.results) - len(results),
    }


def of_result(result: Result) -> dict[str, Any]:
    """Return one service; the keys are always there, so that a reader need not ask."""
    service = result.service
    return {
        "name": service.name,
        "type": service.type,
        "target": service.target,
        "state": result.state,
        "reason": result.reason,
        "detail": result.detail,
        "next_step": result.next_step or None,
        "critical": service.critical,
        "depends_on": list(service.depends_on),
        "causes": list(result.causes),
        "own_reason": result.own_reason,
        "phases_ms": dict(result.phases),
        "facts": dict(result.facts),
        "components": dict(result.components),
        "untrusted_excerpt": result.excerpt or None,
        "address": result.address,
        "tls_days": result.tls_days,
        "insecure": service.tls_options.insecure,
        "attempts": result.attempts,
        "flaky": result.flaky,
        "looks_ms": [round(value, 3) for value in result.looks],
        "measured_at_concurrency": result.active,
        "checker_lag_ms": result.lag_ms,
        "tags": list(service.tags),
    }


def timestamp(unix: float) -> str:
    """Return a moment as RFC 3339 text in UTC."""
    return datetime.datetime.fromtimestamp(unix, datetime.UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
