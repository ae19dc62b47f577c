"""YAML text to nodes, from parser events: no construction, no recursion, bounded depth and size."""

from __future__ import annotations

from typing import Any

from senior_backend.health.config.nodes import MAX_DEPTH, MAX_NODES, Node, Problem, Unreadable

_CORE_TAGS = frozenset({None, "!", "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


def parse(text: str) -> tuple[Node | None, list[Problem]]:
    """Return the document's root, None for an empty file, and the problems that do not stop the reading.

    Raises:
        Unreadable: a syntax error, more than one document, or a tree too deep or too large to be honest.
    """
    import yaml

    builder = _Builder()
    try:
        for event in yaml.parse(text, Loader=getattr(yaml, "CLoader", yaml.Loader)):
            builder.take(event)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        context = f" ({error.context}, line {error.context_mark.line + 1})" if error.context_mark else ""
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise Unreadable(line, column, "yaml-syntax", f"{error.problem}{context}", _hint(text, line)) from None
    except yaml.YAMLError as error:
        raise Unreadable(1, 1, "yaml-syntax", str(error).splitlines()[0]) from None
    return builder.root, builder.problems


def _hint(text: str, line: int) -> str:
    lines = text.splitlines()
    shown = lines[line - 1].strip()[:60] if 0 < line <= len(lines) else ""
    if "\t" in (lines[line - 1][: len(lines[line - 1]) - len(lines[line - 1].lstrip())] if shown else ""):
        return "Indent with spaces: YAML does not allow tabs."
    return f"Check the indentation, quotes and colons at `{shown}`." if shown else "Check the end of the file."


class _Builder:
    def __init__(self) -> None:
        self.root: Node | None = None
        self.problems: list[Problem] = []
        self._stack: list[tuple[Node, str | None, Node | None]] = []  # container, its anchor, key that waits
        self._anchors: dict[str, tuple[Node, int]] = {}
        self._count = 0
        self._starts: list[int] = []
        self._documents = 0

    def take(self, event: Any) -> None:
        """Use one parser event."""
        name = type(event).__name__
        if name == "DocumentStartEvent":
            self._documents += 1
            if self._documents > 1:
                raise self._stop(event, "two-documents", "a second document begins here", "Keep one document a file.")
        elif name == "ScalarEvent":
            node = Node(*_place(event), value=event.value, plain=event.style in (None, ""))
            self._tag(event)
            self._anchor(event.anchor, node, 1)
            self._add(event, node, 1)
        elif name in ("MappingStartEvent", "SequenceStartEvent"):
            self._tag(event)
            if len(self._stack) >= MAX_DEPTH:
                raise self._stop(event, "too-deep", f"nested deeper than {MAX_DEPTH} levels", "Flatten the file.")
            node = Node(*_place(event), kind="map" if name.startswith("M") else "list", items=[], entries=[])
            self._stack.append((node, event.anchor, None))
            self._starts.append(self._count)
        elif name in ("MappingEndEvent", "SequenceEndEvent"):
            node, anchor, _ = self._stack.pop()
            size = self._count - self._starts.pop() + 1
            self._anchor(anchor, node, size)
            if node.kind == "map":
                self._finish_map(node)
            self._add(event, node, 1)
        elif name == "AliasEvent":
            if event.anchor not in self._anchors:
                raise self._stop(event, "unknown-alias", f"no anchor &{event.anchor} before this alias", None)
            node, size = self._anchors[event.anchor]
            self._add(event, node, size)

    def _stop(self, event: Any, code: str, message: str, fix: str | None) -> Unreadable:
        return Unreadable(*_place(event), code, message, fix)

    def _tag(self, event: Any) -> None:
        if event.tag not in _CORE_TAGS:
            self.problems.append(
                Problem(
                    *_place(event), "tag", f"the tag {event.tag} is not supported", "Write the value without a tag."
                )
            )

    def _anchor(self, anchor: str | None, node: Node, size: int) -> None:
        if anchor:
            self._anchors[anchor] = (node, size)

    def _add(self, event: Any, node: Node, size: int) -> None:
        self._count += size
        if self._count > MAX_NODES:
            message = f"more than {MAX_NODES:,} values once aliases are expanded"
            raise self._stop(event, "too-large", message, "Split the file, or remove the aliases.")
        if not self._stack:
            self.root = node
            return
        container, anchor, key = self._stack[-1]
        if container.kind == "list":
            container.items.append(node)
        elif key is None:
            if node.kind != "scalar":
                raise self._stop(event, "key", "a key must be a plain word", None)
            self._stack[-1] = (container, anchor, node)
        else:
            container.entries.append((key, node))
            self._stack[-1] = (container, anchor, None)

    def _finish_map(self, node: Node) -> None:
        """Report duplicate keys and put merge keys (`<<`) in place; keys of the mapping itself win."""
        seen: dict[str, Node] = {}
        entries: list[tuple[Node, Node]] = []
        merged: list[Node] = []
        for key, value in node.entries:
            name = str(key.value)
            if name == "<<" and key.plain:
                merged.extend(value.items if value.kind == "list" else [value])
            elif name in seen:
                message = f"duplicate key '{name}'"
                fix = f"It is first defined on line {seen[name].line}; keep one."
                self.problems.append(Problem(key.line, key.column, "duplicate-key", message, fix))
            else:
                seen[name] = key
                entries.append((key, value))
        for source in merged:
            if source.kind != "map":
                self.problems.append(Problem(source.line, source.column, "merge", "`<<` takes a mapping", None))
            entries.extend((key, value) for key, value in source.entries if str(key.value) not in seen)
            seen.update((str(key.value), key) for key, _ in source.entries if str(key.value) not in seen)
        node.entries = entries


def _place(event: Any) -> tuple[int, int]:
    return event.start_mark.line + 1, event.start_mark.column + 1
