"""Typed reading of single values: environment variables, durations, sizes, words; every problem is kept."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from senior_backend.console.errors import did_you_mean
from senior_backend.health.config.nodes import Node, Problem
from senior_backend.health.security import secrets_of_variable

_VARIABLE = re.compile(r"\$(?:\$|\{([^}]*)\})")
_INSIDE = re.compile(r"([A-Za-z_]\w*)(?:(:?[-?])(.*))?", re.DOTALL)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_DURATIONS = re.compile(rf"(?:{_DURATION.pattern})+")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_INTEGER = re.compile(r"[-+]?(?:0|[1-9]\d*)")
_NUMBER = re.compile(r"[-+]?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")


class Reader:
    """Reads nodes into plain values and collects what is wrong; a value that cannot be read becomes None.

    `secrets` gathers what came from the environment or from a field that holds a secret.
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.problems: list[Problem] = []
        self.secrets: set[str] = set()
        self._environment = environment

    def problem(self, node: Node, code: str, message: str, fix: str | None = None) -> None:
        """Keep a problem at `node`."""
        self.problems.append(Problem(node.line, node.column, code, message, fix))

    def warning(self, node: Node, code: str, message: str, fix: str | None = None) -> None:
        """Keep a remark at `node` that does not stop the run."""
        self.problems.append(Problem(node.line, node.column, code, message, fix, "warning"))

    def scalar(self, node: Node, what: str) -> str | int | float | bool | None:
        """Return a scalar with its variables expanded, or None with a problem when it is not a scalar."""
        if node.kind != "scalar" or node.empty:
            self.problem(node, "type", f"expected {what}, found {node.describe()}")
            return None
        return self._expand(node, node.value) if isinstance(node.value, str) else node.value

    def text(self, node: Node, what: str = "text") -> str | None:
        """Return text; a number or boolean of JSON or TOML is not taken for text."""
        value = self.scalar(node, what)
        if value is None or isinstance(value, str):
            return value
        self.problem(node, "type", f"expected {what}, found {value!r}", "Put it in quotes.")
        return None

    def word(self, node: Node) -> str | None:
        """Return a scalar as the text it is written with, whatever its type."""
        value = self.scalar(node, "a value")
        if isinstance(value, bool):
            return "true" if value else "false"
        return None if value is None else str(value)

    def typed(self, node: Node) -> str | int | float | bool | None:
        """Return a scalar by JSON's rules: plain `3`, `0.5`, `true`, `null` are typed, all else and quoted is text."""
        if node.kind != "scalar":
            self.problem(node, "type", f"expected a value, found {node.describe()}")
            return None
        if node.empty:
            return None
        value = self._expand(node, node.value) if isinstance(node.value, str) else node.value
        return plain_value(value) if node.plain and isinstance(value, str) else value

    def boolean(self, node: Node) -> bool | None:
        """Return true or false; the other spellings of YAML 1.1 (`on`, `yes`) are refused, since readers disagree."""
        value = self.scalar(node, "true or false")
        if isinstance(value, bool) or value is None:
            return value
        if value in ("true", "false"):
            return value == "true"
        self.problem(node, "boolean", f"expected true or false, found {value!r}", "Write true or false.")
        return None

    def integer(self, node: Node, low: int, high: int, what: str = "a whole number") -> int | None:
        """Return a whole number from `low` to `high`, written in plain decimal digits."""
        value = self.scalar(node, what)
        if value is None:
            return None
        if isinstance(value, str) and _INTEGER.fullmatch(value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int):
            fix = "Write decimal digits without leading zeros or underscores."
            if isinstance(value, str) and re.fullmatch(r"\d+:\d+", value):
                fix = f"That is a pair of ports; the one that clients use is {value.split(':')[0]}."
            self.problem(node, "number", f"expected {what}, found {value!r}", fix)
            return None
        if not low <= value <= high:
            self.problem(node, "range", f"expected {what} from {low} to {high}, found {value}")
            return None
        return value

    def number(self, node: Node, what: str = "a number") -> float | None:
        """Return a number."""
        value = self.scalar(node, what)
        if isinstance(value, str) and _NUMBER.fullmatch(value):
            value = float(value)
        if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
            return value
        self.problem(node, "number", f"expected {what}, found {value!r}")
        return None

    def duration(self, node: Node, low: float = 0.001, high: float = 86400.0 * 3650) -> float | None:
        """Return seconds."""
        value = self.scalar(node, "a duration")
        if value is None:
            return None
        seconds = parse_duration(str(value))
        if seconds is None or isinstance(value, bool):
            fix = "Write a number with a unit: 500ms, 2s, 1m30s."
            if isinstance(value, int | float) or re.fullmatch(r"\d+(\.\d+)?", str(value)):
                fix = f"Add the unit: {value}s or {value}ms."
            self.problem(node, "duration", f"{value!r} is not a duration", fix)
            return None
        if not low <= seconds <= high:
            self.problem(node, "range", f"{value} is out of range ({low:g} s to {high:g} s)")
            return None
        return seconds

    def texts(self, node: Node, what: str = "a list of words") -> list[tuple[Node, str]]:
        """Return a list of texts with their nodes; a single text is a list of one."""
        if node.empty:
            return []
        if node.kind == "map":
            self.problem(node, "type", f"expected {what}, found a mapping")
            return []
        items = node.items if node.kind == "list" else [node]
        return [(item, value) for item in items if (value := self.word(item)) is not None]

    def mapping(self, node: Node, what: str) -> list[tuple[Node, Node]]:
        """Return the entries of a mapping, nothing with a problem when it is something else."""
        if node.kind == "map":
            return node.entries
        if not node.empty:
            self.problem(node, "type", f"expected {what}, found {node.describe()}")
        return []

    def known_keys(self, node: Node, allowed: Collection[str], of: str) -> dict[str, tuple[Node, Node]]:
        """Return the entries of a mapping by key; unknown keys are problems with the nearest known one."""
        found: dict[str, tuple[Node, Node]] = {}
        for key, value in node.entries:
            name = str(key.value)
            if name in allowed:
                found[name] = (key, value)
            elif not name.startswith("x-"):
                near = did_you_mean(name, allowed)
                fix = None if near else f"Known keys: {', '.join(allowed)}."
                self.problem(key, "unknown-key", f"unknown key '{name}' in {of}{near}", fix)
        return found

    def _expand(self, node: Node, text: str) -> str:
        if "$" not in text:
            return text

        def replace(match: re.Match[str]) -> str:
            if match[0] == "$$":
                return "$"
            inside = _INSIDE.fullmatch(match[1])
            if not inside:
                self.problem(node, "variable", f"{match[0]} is not a variable", "Write ${NAME}, or $$ for a dollar.")
                return ""
            name, operator, rest = inside[1], inside[2] or "", inside[3] or ""
            value = self._environment.get(name)
            if value is None or (value == "" and operator.startswith(":")):
                if operator.endswith("-"):
                    return rest
                told = f": {rest}" if operator.endswith("?") and rest else ""
                fix = f"Set it (export {name}=…) or give a default: ${{{name}:-value}}. A literal dollar is $$."
                self.problem(node, "unset-variable", f"the environment variable {name} is not set{told}", fix)
                return ""
            self.secrets |= secrets_of_variable(name, value)
            return value

        return _VARIABLE.sub(replace, text)


