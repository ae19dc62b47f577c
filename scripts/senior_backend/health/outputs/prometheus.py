"""Prometheus text exposition, for the node exporter's textfile collector."""

from __future__ import annotations

from senior_backend.health.verdict import STATES, Verdict

_VALUES = {"up": 1, "degraded": 1, "down": 0, "blocked": 0}


def render(verdict: Verdict) -> str:
    """Return the metrics; a service that could not be judged has no `up` sample rather than a false one."""
    lines: list[str] = []

    def metric(name: str, text: str, samples: list[str]) -> None:
        if samples:
            lines.extend((f"# HELP {name} {text}", f"# TYPE {name} gauge", *samples))

    results = [(result, _labels(service=result.service.name, type=result.service.type)) for result in verdict.results]
    metric(
        "health_check_up",
        "Whether the service does its work (degraded counts as 1); absent when it could not be judged.",
        [f"health_check_up{labels} {_VALUES[r.state]}" for r, labels in results if r.state in _VALUES],
    )
    metric(
        "health_check_state",
        "1 for the state that the service has.",
        [
            f"health_check_state{_labels(service=r.service.name, state=state)} {int(r.state == state)}"
            for r, _ in results
            for state in STATES
        ],
    )
    metric(
        "health_check_reason",
        "1 for the reason of a state other than up.",
        [f"health_check_reason{_labels(service=r.service.name, reason=r.reason)} 1" for r, _ in results if r.reason],
    )
    metric(
        "health_check_phase_seconds",
        "Time of each phase of the last check.",
        [
            f"health_check_phase_seconds{_labels(service=r.service.name, phase=phase)} {value / 1000:.6f}"
            for r, _ in results
            for phase, value in r.phases.items()
            if value is not None
        ],
    )
    metric(
        "health_check_tls_expiry_days",
        "Days until the certificate ends.",
        [f"health_check_tls_expiry_days{labels} {r.tls_days}" for r, labels in results if r.tls_days is not None],
    )
    metric(
        "health_check_last_run_timestamp_seconds",
        "When the last pass began.",
        [f"health_check_last_run_timestamp_seconds {verdict.started_at:.3f}"],
    )
    return "\n".join(lines) + "\n"


def _labels(**values: str | None) -> str:
    def quoted(text: str) -> str:
        return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")

    return "{" + ",".join(f'{name}="{quoted(value or "")}"' for name, value in values.items()) + "}"
