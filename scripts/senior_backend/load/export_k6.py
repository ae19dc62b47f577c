"""The scenario, plan and objectives as a k6 script."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from senior_backend.console.report import Finding
from senior_backend.load import flow, js_regex, jsonpath
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
    virtual_users,
    warmup_stages,
    whole_rates,
    without_secrets,
)
from senior_backend.load.scenario import READ_ONLY_METHODS
from senior_backend.load.templates import Env, Expression, Template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.load.model import Stage
    from senior_backend.load.scenario import Check, Extract, Request, Scenario
    from senior_backend.load.slo import Objective

FILE = "load-test.k6.js"
_FUNCTIONS = {
    "uuid": "uuid()",
    "sequence": "sequence()",
    "now": "new Date().toISOString()",
    "timestamp": "Math.floor(Date.now() / 1000)",
}


@dataclass(frozen=True, slots=True)
class _Written:
    """A request in JavaScript."""

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
    uses_once: bool
    supplies_at_start: bool = False
    """Whether it is sent once before the load, so that every virtual user has its values from the first iteration."""
    repeat: int = 1


def write(export: Export, file: str, render: Any) -> tuple[str, tuple[str, ...]]:
    """Return the script, and the environment variables that hold its secrets.

    `render` takes the name of a template, its filters and its values.
    """
    scenario, secrets = without_secrets(export.scenario)
    thresholds: dict[str, list[str]] = {}
    for objective in export.objectives:
        metric, term = threshold(objective)
        thresholds.setdefault(metric, []).append(term)
    warm, load = warmup_stages(export.plan)
    phases = [_phase("warmup", warm, 0.0)] if warm else []
    phases.append(_phase("load", load, sum(stage.seconds for stage in warm)))
    known: set[str] = set()
    steps = []
    for step in scenario.steps:
        steps.append(_request(scenario, step.request, known, step.repeat))
        known |= {extract.name for extract in step.request.extract}
    text = render(
        "exports/k6.js.jinja",
        {"js": js},
        {
            "title": title(scenario),
            "file": re.sub(r"[^A-Za-z0-9 /.,:_-]", "_", file),
            "base_url": export.base_url,
            "secrets": secrets,
            "phases": phases,
            "users": virtual_users(export.plan),
            "timeout": _seconds(export.plan.timeout_s),
            "thresholds": list(thresholds.items()),
            "feeds": feed_paths(export),
            "requests": [_request(scenario, request, None) for request in scenario.requests],
            "steps": steps,
            "documented": is_documented(scenario),
            "verify": verifies(export.plan),
            # The load goes on counting where the warm-up ends.
            "warmup_iterations": math.ceil(sum(stage.expected for stage in warm)) + 1 if warm else 0,
        },
    )
    return text, secrets


def losses(export: Export) -> list[Finding]:
    """Return what the script cannot say as the scenario and the plan do."""
    most = virtual_users(export.plan)[1]
    found = [
        Finding(
            "counts-from-send",
            "info",
            "k6 counts latency from when a request was sent, load_test.py from when it was due; an arrival without a "
            f"free virtual user (of {most}, each with a connection of its own) is dropped, and breaks a threshold",
        ),
        *few_samples(export),
    ]
    if export.plan.arrivals == "poisson":
        message = "k6 spaces arrivals evenly: queues are shorter than with the Poisson arrivals of independent users"
        found.append(Finding("arrivals-even", "info", message))
    taken = {name for request in export.scenario.requests for name in _taken(export.scenario, request)}
    if taken:
        arrivals = math.ceil(sum(stage.expected for stage in export.plan.stages))
        message = (
            f"virtual users share nothing: take() of {', '.join(sorted(taken))} gets the value with the number of the "
            f"iteration, so {arrivals:,} requests of any kind need as many values; beyond them the last is sent again"
        )
        found.append(Finding("take-by-iteration", "info", message))
    tls = export.plan.target.tls
    if tls and tls.ca_file:
        message = "k6 takes its authorities from the environment"
        found.append(Finding("authority-left-out", "warning", message, fix=f"run it with SSL_CERT_FILE={tls.ca_file}"))
    patterns = [
        (request.name, pattern)
        for request in (*export.scenario.requests, *(step.request for step in export.scenario.steps))
        for pattern in (request.check.matches, *(extract.regex for extract in request.extract))
        if pattern and js_regex.translate(pattern) is None
    ]
    for name, pattern in patterns:
        message = f"JavaScript has no such regular expression: {pattern}; the script ends there with an error"
        found.append(Finding("regex-not-carried", "warning", message, name, "Write it without what is special."))
    return found


def _taken(scenario: Scenario, request: Request) -> set[str]:
    used = flow.of_request(scenario, request, flow.common_headers(scenario, request))
    return {str(expression.variable) for expression in used if expression.is_call and expression.variable}


def js(value: Any) -> str:
    """Return a JavaScript literal; JSON is one, but for two line separators."""
    return json.dumps(value, ensure_ascii=False).replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def threshold(objective: Objective) -> tuple[str, str]:
    """Return the metric and the term of an objective as k6 writes them; times are in milliseconds there."""
    tags = "scenario:load" + (f",name:{objective.request}" if objective.request else "")
    if objective.metric == "errors":
        return f"failed{{{tags}}}", f"rate{objective.relation}{objective.limit:g}"
    if objective.metric == "rps":
        return f"http_reqs{{{tags}}}", f"rate{objective.relation}{objective.limit:g}"
    names = {"mean": "avg", "max": "max"}
    function = names.get(objective.metric) or f"p({round((objective.share or 0) * 100, 6):g})"
    return f"http_req_duration{{{tags}}}", f"{function}{objective.relation}{objective.limit:g}"


def _phase(name: str, stages: Sequence[Stage], start: float) -> dict[str, Any]:
    unit, rates = whole_rates(stages)
    written: list[tuple[int, str]] = []
    at = rates[0][0] if rates else 0
    for begin, end, seconds in rates:
        if begin != at:
            written.append((begin, "0s"))
        written.append((end, _seconds(seconds)))
        at = end
    return {
        "name": name,
        "start": _seconds(start),
        "start_rate": rates[0][0] if rates else 0,
        "unit": unit,
        "stages": written,
    }


def _seconds(value: float) -> str:
    return f"{value:g}s" if float(value).is_integer() else f"{round(value * 1000)}ms"


def _request(scenario: Scenario, request: Request, known: set[str] | None, repeat: int = 1) -> _Written:
    """Return a request in JavaScript; for a step, `known` has the variables that earlier steps supplied."""
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
        path += f" + {js(mark)} + encode({js(name)}) + '=' + encode({code.text(value, 'text')})"
        mark = "&"
    return _Written(
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
        uses_once=code.used_once,
        supplies_at_start=bool(request.extract) and request.method in READ_ONLY_METHODS,
        repeat=repeat,
    )


class _Code:
    """Writes templates as JavaScript; a variable used twice in a request has one value."""

    def __init__(self, scenario: Scenario) -> None:
        self.constants = dict(scenario.variables)
        self.feeds = {feed.name: feed for feed in scenario.feeds}
        self.used_once = False

    def text(self, template: Template, wrap: str) -> str:
        def part(value: Any) -> str:
            if isinstance(value, str):
                return js(value)
            if isinstance(value, Env):
                return _env(value)
            return f"{wrap if value.filter != 'raw' else 'text'}({self.value(value)})"

        return joined(template, part, "''")

    def value(self, expression: Expression) -> str:
        made = self.plain_value(expression)
        if expression.filter == "int":
            return f"Math.trunc(Number({made}))"
        return f"Number({made})" if expression.filter == "float" else made

    def plain_value(self, expression: Expression) -> str:
        name = expression.name
        if expression.is_call:
            if name == "random_int":
                return f"randomInt({expression.arguments[0]}, {expression.arguments[1]})"
            if name == "random_string":
                return f"randomString({expression.arguments[0]})"
            if name == "take":
                return self.once(expression.arguments[0], f"take({js(expression.arguments[0])})")
            return _FUNCTIONS[name]
        if name in self.constants:
            return f"({self.text(self.constants[name], 'text')})"
        feed, _, column = name.partition(".")
        if column:
            row = self.once(f"feed {feed}", f"row(feed_{feed}, {js(self.feeds[feed].pick)})")
            return f"{row}[{js(column)}]"
        return self.once(name, f"pick({js(name)})")

    def once(self, key: str, make: str) -> str:
        self.used_once = True
        return f"once({js(key)}, () => {make})"

    def body(self, request: Request) -> str:
        if request.body is None:
            return "null"
        if request.body.kind == "text":
            return self.text(request.body.content, "text")
        if request.body.kind == "json":
            return f"JSON.stringify({self.json(request.body.content)})"
        pairs = [
            f"formEncode({js(name)}) + '=' + formEncode({self.text(value, 'text')})"
            for name, value in request.body.content
        ]
        return f"[{', '.join(pairs)}].join('&')"

    def json(self, value: Any) -> str:
        if isinstance(value, Template):
            return self.value(value.single) if value.single else self.text(value, "text")
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{js(key)}: {self.json(item)}" for key, item in value.items()) + " }"
        if isinstance(value, list):
            return "[" + ", ".join(self.json(item) for item in value) + "]"
        return js(value)


def _env(part: Env) -> str:
    return f"(__ENV.{part.name} || {js(part.default)})" if part.default is not None else f"__ENV.{part.name}"


def _path(written: str) -> str:
    return js(list(jsonpath.parse(written)))


def _checks(check: Check) -> list[str]:
    made = [
        f"(r) => (header(r, {js(name)}) || '').toLowerCase().includes({js(text.lower())})"
        for name, text in check.headers
    ]
    if check.contains is not None:
        made.append(f"(r) => String(r.body).includes({js(check.contains)})")
    if check.not_contains is not None:
        made.append(f"(r) => !String(r.body).includes({js(check.not_contains)})")
    if check.matches is not None:
        made.append(f"(r) => {_regex(check.matches)}.test(String(r.body))")
    if check.documented:
        made.append(f"(r) => documented(r, {js(documented_rules(check))})")
    made += [f"(r) => at(r, {_path(path)}).length > 0" for path in check.has]
    made += [
        f"(r) => at(r, {_path(path)}).some((value) => same(value, {js(expected)}))" for path, expected in check.json
    ]
    return made


def _regex(pattern: str) -> str:
    source, flags = js_regex.translate(pattern) or (pattern, "")
    return f"new RegExp({js(source)}, {js(flags)})"


def _extract(extract: Extract) -> str:
    if extract.json:
        found = f"at(response, {_path(extract.json)})"
    elif extract.header:
        found = f"[header(response, {js(extract.header)})]"
    elif extract.cookie:
        found = f"(response.cookies[{js(extract.cookie)}] || []).map((cookie) => cookie.value)"
    else:
        found = "[String(response.body)]"
    if not extract.regex:
        return found
    return f"matching({_regex(extract.regex)}, {found}.filter((value) => value !== undefined))"
