"""The part of JSONPath (RFC 9535) that picks values out of responses: names, indices, quoted names and `[*]`."""

from __future__ import annotations

import re
from typing import Any

_STEP = re.compile(
    r"""\.(?P<name>[A-Za-z_][\w-]*)|\[(?P<index>-?\d{1,9})\]|\[(?P<quoted>'[^']*'|"[^"]*")\]|(?P<all>\[\*\]|\.\*)"""
)

Path = tuple[str | int | None, ...]
"""Steps: a name, an index, or None for every member."""


def parse(text: str) -> Path:
    """Return the steps of a path such as `$.data[0].id`.

    Raises:
        ValueError: not a path of this form.
    """
    if not text.startswith("$"):
        raise ValueError(f"'{text}' does not start with $")
    steps: list[str | int | None] = []
    at = 1
    while at < len(text):
        match = _STEP.match(text, at)
        if not match:
            raise ValueError(f"'{text[at:]}' in '{text}' is not .name, [0], ['name'] or [*]")
        if match["name"]:
            steps.append(match["name"])
        elif match["index"]:
            steps.append(int(match["index"]))
        elif match["quoted"]:
            steps.append(match["quoted"][1:-1])
        else:
            steps.append(None)
        at = match.end()
    return tuple(steps)


def find(document: Any, path: Path) -> list[Any]:
    """Return the values at `path`, none when there is no such place."""
    values = [document]
    for step in path:
        found: list[Any] = []
        for value in values:
            if step is None:
                found += value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
            elif isinstance(step, int):
                if isinstance(value, list) and -len(value) <= step < len(value):
                    found.append(value[step])
            elif isinstance(value, dict) and step in value:
                found.append(value[step])
        values = found
    return values
