"""JSON text to nodes with their places (the standard library's parser gives none), by RFC 8259."""

from __future__ import annotations

import bisect
import re
from json import JSONDecodeError, decoder

from senior_backend.health.config.nodes import MAX_DEPTH, MAX_NODES, Node, Problem, Unreadable

_SPACE = re.compile(r"[ \t\n\r]*")
_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
_WORDS: dict[str, bool | None] = {"true": True, "false": False, "null": None}


def parse(text: str) -> tuple[Node | None, list[Problem]]:
    """Return the document's root, None for an empty file, and the problems that do not stop the reading.

    Raises:
        Unreadable: the text is not JSON, or nested too deeply.
    """
    parser = _Parser(text)
    at = parser.skip(0)
    if at == len(text):
        return None, []
    root, at = parser.value(at, 0)
    at = parser.skip(at)
    if at != len(text):
        raise parser.stop(at, "something follows the end of the document")
    return root, parser.problems


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self.problems: list[Problem] = []
        self._count = 0

    def place(self, at: int) -> tuple[int, int]:
        line = bisect.bisect_right(self._lines, at)
        return line, at - self._lines[line - 1] + 1

    def stop(self, at: int, message: str) -> Unreadable:
        return Unreadable(*self.place(at), "json-syntax", message, "Check commas, quotes and brackets here.")

    def skip(self, at: int) -> int:
        match = _SPACE.match(self._text, at)
        return match.end() if match else at

    def value(self, at: int, depth: int) -> tuple[Node, int]:
        self._count += 1
        if depth > MAX_DEPTH:
            raise Unreadable(*self.place(at), "too-deep", f"nested deeper than {MAX_DEPTH} levels", "Flatten the file.")
        if self._count > MAX_NODES:
            raise Unreadable(*self.place(at), "too-large", f"more than {MAX_NODES:,} values", "Split the file.")
        place = self.place(at)
        char = self._text[at : at + 1]
        if char == "{":
            return self._map(at + 1, Node(*place, kind="map", entries=[]), depth)
        if char == "[":
            return self._list(at + 1, Node(*place, kind="list", items=[]), depth)
        if char == '"':
            text, at = self._string(at)
            return Node(*place, value=text), at
        for word, constant in _WORDS.items():
            if self._text.startswith(word, at):
                return Node(*place, value=constant), at + len(word)
        match = _NUMBER.match(self._text, at)
        if match:
            number: int | float = float(match[0]) if match[1] or match[2] else int(match[0])
            return Node(*place, value=number), match.end()
        raise self.stop(at, f"expected a value, found {char!r}" if char else "the document ends too early")

    def _string(self, at: int) -> tuple[str, int]:
        try:
            text, end = decoder.scanstring(self._text, at + 1, True)  # type: ignore[attr-defined]
        except JSONDecodeError as error:
            raise self.stop(error.pos, error.msg.lower()) from None
        return text, end

    def _list(self, at: int, node: Node, depth: int) -> tuple[Node, int]:
        at = self.skip(at)
        if self._text[at : at + 1] == "]":
            return node, at + 1
        while True:
            item, at = self.value(self.skip(at), depth + 1)
            node.items.append(item)
            at = self.skip(at)
            char = self._text[at : at + 1]
            if char == "]":
                return node, at + 1
            if char != ",":
                raise self.stop(at, "expected ',' or ']'")
            at += 1

    def _map(self, at: int, node: Node, depth: int) -> tuple[Node, int]:
        seen: dict[str, Node] = {}
        at = self.skip(at)
        if self._text[at : at + 1] == "}":
            return node, at + 1
        while True:
            at = self.skip(at)
            if self._text[at : at + 1] != '"':
                raise self.stop(at, "expected a key in double quotes")
            key = Node(*self.place(at))
            name, at = self._string(at)
            key.value = name
            at = self.skip(at)
            if self._text[at : at + 1] != ":":
                raise self.stop(at, "expected ':'")
            value, at = self.value(self.skip(at + 1), depth + 1)
            if name in seen:
                fix = f"It is first defined on line {seen[name].line}; keep one."
                self.problems.append(Problem(key.line, key.column, "duplicate-key", f"duplicate key '{name}'", fix))
            else:
                seen[name] = key
                node.entries.append((key, value))
            at = self.skip(at)
            char = self._text[at : at + 1]
            if char == "}":
                return node, at + 1
            if char != ",":
                raise self.stop(at, "expected ',' or '}'")
            at += 1
