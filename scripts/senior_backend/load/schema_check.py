"""Checks a marked tree against the JSON Schema that is also published, so that the two cannot disagree.

It knows the keywords that `scenario.schema.json` uses; a test holds it to the reference implementation.
"""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from senior_backend.console.errors import did_you_mean
from senior_backend.load.document import Mapping, Node, Problems, Scalar, Sequence

if TYPE_CHECKING:
    from collections.abc import Mapping as Dict

    from senior_backend.load.document import Mark

SCHEMA_FILE = Path(__file__).parent / "scenario.schema.json"
_TYPES = {"object": "a mapping", "array": "a list", "string": "text", "boolean": "true or false", "null": "null"}
_EXPECTED = {
    "^\\$": "A JSON path such as $.data[0].id.",
    "^[1-5](\\d\\d|xx)$": "A status such as 200, or 2xx.",
}


@cache
def schema() -> Dict[str, Any]:
    """Return the schema of scenario files."""
    loaded: dict[str, Any] = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    return loaded


def check(node: Node, problems: Problems) -> None:
    """Note everything in the tree that the schema does not allow."""
    _Checker(schema(), problems).check(node, schema(), "the scenario")


class _Checker:
    def __init__(self, root: Dict[str, Any], problems: Problems) -> None:
        self.root, self.problems = root, problems

    def check(self, node: Node, rule: Dict[str, Any], name: str) -> None:
        if "$ref" in rule:
            self.check(node, self.root["$defs"][rule["$ref"].rpartition("/")[2]], name)
            return
        if "anyOf" in rule:
            self.any_of(node, rule["anyOf"], name)
            return
        if "type" in rule and not self.type_fits(node, rule, name):
            return
        if "enum" in rule and not (isinstance(node, Scalar) and _value(node, rule) in rule["enum"]):
            known = [str(word) for word in rule["enum"]]
            near = did_you_mean(_shown(node).upper() if known[0].isupper() else _shown(node), known)
            self.add("bad-value", f"{name} is {_shown(node)}{near}", node.mark, f"One of {', '.join(known)}.")
        if isinstance(node, Scalar):
            self.scalar(node, rule, name)
        elif isinstance(node, Sequence):
            if len(node.items) < rule.get("minItems", 0):
                self.add("too-short", f"{name} is empty", node.mark, "Give at least one.")
            for number, item in enumerate(node.items):
                self.check(item, rule.get("items", {}), f"{name}[{number}]")
        else:
            self.mapping(node, rule, name)

    def add(self, code: str, message: str, mark: Mark, fix: str | None = None) -> None:
        self.problems.add(code, message, mark, fix)

    def any_of(self, node: Node, rules: list[Dict[str, Any]], name: str) -> None:
        """Where no alternative fits, tell the problems of the one whose type fits."""
        for rule in rules:
            trial = Problems(self.problems.file)
            _Checker(self.root, trial).check(node, rule, name)
            if not trial.findings:
                return
        fitting = [rule for rule in rules if _type_fits(node, self.resolved(rule).get("type"))]
        if fitting:
            self.check(node, fitting[0], name)
        else:
            kinds = " or ".join(dict.fromkeys(_described(self.resolved(rule)) for rule in rules))
            self.add("wrong-type", f"{name} must be {kinds}, not {_kind(node)}", node.mark)

    def resolved(self, rule: Dict[str, Any]) -> Dict[str, Any]:
        if "$ref" not in rule:
            return rule
        found: dict[str, Any] = self.root["$defs"][rule["$ref"].rpartition("/")[2]]
        return found

    def type_fits(self, node: Node, rule: Dict[str, Any], name: str) -> bool:
        if _type_fits(node, rule["type"]):
            return True
        self.add("wrong-type", f"{name} must be {_described(rule)}, not {_kind(node)}", node.mark)
        return False

    def scalar(self, node: Scalar, rule: Dict[str, Any], name: str) -> None:
        value = _value(node, rule)
        if "pattern" in rule and isinstance(value, str) and not re.search(rule["pattern"], value):
            expected = rule.get("description") or _EXPECTED.get(rule["pattern"]) or f"It must match {rule['pattern']}."
            self.add("bad-value", f"{name} is '{node.text}'", node.mark, expected)
        if "minLength" in rule and isinstance(value, str) and len(value) < rule["minLength"]:
            self.add("too-short", f"{name} is empty", node.mark)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return
        if "minimum" in rule and not value >= rule["minimum"]:
            self.add("out-of-range", f"{name} is {node.text}, the least is {rule['minimum']}", node.mark)
        if "maximum" in rule and not value <= rule["maximum"]:
            self.add("out-of-range", f"{name} is {node.text}, the most is {rule['maximum']}", node.mark)
        if "exclusiveMinimum" in rule and not value > rule["exclusiveMinimum"]:
            self.add("out-of-range", f"{name} is {node.text}, it must be above {rule['exclusiveMinimum']}", node.mark)
        if value in (float("inf"), float("-inf")):
            self.add("out-of-range", f"{name} is not a finite number", node.mark)

    def mapping(self, node: Mapping, rule: Dict[str, Any], name: str) -> None:
        known = rule.get("properties", {})
        for key in rule.get("required", ()):
            if node.get(key) is None:
                self.add("missing-key", f"{name} has no '{key}'", node.mark, f"Add '{key}'.")
        if len(node.entries) < rule.get("minProperties", 0):
            self.add("too-short", f"{name} is empty", node.mark)
        others = rule.get("additionalProperties", {})
        for key_node, value in node.entries:
            label = f"{name}.{key_node.text}" if name != "the scenario" else key_node.text
            if key_node.text in known:
                self.check(value, known[key_node.text], label)
            elif others is False:
                near = did_you_mean(key_node.text, known)
                message = f"{name} has no key '{key_node.text}'{near}"
                self.add("unknown-key", message, key_node.mark, f"Known: {', '.join(known)}.")
            else:
                pattern = rule.get("propertyNames", {}).get("pattern")
                if pattern and not re.search(pattern, key_node.text):
                    self.add("bad-name", f"'{key_node.text}' cannot be a name in {name}", key_node.mark)
                self.check(value, others, label)


