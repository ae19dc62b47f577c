"""TOML text to nodes; the standard library gives values, and a scan of headers and keys gives their places."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from senior_backend.health.config.nodes import MAX_NODES, Node, Problem, Unreadable

_HEADER = re.compile(r"^\s*(\[\[?)\s*([^\]#]+?)\s*\]\]?\s*(?:#.*)?$")
_KEY = re.compile(r"^\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'))*)\s*=")
_PART = re.compile(r"\"([^\"]*)\"|'([^']*)'|([A-Za-z0-9_-]+)")
_AT = re.compile(r"\(at (?:line (\d+), column (\d+)|end of document)\)")

Path = tuple[str | int, ...]


def parse(text: str) -> tuple[Node | None, list[Problem]]:
    """Return the document's root and no problems: a duplicate key is a syntax error of TOML.

    Raises:
        Unreadable: the text is not TOML.
    """
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _AT.search(str(error))
        line, column = (int(found[1]), int(found[2])) if found and found[1] else (text.count("\n") + 1, 1)
        message = _AT.sub("", str(error)).strip()
        raise Unreadable(line, column, "toml-syntax", message, "Check quotes, brackets and the key here.") from None
    except RecursionError:
        raise Unreadable(1, 1, "too-deep", "nested too deeply", "Flatten the file.") from None
    return (_Builder(_places(text)).node(data, (), (1, 1)), []) if data else (None, [])


def _places(text: str) -> dict[Path, tuple[int, int]]:
    """Return where each key is written, as far as a scan of the lines can tell."""
    places: dict[Path, tuple[int, int]] = {}
    table: Path = ()
    counts: dict[Path, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if header := _HEADER.match(line):
            parts: Path = _parts(header[2])
            table = _through_arrays(parts[:-1], counts)
            table = (*table, parts[-1]) if parts else ()
            if header[1] == "[[":
                counts[table] = counts.get(table, -1) + 1
                table = (*table, counts[table])
            places.setdefault(table, (number, line.index("[") + 1))
        elif key := _KEY.match(line):
            path = (*table, *_parts(key[1]))
            places.setdefault(path, (number, len(line) - len(line.lstrip()) + 1))
    return places


def _parts(text: str) -> tuple[str, ...]:
    return tuple(match[1] or match[2] or match[3] or "" for match in _PART.finditer(text))


def _through_arrays(parts: Path, counts: dict[Path, int]) -> Path:
    path: Path = ()
    for part in parts:
        path = (*path, part)
        if path in counts:
            path = (*path, counts[path])
    return path


class _Builder:
    def __init__(self, places: dict[Path, tuple[int, int]]) -> None:
        self._places = places
        self._count = 0

    def node(self, value: Any, path: Path, near: tuple[int, int]) -> Node:
        """Return `value` as nodes; what has no place of its own gets that of what holds it."""
        place = self._places.get(path, near)
        self._count += 1
        if self._count > MAX_NODES:
            raise Unreadable(*place, "too-large", f"more than {MAX_NODES:,} values", "Split the file.")
        if isinstance(value, dict):
            node = Node(*place, kind="map", entries=[])
            for key, item in value.items():
                child = self.node(item, (*path, key), place)
                node.entries.append((Node(child.line, child.column, value=key), child))
            return node
        if isinstance(value, list):
            return Node(*place, kind="list", items=[self.node(item, (*path, i), place) for i, item in enumerate(value)])
        if isinstance(value, str | int | float | bool):
            return Node(*place, value=value)
        return Node(*place, value=str(value))  # dates and times