def plain_value(text: str) -> str | int | float | bool | None:
    """Return unquoted text as the value that JSON would give it, else the text itself."""
    if text in ("true", "false"):
        return text == "true"
    if text in ("null", "~", ""):
        return None
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _NUMBER.fullmatch(text) else text


def parse_duration(text: str) -> float | None:
    """Return the seconds of `500ms`, `2s` or `1m30s`, None for anything else."""
    text = text.strip()
    if text == "0":
        return 0.0
    if not _DURATIONS.fullmatch(text):
        return None
    return sum(float(match[1]) * _UNITS[match[2]] for match in _DURATION.finditer(text))


@dataclass(frozen=True, slots=True)
class Kind:
    """How the value of a field is read, and the JSON Schema that describes it to editors."""

    read: Callable[[Reader, Node], Any]
    schema: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A key of services.yaml. A `secret` value is masked wherever it might appear."""

    name: str
    kind: Kind
    help: str
    secret: bool = False
    required: bool = False
    default: Any = None


def integer(low: int, high: int) -> Kind:
    """Return the kind of whole numbers in a range."""
    return Kind(
        lambda reader, node: reader.integer(node, low, high),
        {"anyOf": [{"type": "integer", "minimum": low, "maximum": high}, VARIABLE]},
    )


def one_of(*words: str) -> Kind:
    """Return the kind of one word out of a few."""

    def read(reader: Reader, node: Node) -> str | None:
        value = reader.word(node)
        if value is not None and value not in words:
            near = did_you_mean(value, words)
            reader.problem(node, "choice", f"expected one of {', '.join(words)}; found {value!r}{near}")
            return None
        return value

    return Kind(read, {"enum": list(words)})


def _pattern(reader: Reader, node: Node) -> re.Pattern[str] | None:
    text = reader.text(node, "a regular expression")
    if text is None:
        return None
    try:
        return re.compile(text)
    except re.error as error:
        reader.problem(node, "regex", f"not a regular expression: {error}", "Python's `re` syntax is used.")
        return None


def _text_map(reader: Reader, node: Node) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in reader.mapping(node, "a mapping of texts"):
        text = reader.word(value)
        if text is not None:
            found[str(key.value)] = text
    return found


def _words(reader: Reader, node: Node) -> tuple[str, ...]:
    return tuple(value for _, value in reader.texts(node))


VARIABLE = {"type": "string", "pattern": r"\$\{"}
TEXT = Kind(lambda reader, node: reader.text(node), {"type": "string"})
WORD = Kind(lambda reader, node: reader.word(node), {"type": ["string", "number", "boolean"]})
BOOLEAN = Kind(lambda reader, node: reader.boolean(node), {"anyOf": [{"type": "boolean"}, VARIABLE]})
DURATION = Kind(
    lambda reader, node: reader.duration(node),
    {"type": "string", "pattern": r"^((\d+(\.\d+)?(ms|s|m|h|d))+|.*\$\{.*)$"},
)
PORT = integer(1, 65535)
REGEX = Kind(_pattern, {"type": "string", "format": "regex"})
TEXTS = Kind(
    _words,
    {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": ["string", "number", "boolean"]}}]},
)
TEXT_MAP = Kind(_text_map, {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}})


@dataclass(frozen=True, slots=True)
class Example:
    """Bytes that a server may send, and what the probe has to make of them; the tests run every one.

    `sent` holds one item for each read of the conversation; `closes` says that the peer then closes.
    """

    name: str
    sent: tuple[bytes, ...]
    reason: str | None = None
    note: str = ""
    closes: bool = False
    options: Mapping[str, Any] = field(default_factory=dict)
