"""Probes for MySQL and MariaDB, where DDL commits on its own: the definitions of what a statement names, hashed.

Both servers make one DDL statement atomic (MySQL from 8.0, MariaDB from 10.6), so that after a crash the definitions
are those before or those after it. A statement that changes no definition (TRUNCATE, ANALYZE, OPTIMIZE) can be sent
again.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, Any

from senior_backend.migrate.databases.base import DatabaseError
from senior_backend.migrate.tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from senior_backend.migrate.databases.base import Database
    from senior_backend.migrate.plan import Step

MOST_NAMES = 200
_COUNTER = re.compile(r" AUTO_INCREMENT=\d+")
_REPEATABLE = {"TRUNCATE", "ANALYZE", "OPTIMIZE", "CHECK", "REPAIR", "FLUSH", "GRANT", "REVOKE", "LOCK", "UNLOCK"}
_STORED = {"PROCEDURE": "ROUTINE", "FUNCTION": "ROUTINE", "TRIGGER": "TRIGGER", "EVENT": "EVENT"}


def before(database: Database, step: Step) -> dict[str, Any]:
    """Return the names in the statement, and a hash of what they define now."""
    names = list(_names(step.statement.text))[:MOST_NAMES]
    kind = _kind(step.statement.text)
    return {"names": names, "kind": kind, "hash": _hash(database, names, kind), "verb": step.traits.verb}


def outcome(database: Database, note: Mapping[str, Any], *, same: bool) -> str:
    """Return what became of an interrupted statement."""
    if note.get("verb") == "CALL":
        return "unknown"
    if _hash(database, note.get("names", []), note.get("kind")) == note.get("hash"):
        return "again"
    # The old statement took effect; where another one stands in its place now, nobody knows what is left to do.
    if note.get("verb") in _REPEATABLE:
        return "again"
    return "done" if same else "unknown"


def _names(text: str) -> Iterable[str]:
    found = tokens(text, "mysql")
    seen: set[str] = set()
    for position, token in enumerate(found):
        if token.kind not in ("word", "quoted"):
            continue
        name = token.raw if token.kind == "word" else token.value
        if position >= 2 and found[position - 1].value == "." and found[position - 2].kind in ("word", "quoted"):
            owner = found[position - 2]
            name = f"{owner.raw if owner.kind == 'word' else owner.value}.{name}"
        if name not in seen:
            seen.add(name)
            yield name


def _kind(text: str) -> str | None:
    words = [token.value for token in tokens(text, "mysql")[:12] if token.kind == "word"]
    return next((word for word in words if word in _STORED), None)


def _hash(database: Database, names: Iterable[str], kind: str | None) -> str:
    content = hashlib.sha256()
    for name in names:
        for definition in _definitions(database, name, kind):
            content.update(f"{name}\0{definition}\0".encode())
    return content.hexdigest()


def _definitions(database: Database, name: str, kind: str | None) -> Iterable[str]:
    if kind is not None:
        column = {"ROUTINE": "routine", "TRIGGER": "trigger", "EVENT": "event"}[_STORED[kind]]
        body = {"ROUTINE": "routine_definition", "TRIGGER": "action_statement", "EVENT": "event_definition"}
        rows = database.query(
            f"SELECT {body[_STORED[kind]]} FROM information_schema.{column}s "  # noqa: S608 - fixed names
            f"WHERE {column}_schema = DATABASE() AND {column}_name = %s",
            (name.rpartition(".")[2],),
        )
        yield from (str(row[0]) for row in rows)
        return
    try:
        rows = database.query(f"SHOW CREATE TABLE {database.quoted(name)}")
    except DatabaseError as error:
        if error.trouble == "lost":
            raise
        return
    yield from (_COUNTER.sub("", str(row[1])) for row in rows)
