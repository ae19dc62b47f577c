"""What both exports need: the plan as stages, the objectives as thresholds, and secrets as environment variables."""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from senior_backend.console.report import Finding
from senior_backend.load import flow
from senior_backend.load.render import CONTENT_TYPES
from senior_backend.load.samples import needed
from senior_backend.load.templates import Env, Template, is_secret_name, literal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from senior_backend.load.model import Plan, Stage
    from senior_backend.load.scenario import Check, Request, Scenario
    from senior_backend.load.slo import Objective


_SCHEMES = ("", "bearer", "basic", "token")


@dataclass(frozen=True, slots=True)
class Export:
    """What to export: a scenario, where it goes, how much, and what must hold."""

    scenario: Scenario
    base_url: str
    plan: Plan
    objectives: tuple[Objective, ...]
    folder: Path
    """Where the file will lie; feeds are named relative to it."""


def title(scenario: Scenario) -> str:
    """Return a heading that is safe inside a comment of any language."""
    names = ", ".join(request.name for request in scenario.requests[:5])
    return re.sub(r"[^A-Za-z0-9 /.,:_?=&%-]", "_", f"Load test of {names}")[:200]


def warmup_stages(plan: Plan) -> tuple[tuple[Stage, ...], tuple[Stage, ...]]:
    """Return the stages of the warm-up, and the measured ones."""
    passed, number = 0.0, 0
    while number < len(plan.stages) and passed + plan.stages[number].seconds <= plan.warmup_s + 1e-9:
        passed += plan.stages[number].seconds
        number += 1
    return plan.stages[:number], plan.stages[number:]


def whole_rates(stages: Sequence[Stage]) -> tuple[int, list[tuple[int, int, float]]]:
    """Return a unit of time in seconds in which every rate is a whole number, and (start, end, seconds) in it."""
    rates = [rate for stage in stages for rate in (stage.start_rate, stage.end_rate)]
    units = (1, 10, 60)
    exact = (unit for unit in units if all(abs(rate * unit - round(rate * unit)) < 1e-6 for rate in rates))
    unit = next(exact, 100)
    return unit, [(round(stage.start_rate * unit), round(stage.end_rate * unit), stage.seconds) for stage in stages]


def virtual_users(plan: Plan) -> tuple[int, int]:
    """Return how many virtual users to allot beforehand and at most: peak rate x timeout covers a full stall."""
    peak = max((max(stage.start_rate, stage.end_rate) for stage in plan.stages), default=1.0)
    return max(10, math.ceil(peak)), max(20, math.ceil(peak * plan.timeout_s))


def without_secrets(scenario: Scenario) -> tuple[Scenario, tuple[str, ...]]:
    """Return the scenario with secret header values as environment variables, and the names of those."""
    named: dict[str, None] = {}

    def clean(headers: tuple[tuple[str, Template], ...]) -> tuple[tuple[str, Template], ...]:
        kept = []
        for name, value in headers:
            open_text = any(isinstance(part, str) and part.strip().lower() not in _SCHEMES for part in value.parts)
            if is_secret_name(name) and value.is_static and open_text:
                variable = re.sub(r"\W", "_", name.upper())
                named[variable] = None
                kept.append((name, Template((Env(variable, None, ""),))))
            else:
                kept.append((name, value))
        return tuple(kept)

    requests = tuple(replace(request, headers=clean(request.headers)) for request in scenario.requests)
    steps = tuple(
        replace(step, request=replace(step.request, headers=clean(step.request.headers))) for step in scenario.steps
    )
    return replace(scenario, requests=requests, steps=steps, headers=clean(scenario.headers)), tuple(named)


def effective_headers(scenario: Scenario, request: Request, has_body: bool) -> list[tuple[str, Template]]:
    """Return the headers that the request is sent with, the content type of its body included."""
    headers = list(request.headers + flow.common_headers(scenario, request))
    if has_body and request.body and "content-type" not in {name.lower() for name, _ in headers}:
        headers.append(("Content-Type", literal(CONTENT_TYPES[request.body.kind])))
    return headers


def feed_paths(export: Export) -> list[tuple[str, str, str]]:
    """Return name, path relative to the written file, and way of picking of each feed."""
    return [
        (feed.name, os.path.relpath(feed.path.resolve(), export.folder.resolve()).replace(os.sep, "/"), feed.pick)
        for feed in export.scenario.feeds
    ]


def status_ranges(statuses: frozenset[int] | None) -> list[tuple[int, int]]:
    """Return the statuses that are right as ranges, both ends included."""
    if statuses is None:
        return [(200, 399)]
    ranges: list[tuple[int, int]] = []
    for status in sorted(statuses):
        if ranges and status == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], status)
        else:
            ranges.append((status, status))
    return ranges


def is_documented(scenario: Scenario) -> bool:
    """Whether responses are held to an OpenAPI document."""
    return any(request.check.documented for request in scenario.requests)


def documented_rules(check: Check) -> list[dict[str, Any]]:
    """Return what an OpenAPI document says of the responses, as plain values; see `checks.documented_fault`."""
    return [
        {
            "status": status,
            "types": list(rule.content_types),
            "shape": rule.shape,
            "required": list(rule.required),
            "item_required": list(rule.item_required),
        }
        for status, rule in check.documented
    ]


def verifies(plan: Plan) -> bool:
    """Whether certificates are verified."""
    return plan.target.tls is None or plan.target.tls.verify


def few_samples(export: Export) -> list[Finding]:
    """Return the percentiles that the plan is too short for: other engines judge them all the same."""
    _, load = warmup_stages(export.plan)
    whole = sum(request.weight for request in export.scenario.requests)
    weights = {request.name: request.weight / whole for request in export.scenario.requests}
    found = []
    for objective in export.objectives:
        sent = sum(stage.expected for stage in load) * weights.get(objective.request or "", 1.0)
        if objective.share and sent < needed(objective.share):
            message = (
                f"{objective.text} needs {needed(objective.share):,} requests to be told, the plan sends {sent:,.0f}"
            )
            found.append(Finding("few-samples", "warning", message, fix="A longer --duration."))
    return found


def joined(template: Template, of_part: Callable[[Any], str], empty: str) -> str:
    """Return the sum of a template's parts in the syntax of another language, always a text."""
    words = [of_part(part) for part in template.parts]
    if not words:
        return empty
    first_is_text = isinstance(template.parts[0], str) or (len(words) == 1 and isinstance(template.parts[0], Env))
    return " + ".join(words if first_is_text else [empty, *words])
