"""What `expect` and `degraded` may say: typed conditions, compiled when the file is read.

A missing value fails, a value of another type fails, and numbers are compared as numbers: nothing is ever converted
so that a condition comes out true.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from senior_backend.health.security import excerpt

if TYPE_CHECKING:
    from senior_backend.health.config.nodes import Node
    from senior_backend.health.config.values import Reader

PHASES = ("dns", "connect", "tls", "first_byte", "total")
_OPERATOR = re.compile(r"\s*(<=|>=|==|!=|<|>|~|!~)\s*(.*)", re.DOTALL)
_PATH = re.compile(r"\.?([^.\[\]]+)|\[(\d+)\]|\[\"([^\"]+)\"\]|\['([^']+)'\]")
_MISSING = object()


@dataclass(frozen=True, slots=True)
class Observation:
    """All that conditions can be asked about."""

    facts: Mapping[str, Any] = field(default_factory=dict)
    phases: Mapping[str, float | None] = field(default_factory=dict)
    headers: Mapping[str, str] | None = None
    body: bytes | None = None
    tls_days: float | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """A comparison with a fixed value."""

    operator: str
    operand: Any

    def holds(self, value: Any) -> bool:
        """Whether `value` is of the operand's type and compares as asked."""
        if self.operator in ("~", "!~"):
            return isinstance(value, str) and bool(self.operand.search(value)) is (self.operator == "~")
        if not _same_type(value, self.operand):
            return False
        if self.operator == "==":
            return bool(value == self.operand)
        if self.operator == "!=":
            return bool(value != self.operand)
        if isinstance(value, bool) or value is None:
            return False
        if self.operator in ("<", "<="):
            return bool(value < self.operand or (self.operator == "<=" and value == self.operand))
        return bool(value > self.operand or (self.operator == ">=" and value == self.operand))

    def __str__(self) -> str:
        operand = self.operand.pattern if isinstance(self.operand, re.Pattern) else json.dumps(self.operand)
        return f"{self.operator} {operand}"


@dataclass(frozen=True, slots=True)
class Assertion:
    """One line of `expect` or `degraded`; `subject` is its key, `path` the steps into a JSON body."""

    subject: str
    condition: Any
    path: tuple[str | int, ...] = ()
    label: str = ""

    def failure(self, seen: Observation) -> str | None:
        """Return why the assertion does not hold, or None."""
        return _CHECKS.get(self.subject, _fact)(self, seen)

    @property
    def limits_time(self) -> bool:
        """Whether this is an upper limit of a phase."""
        return self.subject in PHASES


def _fact(assertion: Assertion, seen: Observation) -> str | None:
    value = seen.facts.get(assertion.subject)
    if value is None:
        return f"{assertion.subject} is not known, expected {assertion.condition}"
    if assertion.condition.holds(value):
        return None
    return f"{assertion.subject} is {_shown(value)}, expected {assertion.condition}"


def _phase(assertion: Assertion, seen: Observation) -> str | None:
    value = seen.phases.get(assertion.subject)
    if value is None or value <= assertion.condition * 1000:
        return None
    return f"{assertion.subject} took {value:.1f} ms, limit {assertion.condition * 1000:g} ms"


def _tls_days(assertion: Assertion, seen: Observation) -> str | None:
    if seen.tls_days is None:
        return "no certificate was seen, so tls_days cannot hold"
    if seen.tls_days >= assertion.condition:
        return None
    return f"the certificate ends in {seen.tls_days:.1f} days, expected at least {assertion.condition:g}"


def _status(assertion: Assertion, seen: Observation) -> str | None:
    status = seen.facts.get("status")
    if any(low <= (status or 0) <= high for low, high in assertion.condition):
        return None
    return f"status {status}, expected {assertion.label}"


def _header(assertion: Assertion, seen: Observation) -> str | None:
    name = str(assertion.path[0])
    value = (seen.headers or {}).get(name.lower())
    if value is None:
        return f"header {name} is missing"
    if assertion.condition.holds(value):
        return None
    return f"header {name} is {excerpt(value, 80)!r}, expected {assertion.condition}"


def _json(assertion: Assertion, seen: Observation) -> str | None:
    try:
        value = json.loads(seen.body or b"")
    except (ValueError, RecursionError):
        return f"the body is not JSON, expected {assertion.label} {assertion.condition}"
    for step in assertion.path:
        if isinstance(step, int) and isinstance(value, list) and step < len(value):
            value = value[step]
        elif isinstance(value, dict) and str(step) in value:
            value = value[str(step)]
        else:
            return f"{assertion.label} is missing, expected {assertion.condition}"
    if assertion.condition.holds(value):
        return None
    return f"{assertion.label} is {_shown(value)}, expected {assertion.condition}"


def _contains(assertion: Assertion, seen: Observation) -> str | None:
    if assertion.condition.encode() in (seen.body or b""):
        return None
    return f"the body does not contain {assertion.condition!r}"


def _matches(assertion: Assertion, seen: Observation) -> str | None:
    if assertion.condition.search((seen.body or b"").decode("utf-8", "replace")):
        return None
    return f"the body does not match {assertion.condition.pattern!r}"


_CHECKS = {
    "status": _status,
    "headers": _header,
    "json": _json,
    "contains": _contains,
    "matches": _matches,
    "tls_days": _tls_days,
    **dict.fromkeys(PHASES, _phase),
}


def _same_type(value: Any, operand: Any) -> bool:
    if isinstance(value, bool) or isinstance(operand, bool):
        return isinstance(value, bool) and isinstance(operand, bool)
    if isinstance(operand, int | float):
        return isinstance(value, int | float)
    return type(value) is type(operand)


