"""The scenario, plan and objectives as a locustfile."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from senior_backend.console.report import Finding
from senior_backend.load import flow, jsonpath
from senior_backend.load.exports import (
    Export,
    documented_rules,
    effective_headers,
    feed_paths,
    few_samples,
    is_documented,
    joined,
    status_ranges,
    title,
    verifies,
    warmup_stages,
    without_secrets,
)
from senior_backend.load.templates import Env, Expression, Template

if TYPE_CHECKING:
    from collections.abc import Callable

    from senior_backend.load.scenario import Check, Extract, Request, Scenario
    from senior_backend.load.slo import Objective

FILE = "locustfile.py"
_FUNCTIONS = {
    "uuid": "str(uuid.uuid4())",
    "sequence": "draw.number",
    "now": 'time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())',
    "timestamp": "int(time.time())",
}


@dataclass(frozen=True, slots=True)
class _Written:
    """A request in Python."""

    function: str
    name: str
    method: str
    weight: float
    path: str
    body: str
    headers: list[tuple[str, str]]
    ranges: list[tuple[int, int]]
    checks: list[str]
    extracts: list[tuple[str, str]]
    needs: list[str]
    repeat: int = 1


def write(export: Export, file: str, render: Callable[..., str]) -> tuple[str, tuple[str, ...]]:
    """Return the locustfile, and the environment variables that hold its secrets."""
    scenario, secrets = without_secrets(export.scenario)
    warm, _ = warmup_stages(export.plan)
    known: set[str] = set()
    steps = []
    for number, step in enumerate(scenario.steps):
        steps.append(_request(scenario, step.request, f"step_{number}", known, step.repeat))
        known |= {extract.name for extract in step.request.extract}
    tls = export.plan.target.tls
    peak = max((max(stage.start_rate, stage.end_rate) for stage in export.plan.stages), default=1.0)
    text = render(
        "exports/locustfile.py.jinja",
        {"py": py},
        {
            "title": title(scenario),
            "file": re.sub(r"[^A-Za-z0-9 /.,:_-]", "_", file),
            "base_url": export.base_url,
            "secrets": secrets,
            "warmup_s": sum(stage.seconds for stage in warm),
            "stages": [(stage.seconds, stage.start_rate, stage.end_rate) for stage in export.plan.stages],
            "per_user": min(1.0, peak) if peak > 0 else 1.0,
            "peak": math.ceil(peak),
            "timeout": export.plan.timeout_s,
            "thresholds": [threshold(objective) for objective in export.objectives],
            "feeds": feed_paths(export),
            "requests": [
                _request(scenario, request, f"request_{number}") for number, request in enumerate(scenario.requests)
            ],
            "steps": steps,
            "documented": is_documented(scenario),
            "verify": (tls.ca_file or True) if tls and tls.verify else verifies(export.plan),
        },
    )
    return text, secrets


def losses(export: Export) -> list[Finding]:
    """Return what the locustfile cannot say as the scenario and the plan do."""
    message = "Locust is a closed loop: it understates what users feel while the server stalls"
    return [Finding("closed-loop", "info", message, fix="k6 keeps the rate."), *few_samples(export)]


def py(value: Any) -> str:
    """Return a Python literal."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=True)
    if isinstance(value, dict):
        return "{" + ", ".join(f"{py(key)}: {py(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(py(item) for item in value) + "]"
    return repr(value)


def threshold(objective: Objective) -> tuple[str, str | None, str, str, float]:
    """Return text, request, what is measured (an expression over Locust's entry), relation and limit."""
    if objective.metric == "errors":
        measured = "entry.fail_ratio"
    elif objective.metric == "rps":
        measured = "entry.total_rps"
    elif objective.metric == "mean":
        measured = "entry.avg_response_time"
    elif objective.metric == "max":
        measured = "entry.max_response_time"
    else:
        measured = f"entry.get_response_time_percentile({objective.share})"
    return objective.text, objective.request, measured, objective.relation, objective.limit


