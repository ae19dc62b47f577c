"""Backfills as the runner runs them: one UPDATE in many short transactions, along a unique key."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from senior_backend.migrate import keyset

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    names = [server.quote(name) for name in key]
    marks = [server.placeholder] * len(key)
    columns, downwards = ", ".join(names), ", ".join(f"{name} DESC" for name in names)

    def bounds(limits: Sequence[tuple[str, Sequence[Any] | None]]) -> tuple[str, tuple[Any, ...]]:
        given = [(sign, value) for sign, value in limits if value is not None]
        conditions = [keyset.compared(names, sign, marks, server.engine) for sign, _ in given]
        values = [one for _, value in given for one in keyset.in_order(value, server.engine)]
        return " AND ".join(conditions), tuple(values)

    # Like the runner's, the walk ends where the table ended when it began.
    final = session.query(f"SELECT {columns} FROM {table} ORDER BY {downwards} LIMIT 1")  # noqa: S608 - names of a migration file
    if not final:
        session.query(f"{head}{own} 1 = 1")  # whether the server understands it is asked all the same
    last: tuple[Any, ...] | None = None
    while final and last != final[0]:
        condition, values = bounds([(">", last), ("<=", final[0])])
        ends = session.query(
            f"SELECT {columns} FROM {table} WHERE {condition} ORDER BY {columns} LIMIT 1 OFFSET {size - 1}",  # noqa: S608
            values,
        )
        end = ends[0] if ends else final[0]
        condition, values = bounds([(">", last), ("<=", end)])
        escaped = f"{head}{own}".replace("%", "%%") if server.placeholder == "%s" else f"{head}{own}"
        session.query(f"{escaped} {condition}", values)
        last = end
    return True
