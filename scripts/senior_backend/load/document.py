"""Scenario files as trees that know the line and column of every value; JSON is read here, YAML in `document_yaml`.

The files may be hostile: size, depth and number of values are bounded before anything is built from them.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from senior_backend.console.errors import InputError, UnavailableError
from senior_backend.console.report import Finding

if TYPE_CHECKING:
    from pathlib import Path

MAX_BYTES = 262_144
"""Hand-written scenarios have a few kilobytes; data belongs in feed files, which have no such limit."""
MAX_DEPTH = 48
MAX_NODES = 20_000
"""Values after all YAML aliases are followed."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in a file; both counts start at 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Scalar:
    """A string, number, boolean or null; `text` is how it was written, `plain` whether without quotes."""

    value: str | float | bool | None
    text: str
    plain: bool
    mark: Mark


@dataclass(frozen=True, slots=True)
class Sequence:
    """A list."""

    items: tuple[Node, ...]
    mark: Mark


@dataclass(frozen=True, slots=True)
class Mapping:
    """Keys, each once, with their values."""

    entries: tuple[tuple[Scalar, Node], ...]
    mark: Mark

    def get(self, key: str) -> Node | None:
        """Return the value of `key`, or None."""
        return next((value for name, value in self.entries if name.value == key), None)


Node = Scalar | Sequence | Mapping


