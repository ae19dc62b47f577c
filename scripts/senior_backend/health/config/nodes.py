"""The tree that every file format is read into, and the problems found in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

MAX_BYTES = 5_000_000
MAX_DEPTH = 100
MAX_NODES = 200_000


@dataclass(slots=True)
class Node:
    """A value and where it stands (1-based).

    A YAML scalar keeps its text, `plain` when it was not quoted: what type it has is decided by the field that it
    fills, so `22:22`, `on` and `010` mean what they look like. JSON and TOML scalars have the type they were given.
    """

    line: int
    column: int
    kind: Literal["scalar", "list", "map"] = "scalar"
    value: str | int | float | bool | None = None
    plain: bool = False
    items: list[Node] = field(default_factory=lambda: _NO_ITEMS)
    entries: list[tuple[Node, Node]] = field(default_factory=lambda: _NO_ENTRIES)

    def get(self, key: str) -> Node | None:
        """Return the value of `key` in a map."""
        for name, value in self.entries:
            if name.value == key:
                return value
        return None

    @property
    def empty(self) -> bool:
        """Whether nothing is written: `key:` or null."""
        return self.kind == "scalar" and (
            self.value is None or (self.plain and self.value in ("", "~", "null", "Null", "NULL"))
        )

    def describe(self) -> str:
        """Return the value as a message can quote it."""
        if self.kind != "scalar":
            return f"a {'list' if self.kind == 'list' else 'mapping'}"
        if self.empty:
            return "nothing"
        text = str(self.value)
        return repr(text if len(text) <= 40 else text[:39] + "…")


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing wrong with the file."""

    line: int
    column: int
    code: str
    message: str
    fix: str | None = None
    severity: Literal["error", "warning"] = "error"


# A large file has a hundred thousand scalars: they share these, and whoever makes a list or a map gives it its own.
_NO_ITEMS: list[Node] = []
_NO_ENTRIES: list[tuple[Node, Node]] = []


class Unreadable(Exception):  # noqa: N818 - carries the one problem that stops the reading
    """The text is not the format at all."""

    def __init__(self, line: int, column: int, code: str, message: str, fix: str | None = None) -> None:
        super().__init__(message)
        self.problem = Problem(line, column, code, message, fix)
