"""YAML as a tree that remembers where everything was written, read from hostile text without harm.

PyYAML's loaders recurse in C and crash the process on deep input, resolve `no`, `on` and `12:30` to surprising
values, keep the last of two equal keys and expand aliases without bound. Here the parser's events, which are
iterative, are composed by hand with limits, and plain scalars are read by the rules of YAML 1.2's core schema.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from senior_backend.console.errors import InputError
from senior_backend.scaffold.drafts import Problems

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZE_LIMIT: Final = 4 * 1024 * 1024
DEPTH_LIMIT: Final = 64
NODE_LIMIT: Final = 1_000_000
"""Nodes, with those that aliases repeat."""

_INT: Final = re.compile(r"[-+]?(0|[1-9][0-9]{0,18})")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*)(?:[eE][-+]?[0-9]{1,3})?|[-+]?[0-9]+[eE][-+]?[0-9]{1,3}")
_SURPRISING: Final = re.compile(
    r"(?i:yes|no|on|off|y|n)|[0-9]+(:[0-9]{1,2})+|0[0-9]+|0[xob][0-9a-fA-F_]+|[0-9_]*_[0-9_]*"
)


@dataclass(slots=True)
class Node:
    """A scalar (`value`), a sequence (`items`) or a mapping (`pairs`); `start` and `end` are offsets in the text.

    `end` is where the last character of the content is, without trailing blank lines and comments.
    `surprising` marks a plain scalar that YAML 1.1 reads as something else than the text it is here.
    """

    kind: str
    line: int
    column: int
    start: int
    end: int
    value: Any = None
    items: list[Node] = field(default_factory=list)
    pairs: list[tuple[Node, Node]] = field(default_factory=list)
    flow: bool = False
    surprising: bool = False

    def get(self, key: str) -> Node | None:
        """Return the value of `key` of a mapping, or None."""
        return next((value for name, value in self.pairs if name.value == key), None)


def parse(text: str, name: str, *, limit: int = SIZE_LIMIT) -> Node | None:
    """Return the tree of the one document in `text`, None where it is empty; `name` is the file's name in messages.

    `limit` is the most characters that it may have.

    Raises:
        InputError: not YAML, too large, too deep, two documents, duplicate keys, tags, or aliases without end.
    """
    import yaml

    if len(text) > limit:
        raise InputError(
            f"{len(text):,} characters; at most {limit:,} are read",
            code="too-large",
            where=name,
            hint="Split it: one service or area of an API in each file.",
        )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    problems = Problems()
    try:
        root = _Composer(name, problems).compose(yaml.parse(text, Loader=loader))
    except yaml.YAMLError as error:
        raise _syntax_error(error, name, text) from None
    problems.raise_if_any()
    return root


def read_text(data: bytes, name: str) -> str:
    """Return UTF-8 (with or without a byte order mark) or UTF-16 with a mark as text.

    Raises:
        InputError: it is neither.
    """
    try:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            return data.decode("utf-16")
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"not UTF-8: byte 0x{data[error.start]:02x}",
            code="not-text",
            where=f"{name}:{line}",
            hint="Save the file as UTF-8.",
        ) from None


def _syntax_error(error: Any, name: str, text: str) -> InputError:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
    problem = getattr(error, "problem", None) or str(error).splitlines()[0]
    hint = "Mend the YAML at this place; the mistake is often in the line before it."
    lines = text.splitlines()
    shown = lines[mark.line] if mark and mark.line < len(lines) else ""
    if re.search(r"^(<{7}|={7}|>{7})", text, re.MULTILINE):
        hint = "A conflict of git is in it; settle it first, then run the tool again."
    elif "\t" in shown[: len(shown) - len(shown.lstrip())]:
        hint = "YAML is indented with spaces, never with tabs."
    elif "expected ',' or" in str(problem):
        hint = "Inside of {…} and […], quote a text that has brackets, braces or commas."
    elif "nesting depth" in str(problem):
        hint = f"Nesting ends at {DEPTH_LIMIT} levels."
    return InputError(f"not valid YAML: {problem}", code="bad-yaml", where=where, hint=hint)


class _Composer:
    def __init__(self, name: str, problems: Problems) -> None:
        self._name = name
        self._problems = problems
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._count = 0

    def compose(self, events: Iterator[Any]) -> Node | None:
        root: Node | None = None
        open_nodes: list[tuple[Node, list[Node], str | None, int]] = []
        documents = 0
        for event in events:
            kind = type(event).__name__
            if kind == "DocumentStartEvent":
                documents += 1
                if documents > 1:
                    raise InputError(
                        "more than one YAML document",
                        code="bad-yaml",
                        where=self._where(event.start_mark),
                        hint="Keep one; a second `---` starts another document.",
                    )
            elif kind in ("MappingStartEvent", "SequenceStartEvent"):
                node = self._node(event, "mapping" if kind.startswith("Mapping") else "sequence")
                node.flow = bool(event.flow_style) or self._starts_with_bracket(event)
                if len(open_nodes) >= DEPTH_LIMIT:
                    raise InputError(
                        f"nested deeper than {DEPTH_LIMIT} levels",
                        code="too-deep",
                        where=self._where(event.start_mark),
                        hint="A specification needs five levels; mend the brackets or the indentation.",
                    )
                open_nodes.append((node, [], event.anchor, self._count))
            elif kind in ("MappingEndEvent", "SequenceEndEvent"):
                node, children, anchor, count = open_nodes.pop()
                self._close(node, children, event)
                self._remember(anchor, node, count)
                root = self._place(node, open_nodes) or root
            elif kind == "ScalarEvent":
                node = self._scalar(event)
                self._remember(event.anchor, node, self._count - 1)
                root = self._place(node, open_nodes) or root
            elif kind == "AliasEvent":
                root = self._place(self._alias(event), open_nodes) or root
        return root if documents and not (root and root.kind == "scalar" and root.value is None) else None

    @staticmethod
    def _starts_with_bracket(event: Any) -> bool:
        # The C parser does not tell flow from block; a flow collection's start has the width of its bracket.
        return bool(event.end_mark.index == event.start_mark.index + 1)

    def _place(self, node: Node, open_nodes: list[tuple[Node, list[Node], str | None, int]]) -> Node | None:
        if not open_nodes:
            return node
        open_nodes[-1][1].append(node)
        return None

    def _remember(self, anchor: str | None, node: Node, count: int) -> None:
        if anchor is not None:
            self._anchors[anchor] = (node, self._count - count)

    def _alias(self, event: Any) -> Node:
        known = self._anchors.get(event.anchor)
        if known is None:
            raise InputError(
                f"alias '*{event.anchor}' has no anchor before it",
                code="bad-yaml",
                where=self._where(event.start_mark),
                hint=f"Put `&{event.anchor}` before the first use, and outside of what it names.",
            )
        node, size = known
        self._grow(size, event)
        return Node(
            node.kind,
            event.start_mark.line,
            event.start_mark.column,
            event.start_mark.index,
            event.end_mark.index,
            node.value,
            node.items,
            node.pairs,
            flow=True,
            surprising=node.surprising,
        )

    def _grow(self, size: int, event: Any) -> None:
        self._count += size
        if self._count > NODE_LIMIT:
            raise InputError(
                f"more than {NODE_LIMIT:,} values, aliases included",
                code="too-large",
                where=self._where(event.start_mark),
                hint="Aliases that repeat aliases grow without end; write it out.",
            )

    def _node(self, event: Any, kind: str) -> Node:
        self._grow(1, event)
        start, end = event.start_mark, event.end_mark
        tag = getattr(event, "tag", None)
        if tag is not None and tag != "!":
            self._problems.add(
                "bad-yaml", f"tag '{tag}' is not used in a specification", self._where(start), "Remove the tag."
            )
        return Node(kind, start.line, start.column, start.index, end.index)

    def _close(self, node: Node, children: list[Node], event: Any) -> None:
        if node.kind == "sequence":
            node.items = children
        else:
            node.pairs = list(zip(children[::2], children[1::2], strict=True))
            seen: dict[Any, Node] = {}
            for key, _ in node.pairs:
                name = key.value if key.kind == "scalar" else None
                if key.kind != "scalar":
                    self._problems.add(
                        "bad-yaml", "a key must be a name", self._place_of(key), "Quote it, or mend the indentation."
                    )
                elif (first := seen.setdefault(name, key)) is not key:
                    self._problems.add(
                        "duplicate-key",
                        f"key '{name}' is there twice (first in line {first.line + 1}); YAML would keep one silently",
                        self._place_of(key),
                        "Keep one of them, or rename it.",
                    )
        if node.flow:
            node.end = event.end_mark.index
        elif children:
            node.end = children[-1].end

    def _scalar(self, event: Any) -> Node:
        node = self._node(event, "scalar")
        if event.style in ("'", '"', "|", ">") or (event.tag is not None):
            node.value = event.value
        else:
            node.value, node.surprising = plain(event.value)
        return node

    def _where(self, mark: Any) -> str:
        return f"{self._name}:{mark.line + 1}:{mark.column + 1}"

    def _place_of(self, node: Node) -> str:
        return f"{self._name}:{node.line + 1}:{node.column + 1}"


def plain(text: str) -> tuple[Any, bool]:
    """Return a plain scalar's value by YAML 1.2's core schema, and whether YAML 1.1 would read it otherwise."""
    if text in ("", "~", "null", "Null", "NULL"):
        return None, False
    if text in ("true", "True", "TRUE"):
        return True, False
    if text in ("false", "False", "FALSE"):
        return False, False
    if _INT.fullmatch(text):
        return int(text), False
    if _FLOAT.fullmatch(text):
        return float(text), _SURPRISING.fullmatch(text) is not None
    return text, _SURPRISING.fullmatch(text) is not None