def _shown(value: Any) -> str:
    return excerpt(json.dumps(value, ensure_ascii=False, default=str), 80)


# -- reading ------------------------------------------------------------------------------------------------------


def read(reader: Reader, node: Node, facts: Mapping[str, str], of: str) -> tuple[Assertion, ...]:
    """Return the compiled assertions of an `expect` or `degraded` mapping.

    `facts` are the probe's: name to kind (`number`, `text`, `boolean`, or one of http's own words).
    """
    made: list[Assertion] = []
    allowed = (*facts, *PHASES, "tls_days")
    if node.kind != "map":
        if not node.empty:
            reader.problem(node, "type", f"expected a mapping, found {node.describe()}", f"Keys: {', '.join(allowed)}.")
        return ()
    for name, (_, value) in reader.known_keys(node, allowed, of).items():
        if name in PHASES:
            limit = reader.duration(value)
            if limit is not None:
                made.append(Assertion(name, limit))
        elif name == "tls_days":
            days = reader.number(value, "a number of days")
            if days is not None:
                made.append(Assertion(name, days))
        elif name == "status" and facts[name] == "status":
            made.extend(_read_status(reader, value))
        elif name in ("headers", "json"):
            made.extend(_read_map(reader, name, value))
        elif name in ("contains", "matches"):
            made.extend(_read_body(reader, name, value))
        else:
            condition = _read_condition(reader, value, facts[name], name)
            if condition is not None:
                made.append(Assertion(name, condition))
    return tuple(made)


def parse_status(text: str) -> tuple[int, int] | None:
    """Return the range of `200`, `2xx` or `200-299`."""
    if re.fullmatch(r"[1-5]\d\d", text):
        return int(text), int(text)
    if re.fullmatch(r"[1-5][xX]{2}", text):
        return int(text[0]) * 100, int(text[0]) * 100 + 99
    bounds = re.fullmatch(r"([1-5]\d\d)\s*-\s*([1-5]\d\d)", text)
    return (int(bounds[1]), int(bounds[2])) if bounds and bounds[1] <= bounds[2] else None


def _read_status(reader: Reader, node: Node) -> list[Assertion]:
    ranges: list[tuple[int, int]] = []
    words: list[str] = []
    for item, text in reader.texts(node, "a status or a list of them"):
        bounds = parse_status(text.strip())
        if bounds is None:
            reader.problem(item, "status", f"{text!r} is not a status", "Write 200, [200, 204], 2xx or 200-299.")
        else:
            ranges.append(bounds)
            words.append(text)
    return [Assertion("status", tuple(ranges), label=" or ".join(words))] if ranges else []


def _read_map(reader: Reader, name: str, node: Node) -> list[Assertion]:
    made = []
    for key, value in reader.mapping(node, "a mapping"):
        label = str(key.value)
        condition = _read_condition(reader, value, "text" if name == "headers" else "any", label)
        path: tuple[str | int, ...] | None = (label,) if name == "headers" else parse_path(label)
        if path is None:
            reader.problem(key, "json-path", f"{label!r} is not a path", "Write status, checks.db.status or items[0].")
        elif condition is not None:
            made.append(Assertion(name, condition, path, label))
    return made


def _read_body(reader: Reader, name: str, node: Node) -> list[Assertion]:
    text = reader.text(node)
    if text is None:
        return []
    if name == "contains":
        return [Assertion(name, text)]
    pattern = _regex(reader, node, text)
    return [Assertion(name, pattern)] if pattern else []


def parse_path(text: str) -> tuple[str | int, ...] | None:
    """Return the steps of `a.b[0].c` (also `$.a.b` and `["a.b"]`), None when it is not such a path."""
    text = text.strip().removeprefix("$")
    steps: list[str | int] = []
    at = 0
    while at < len(text):
        match = _PATH.match(text, at)
        if not match or (match[1] and at and text[at] != "."):
            return None
        steps.append(int(match[2]) if match[2] else match[1] or match[3] or match[4])
        at = match.end()
    return tuple(steps) or None


def _read_condition(reader: Reader, node: Node, kind: str, name: str) -> Condition | None:
    value = reader.typed(node)
    if node.kind != "scalar":
        return None
    operator, operand = "==", value
    if isinstance(value, str) and (match := _OPERATOR.match(value)):
        from senior_backend.health.config.values import plain_value

        operator, rest = match[1], match[2].strip()
        if operator in ("~", "!~"):
            pattern = _regex(reader, node, rest)
            return Condition(operator, pattern) if pattern else None
        operand = plain_value(rest)
        if isinstance(operand, str) and len(rest) > 1 and rest[0] == rest[-1] and rest[0] in "\"'":
            operand = rest[1:-1]
    if kind == "text" and operand is not None and not isinstance(operand, str):
        operand = json.dumps(operand)
    if kind in ("number", "boolean") and not _fits(kind, operand):
        reader.problem(
            node,
            "condition",
            f"{name} is a {kind}, so it cannot be compared with {operand!r}",
            'Write a number or a comparison such as "< 100".' if kind == "number" else "Write true or false.",
        )
        return None
    if operator in ("<", "<=", ">", ">=") and (operand is None or isinstance(operand, bool)):
        reader.problem(node, "condition", f"{operator} needs a number or a text to compare with", None)
        return None
    return Condition(operator, operand)


def _fits(kind: str, operand: Any) -> bool:
    if kind == "boolean":
        return isinstance(operand, bool)
    return isinstance(operand, int | float) and not isinstance(operand, bool)


def _regex(reader: Reader, node: Node, text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text)
    except re.error as error:
        reader.problem(node, "regex", f"not a regular expression: {error}", "Python's `re` syntax is used.")
        return None