def _request(
    scenario: Scenario, request: Request, function: str, known: set[str] | None = None, repeat: int = 1
) -> _Written:
    names = flow.extracted_names(scenario)
    headers = [
        (name, value)
        for name, value in effective_headers(scenario, request, request.body is not None)
        if known is None
        or all(expression.variable not in names or expression.variable in known for expression in value.expressions)
    ]
    code = _Code(scenario)
    path = code.text(request.path, "encode")
    mark = "&" if any(isinstance(part, str) and "?" in part for part in request.path.parts) else "?"
    for name, value in request.query:
        path += f" + {py(mark)} + encode({py(name)}) + '=' + encode({code.text(value, 'text')})"
        mark = "&"
    return _Written(
        function=function,
        name=request.name,
        method=request.method,
        weight=request.weight,
        path=path,
        body=code.body(request),
        headers=[(name, code.text(value, "text")) for name, value in headers],
        ranges=status_ranges(request.check.statuses),
        checks=_checks(request.check),
        extracts=[(extract.name, _extract(extract)) for extract in request.extract],
        needs=sorted(flow.needs(scenario, request)) if known is None else [],
        repeat=repeat,
    )


class _Code:
    """Writes templates as Python; a variable used twice in a request has one value."""

    def __init__(self, scenario: Scenario) -> None:
        self.constants = dict(scenario.variables)
        self.feeds = {feed.name: feed for feed in scenario.feeds}

    def text(self, template: Template, wrap: str) -> str:
        def part(value: Any) -> str:
            if isinstance(value, str):
                return py(value)
            if isinstance(value, Env):
                return _env(value)
            return f"{wrap if value.filter != 'raw' else 'text'}({self.value(value)})"

        return joined(template, part, '""')

    def value(self, expression: Expression) -> str:
        made = self.plain_value(expression)
        if expression.filter == "int":
            return f"int(float({made}))"
        return f"float({made})" if expression.filter == "float" else made

    def plain_value(self, expression: Expression) -> str:
        name = expression.name
        if expression.is_call:
            if name == "random_int":
                return f"random.randint({expression.arguments[0]}, {expression.arguments[1]})"
            if name == "random_string":
                return f"random_string({expression.arguments[0]})"
            return f"draw.take({py(expression.arguments[0])})" if name == "take" else _FUNCTIONS[name]
        if name in self.constants:
            return f"({self.text(self.constants[name], 'text')})"
        feed, _, column = name.partition(".")
        if column:
            return f"draw.row({py(feed)}, {py(self.feeds[feed].pick)})[{py(column)}]"
        return f"draw.pick({py(name)})"

    def body(self, request: Request) -> str:
        if request.body is None:
            return "None"
        if request.body.kind == "text":
            return f"({self.text(request.body.content, 'text')}).encode()"
        if request.body.kind == "json":
            return f"json.dumps({self.json(request.body.content)}).encode()"
        pairs = [f"({py(name)}, {self.text(value, 'text')})" for name, value in request.body.content]
        return f"urlencode([{', '.join(pairs)}]).encode()"

    def json(self, value: Any) -> str:
        if isinstance(value, Template):
            return self.value(value.single) if value.single else self.text(value, "text")
        if isinstance(value, dict):
            return "{" + ", ".join(f"{py(key)}: {self.json(item)}" for key, item in value.items()) + "}"
        if isinstance(value, list):
            return "[" + ", ".join(self.json(item) for item in value) + "]"
        return py(value)


def _env(part: Env) -> str:
    if part.default is None:
        return f"os.environ[{py(part.name)}]"
    return f"(os.environ.get({py(part.name)}) or {py(part.default)})"


def _path(written: str) -> str:
    return py(list(jsonpath.parse(written)))


def _checks(check: Check) -> list[str]:
    made = [
        f"({py(text.lower())} in (response.headers.get({py(name)}) or '').lower(), {py(f'the header {name}')})"
        for name, text in check.headers
    ]
    if check.contains is not None:
        made.append(f"({py(check.contains)} in response.text, 'the body lacks a text')")
    if check.not_contains is not None:
        made.append(f"({py(check.not_contains)} not in response.text, 'the body holds a text')")
    if check.matches is not None:
        made.append(f"(re.search({py(check.matches)}, response.text) is not None, 'nothing in the body matches')")
    if check.documented:
        made.append(f"(documented(response, {py(documented_rules(check))}), 'not what the OpenAPI document says')")
    made += [f"(bool(at(response, {_path(path)})), {py(f'nothing at {path}')})" for path in check.has]
    made += [
        f"({py(expected)} in at(response, {_path(path)}), {py(f'{path} has another value')})"
        for path, expected in check.json
    ]
    return made


def _extract(extract: Extract) -> str:
    if extract.json:
        found = f"at(response, {_path(extract.json)})"
    elif extract.header:
        found = f"[response.headers.get({py(extract.header)})]"
    elif extract.cookie:
        found = f"[response.cookies.get({py(extract.cookie)})]"
    else:
        found = "[response.text]"
    return f"matching({py(extract.regex)}, {found})" if extract.regex else found
