"""Backfills as the runner runs them: one UPDATE in many short transactions, along a unique key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from senior_backend.migrate.rehearse.model import Server, Session, Step

_TOKEN = re.compile(
    r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|`[^`]*`|\$(\w*)\$.*?\$\1\$|--[^\n]*|/\*.*?\*/|[\w$]+|.", re.DOTALL
)

_NAME = r'(?:"(?:[^"]|"")+"|`[^`]+`|[\w$]+)'
_TABLE = re.compile(rf"\s*UPDATE\s+(?:ONLY\s+)?(?P<table>{_NAME}(?:\s*\.\s*{_NAME})*)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Batches:
    """What a backfill directive says."""

    key: tuple[str, ...]
    size: int


def condition_at(update: str) -> int | None:
    """Return where the condition of an UPDATE begins, behind its own WHERE; None where it has none."""
    depth = 0
    for match in _TOKEN.finditer(update):
        word = match.group()
        if word in ("(", ")"):
            depth += 1 if word == "(" else -1
        elif depth == 0 and word.upper() == "WHERE":
            return match.end()
    return None


def run(server: Server, session: Session, step: Step) -> bool:
    """Run a step that is a batched backfill; return False for any other."""
    if step.batches is None:
        return False
    key, size = step.batches.key, step.batches.size
    text = step.text.rstrip().removesuffix(";")
    named = _TABLE.match(text)
    if named is None:
        return False
    table, place = named["table"], condition_at(text)
    head = text[:place] if place is not None else f"{text} WHERE"
    own = f" ({text[place:].strip()}) AND" if place is not None else ""
    columns = ", ".join(server.quote(name) for name in key)
    marks = ", ".join([server.placeholder] * len(key))
    last: tuple[Any, ...] | None = None
    while True:
        after = f"WHERE ({columns}) > ({marks}) " if last else ""
        ends = session.query(
            f"SELECT {columns} FROM {table} {after}ORDER BY {columns} LIMIT 1 OFFSET {size - 1}",  # noqa: S608 - names of a migration file
            last or (),
        )
        upper = ends[0] if ends else None
        bounds: list[str] = []
        values: list[Any] = []
        for value, sign in ((last, ">"), (upper, "<=")):
            if value is not None:
                bounds.append(f"({columns}) {sign} ({marks})")
                values.extend(value)
        condition = " AND ".join(bounds) or "1 = 1"
        escaped = f"{head}{own}".replace("%", "%%") if values and server.placeholder == "%s" else f"{head}{own}"
        session.query(f"{escaped} {condition}", tuple(values))
        if upper is None:
            return True
        last = upper
