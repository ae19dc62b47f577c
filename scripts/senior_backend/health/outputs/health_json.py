"""application/health+json (draft-inadarei-api-health-check-06)."""

from __future__ import annotations

import json
from typing import Any

from senior_backend.console.exit_codes import ExitCode
from senior_backend.health.outputs._data import timestamp
from senior_backend.health.verdict import Verdict, explain

_STATUS = {"up": "pass", "degraded": "warn", "down": "fail", "blocked": "fail", "unknown": "warn"}


def render(verdict: Verdict) -> str:
    """Return the document; a failing service that is not critical is a warning."""
    checks: dict[str, list[dict[str, Any]]] = {}
    for result in verdict.results:
        status = _STATUS[result.state]
        entry: dict[str, Any] = {
            "componentId": result.service.name,
            "componentType": "datastore" if result.service.type in _DATASTORES else "component",
            "status": "warn" if status == "fail" and not result.service.critical else status,
            "time": timestamp(verdict.started_at),
        }
        total = result.phases.get("total")
        if total is not None:
            entry |= {"observedValue": total, "observedUnit": "ms"}
        if result.state != "up":
            entry["output"] = f"{result.state}: {explain(result)}"
        checks[f"{result.service.name}:responseTime"] = [entry]
    worst = "fail" if verdict.exit_code is ExitCode.FAILED else "pass"
    if worst == "pass" and any(result.state != "up" for result in verdict.results):
        worst = "warn"
    return json.dumps({"status": worst, "output": verdict.summary, "checks": checks}, indent=2, ensure_ascii=False)


_DATASTORES = frozenset({"postgresql", "mysql", "redis", "mongodb", "kafka", "amqp", "nats"})
