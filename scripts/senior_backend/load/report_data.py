"""What the JSON document says about a run, in plain values; bounded, whatever the length of the run."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.load.model import RunResult
    from senior_backend.load.slo import Judged
    from senior_backend.load.statistics import Second, Summary
    from senior_backend.load.validity import Validity

TIMELINE_ROWS = 60
REQUEST_ROWS = 50


def run_data(
    result: RunResult, summary: Summary, validity: Validity, judged: Sequence[Judged], url: str
) -> dict[str, Any]:
    """Return the part of the envelope that describes a run; times in milliseconds where a name ends in `_ms`."""
    plan = result.plan
    return {
        "target": url,
        "plan": {
            "arrivals": plan.arrivals,
            "stages": [
                {"seconds": stage.seconds, "rate": stage.start_rate, "to": stage.end_rate} for stage in plan.stages
            ],
            "warmup_s": plan.warmup_s,
            "connections": plan.connections,
            "timeout_s": plan.timeout_s,
            "seed": plan.seed,
            "processes": plan.processes,
        },
        "validity": validity.to_json(),
        "slo": [item.to_json() for item in judged],
        "requests": {
            "planned": summary.planned,
            "succeeded": summary.succeeded,
            "failed": summary.failed,
            "warmup": result.warmup,
            "asked_rate": round(summary.asked_rate, 3),
            "achieved_rate": round(summary.achieved_rate, 3),
            "measured_s": round(summary.measured_s, 3),
        },
        "response_time": summary.response.to_json(),
        "made_of": {
            "schedule_lag": summary.columns["lag"].to_json(),
            "connection_wait": summary.columns["wait"].to_json(),
            "first_byte": summary.columns["first_byte"].to_json(),
            "service": summary.columns["service"].to_json(),
            "connect": summary.connect.to_json(),
            "tls_handshake": summary.handshake.to_json(),
        },
        "endpoints": [
            {"name": row.name, "count": row.count, "failed": row.failed, "response_time": row.response.to_json()}
            for row in summary.requests[:REQUEST_ROWS]
        ],
        "errors": [
            {
                "class": error.kind.label,
                "count": error.count,
                "example": asdict(error.example) if error.example else None,
            }
            for error in summary.errors
        ],
        "statuses": {str(status): count for status, count in sorted(result.statuses.items())},
        "timeline": timeline(summary.timeline),
        "generator": asdict(result.generator),
        "notes": list(result.notes),
        "interrupted": result.interrupted,
        "stopped": result.stopped,
    }


def timeline(seconds: Sequence[Second]) -> list[dict[str, Any]]:
    """Return at most 60 rows; several seconds become one, with sums of counts and the worst percentiles."""
    per_row = max(1, -(-len(seconds) // TIMELINE_ROWS))
    rows = []
    for start in range(0, len(seconds), per_row):
        part = seconds[start : start + per_row]
        rows.append(
            {
                "at_s": part[0].second,
                "seconds": len(part),
                "asked": round(sum(second.asked for second in part), 2),
                "sent": sum(second.sent for second in part),
                "answered": sum(second.answered for second in part),
                "failed": sum(second.failed for second in part),
                "p50_ms": _worst([second.p50_ms for second in part]),
                "p99_ms": _worst([second.p99_ms for second in part]),
                "max_ms": _worst([second.max_ms for second in part]),
            }
        )
    return rows


def _worst(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(max(known), 3) if known else None