def _value(node: Scalar, rule: Dict[str, Any]) -> str | float | bool | None:
    """Return the value; one that the environment filled in is a number where the rule wants one."""
    kinds = rule.get("type", ())
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if isinstance(node.value, str) and node.value != node.text and "string" not in kinds:
        return number_of(node)
    return node.value


def number_of(node: Scalar) -> str | float | bool | None:
    """Return the number that the environment put into a scalar, else its value."""
    if isinstance(node.value, str) and node.value != node.text:
        for kind in (int, float):
            try:
                return kind(node.value)
            except ValueError:
                continue
    return node.value


def _type_fits(node: Node, kinds: str | list[str] | None) -> bool:
    return kinds is None or any(_fits(node, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _fits(node: Node, kind: str) -> bool:
    if kind in ("object", "array"):
        return isinstance(node, Mapping if kind == "object" else Sequence)
    if not isinstance(node, Scalar):
        return False
    if kind == "string":
        return isinstance(node.value, str)
    value = number_of(node)
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "null":
        return value is None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    return kind == "number" or isinstance(value, int) or value.is_integer()


def _described(rule: Dict[str, Any]) -> str:
    kinds = rule.get("type", "a value")
    words = [
        _TYPES.get(kind, "a whole number" if kind == "integer" else "a number")
        for kind in ([kinds] if isinstance(kinds, str) else kinds)
    ]
    return " or ".join(words)


def _kind(node: Node) -> str:
    if isinstance(node, Scalar):
        return "empty" if node.value is None else f"'{node.text}'"
    return "a mapping" if isinstance(node, Mapping) else "a list"


def _shown(node: Node) -> str:
    return node.text if isinstance(node, Scalar) else _kind(node)
