"""YAML as a tree of marked values, by the 1.2 core schema: `no` is a string, `010` is ten, `1:30` is text.

Only the parser's event stream is used. It does not recurse, so the limits stop a hostile file while it is read;
PyYAML's own composers recurse, the one in C until the process ends. No tag ever constructs anything.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from senior_backend.load.document import MAX_DEPTH, MAX_NODES, Mapping, Mark, Node, Problems, Scalar, Sequence

if TYPE_CHECKING:
    from collections.abc import Iterator

_INT = re.compile(r"[-+]?\d{1,400}\Z")
_FLOAT = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?\Z")
_STRING_TAG = "tag:yaml.org,2002:str"
_MERGE = "<<"
_QUOTE_FIX = 'Quote a value that starts with {{ or stands inside braces: "{{ name }}".'


class _Stop(Exception):  # noqa: N818 - caught in this module
    pass


def parse_yaml(text: str, problems: Problems, max_nodes: int = MAX_NODES) -> Node | None:
    """Return the tree of a YAML document, None when it cannot be one.

    Noted are faults of syntax, a second document, tags, duplicate or non-scalar keys, limits that are passed, and
    an alias that contains itself.
    """
    import yaml
    from yaml.reader import ReaderError

    try:
        # The C parser also takes what the older Python one does not, such as `?` inside a value between braces.
        loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
        return _Composer(yaml, yaml.parse(text, Loader=loader), problems, max_nodes).document()
    except yaml.MarkedYAMLError as error:
        at = error.problem_mark or error.context_mark
        message = f"not valid YAML: {error.problem or error.context}"
        problems.add("yaml-syntax", message, _mark(at) if at else None, _syntax_fix(text, at))
    except ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        column = error.position - text.rfind("\n", 0, error.position)
        problems.add("yaml-syntax", f"not valid YAML: {error.reason}", Mark(line, column))
    except _Stop:
        pass
    return None


def _syntax_fix(text: str, at: Any) -> str | None:
    lines = text.splitlines()
    line = lines[at.line] if at and at.line < len(lines) else ""
    if "\t" in line[: len(line) - len(line.lstrip())]:
        return "Indent with spaces, not tabs."
    return _QUOTE_FIX if re.search(r"\{\{|\$\{|\{.*\?", line) else None


def _mark(at: Any) -> Mark:
    return Mark(at.line + 1, at.column + 1)


class _Composer:
    def __init__(self, yaml: Any, events: Iterator[Any], problems: Problems, max_nodes: int) -> None:
        self.yaml, self.events, self.problems, self.max_nodes = yaml, events, problems, max_nodes
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.count = 0

    def document(self) -> Node:
        event = next(self.events)
        while not isinstance(event, (self.yaml.DocumentStartEvent, self.yaml.StreamEndEvent)):
            event = next(self.events)
        if isinstance(event, self.yaml.StreamEndEvent):
            return Scalar(None, "", True, Mark(1, 1))
        node = self.node(next(self.events), 0)
        for event in self.events:
            if isinstance(event, self.yaml.DocumentStartEvent):
                self.stop("yaml-documents", "a second document starts here", event, "Keep one document in the file.")
        return node

    def stop(self, code: str, message: str, event: Any, fix: str | None = None) -> None:
        self.problems.add(code, message, _mark(event.start_mark), fix)
        raise _Stop

    def spend(self, nodes: int, event: Any) -> None:
        self.count += nodes
        if self.count > self.max_nodes:
            self.stop("yaml-too-large", f"more than {self.max_nodes} values, aliases followed", event)

    def node(self, event: Any, depth: int) -> Node:
        if depth > MAX_DEPTH:
            self.stop("yaml-too-deep", f"nested deeper than {MAX_DEPTH} levels", event)
        if isinstance(event, self.yaml.AliasEvent):
            return self.alias(event)
        before = self.count
        self.spend(1, event)
        tag = event.tag
        if tag not in (None, "!", _STRING_TAG, "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"):
            self.problems.add("yaml-tag", f"the tag {tag} is not allowed", _mark(event.start_mark), "Remove it.")
        node: Node
        if isinstance(event, self.yaml.ScalarEvent):
            node = _scalar(event)
        elif isinstance(event, self.yaml.SequenceStartEvent):
            node = self.sequence(event, depth)
        else:
            node = self.mapping(event, depth)
        if event.anchor:
            self.anchors[event.anchor] = (node, self.count - before)
        return node

    def alias(self, event: Any) -> Node:
        if event.anchor not in self.anchors:
            self.stop("yaml-alias", f"the alias *{event.anchor} has no complete anchor before it", event)
        node, size = self.anchors[event.anchor]
        self.spend(size, event)
        return node

    def sequence(self, start: Any, depth: int) -> Sequence:
        items: list[Node] = []
        while not isinstance(event := next(self.events), self.yaml.SequenceEndEvent):
            items.append(self.node(event, depth + 1))
        return Sequence(tuple(items), _mark(start.start_mark))

    def mapping(self, start: Any, depth: int) -> Mapping:
        own: dict[str, tuple[Scalar, Node]] = {}
        merged: list[tuple[Scalar, Node]] = []
        while not isinstance(event := next(self.events), self.yaml.MappingEndEvent):
            key = self.node(event, depth + 1)
            value = self.node(next(self.events), depth + 1)
            if not isinstance(key, Scalar):
                self.problems.add("yaml-key", "a key must be a single word or string", key.mark, _QUOTE_FIX)
            elif key.text == _MERGE and key.plain:
                merged += self.merge(value)
            elif key.text in own:
                self.problems.add("duplicate-key", f"the key '{key.text}' stands twice", key.mark, "Keep one.")
            else:
                own[key.text] = (Scalar(key.text, key.text, key.plain, key.mark), value)
        for key, value in merged:
            own.setdefault(key.text, (key, value))
        return Mapping(tuple(own.values()), _mark(start.start_mark))

    def merge(self, value: Node) -> list[tuple[Scalar, Node]]:
        sources = value.items if isinstance(value, Sequence) else (value,)
        found: list[tuple[Scalar, Node]] = []
        for source in sources:
            if isinstance(source, Mapping):
                found += source.entries
            else:
                self.problems.add("yaml-merge", "<< takes mappings", source.mark)
        self.count += len(found)
        return found


def _scalar(event: Any) -> Scalar:
    text = event.value
    plain = bool(event.implicit[0]) and event.style in (None, "")
    value: str | float | bool | None = text
    if plain:
        if text in ("", "~", "null", "Null", "NULL"):
            value = None
        elif text in ("true", "True", "TRUE", "false", "False", "FALSE"):
            value = text.lower() == "true"
        elif _INT.match(text):
            value = int(text)
        elif _FLOAT.match(text):
            value = float(text)
    return Scalar(value, text, plain, _mark(event.start_mark))