class Problems:
    """The problems of one file, collected so that all of them are told at once."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.findings: list[Finding] = []

    def add(self, code: str, message: str, mark: Mark | None, fix: str | None = None) -> None:
        """Note a problem at `mark`."""
        where = f"{self.file}:{mark.line}:{mark.column}" if mark else self.file
        finding = Finding(code, "error", message, where, fix)
        if finding not in self.findings:
            self.findings.append(finding)

    def raise_if_any(self) -> None:
        """End the call when something was noted.

        Raises:
            InputError: with every finding, in the order of the file.
        """
        if not self.findings:
            return
        ordered = sorted(self.findings, key=_position)
        count = len(ordered)
        summary = ordered[0].message if count == 1 else f"{count} problems in {self.file}"
        raise InputError(summary, code=ordered[0].code, where=ordered[0].where, findings=ordered)


def _position(finding: Finding) -> tuple[int, int]:
    match = re.search(r":(\d+):(\d+)$", finding.where or "")
    return (int(match[1]), int(match[2])) if match else (0, 0)


def read_text(path: Path, what: str, limit: int = MAX_BYTES) -> str:
    """Return the text of a file of at most `limit` bytes.

    Raises:
        InputError: no such file, not a regular file, too large, or not UTF-8.
        UnavailableError: it may not be read.
    """
    try:
        if not path.is_file():
            problem = "is not a file" if path.exists() else "does not exist"
            raise InputError(f"{what} {path} {problem}", code="no-such-file", where=str(path), hint="Check the path.")
        if path.stat().st_size > limit:
            raise InputError(
                f"{what} {path} is larger than {limit} bytes",
                code="file-too-large",
                where=str(path),
                hint="Keep data in feed files and generated bodies in body_file.",
            )
        data = path.read_bytes()
    except OSError as error:
        raise UnavailableError(
            f"cannot read {what} {path}: {error.strerror or error}",
            code="not-readable",
            where=str(path),
            hint="Check its permissions.",
        ) from error
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        raise InputError(
            f"{what} {path} is not UTF-8", code="not-utf8", where=f"{path}:{line}:{column}", hint="Save it as UTF-8."
        ) from error


def to_plain(node: Node) -> Any:
    """Return a tree as plain Python values."""
    if isinstance(node, Mapping):
        return {str(key.value): to_plain(value) for key, value in node.entries}
    if isinstance(node, Sequence):
        return [to_plain(item) for item in node.items]
    return node.value


def parse_json(text: str, problems: Problems) -> Node | None:
    """Return the tree of a JSON document (RFC 8259), None after a fault of syntax; duplicate keys are noted."""
    try:
        return _JsonReader(text, problems).document()
    except _SyntaxFault as fault:
        problems.add("json-syntax", f"not valid JSON: {fault.message}", fault.mark, fault.fix)
        return None


class _SyntaxFault(Exception):  # noqa: N818 - caught in this module
    def __init__(self, message: str, mark: Mark, fix: str | None = None) -> None:
        super().__init__(message)
        self.message, self.mark, self.fix = message, mark, fix


class _JsonReader:
    _DECODER = json.JSONDecoder()
    _SPACE = re.compile(r"[ \t\r\n]*")
    _NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(\.\d+)?([eE][-+]?\d+)?")
    _WORD = re.compile(r"[A-Za-z_]+")

    def __init__(self, text: str, problems: Problems) -> None:
        self.text, self.problems, self.at, self.count = text, problems, 0, 0

    def mark(self, at: int | None = None) -> Mark:
        position = self.at if at is None else at
        return Mark(self.text.count("\n", 0, position) + 1, position - self.text.rfind("\n", 0, position))

    def fault(self, message: str, fix: str | None = None) -> _SyntaxFault:
        return _SyntaxFault(message, self.mark(), fix)

    def peek(self) -> str:
        match = self._SPACE.match(self.text, self.at)
        self.at = match.end() if match else self.at
        return self.text[self.at : self.at + 1]

    def document(self) -> Node:
        node = self.value(0)
        if self.peek():
            raise self.fault("expected the end of the document")
        return node

    def value(self, depth: int) -> Node:
        self.count += 1
        sign = self.peek()
        if depth > MAX_DEPTH or self.count > MAX_NODES:
            raise self.fault(f"nested deeper than {MAX_DEPTH} levels" if depth > MAX_DEPTH else "too many values")
        if sign == "{":
            return self.mapping(depth)
        if sign == "[":
            return self.sequence(depth)
        if sign == '"':
            return self.string()
        return self.word()

    def string(self) -> Scalar:
        mark = self.mark()
        try:
            value, end = self._DECODER.raw_decode(self.text, self.at)
        except json.JSONDecodeError as error:
            raise _SyntaxFault(error.msg, self.mark(error.pos)) from error
        self.at = end
        return Scalar(value, value, False, mark)

    def word(self) -> Scalar:
        mark = self.mark()
        if number := self._NUMBER.match(self.text, self.at):
            self.at = number.end()
            written = number[0]
            return Scalar(float(written) if number[1] or number[2] else int(written[:400]), written, True, mark)
        word = self._WORD.match(self.text, self.at)
        constants: dict[str, bool | None] = {"true": True, "false": False, "null": None}
        if word and word[0] in constants:
            self.at = word.end()
            return Scalar(constants[word[0]], word[0], True, mark)
        raise self.fault("expected a value", "JSON allows no comments, trailing commas or words without quotes.")

    def sequence(self, depth: int) -> Sequence:
        mark, items = self.mark(), []
        self.at += 1
        if self.peek() == "]":
            self.at += 1
            return Sequence((), mark)
        while True:
            items.append(self.value(depth + 1))
            sign = self.peek()
            if sign not in (",", "]"):
                raise self.fault("expected ',' or ']'")
            self.at += 1
            if sign == "]":
                return Sequence(tuple(items), mark)

    def mapping(self, depth: int) -> Mapping:
        mark = self.mark()
        entries: dict[str, tuple[Scalar, Node]] = {}
        self.at += 1
        if self.peek() == "}":
            self.at += 1
            return Mapping((), mark)
        while True:
            if self.peek() != '"':
                raise self.fault("expected a key in double quotes", "JSON allows no trailing comma.")
            key = self.string()
            if self.peek() != ":":
                raise self.fault("expected ':'")
            self.at += 1
            value = self.value(depth + 1)
            if key.text in entries:
                self.problems.add("duplicate-key", f"the key '{key.text}' stands twice", key.mark, "Keep one.")
            entries[key.text] = (key, value)
            sign = self.peek()
            if sign not in (",", "}"):
                raise self.fault("expected ',' or '}'")
            self.at += 1
            if sign == "}":
                return Mapping(tuple(entries.values()), mark)
