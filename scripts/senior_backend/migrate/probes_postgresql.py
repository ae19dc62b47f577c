"""Probes for PostgreSQL statements that cannot run in a transaction: indexes built concurrently, above all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from senior_backend.console.errors import UnavailableError
from senior_backend.migrate.tokens import tokens

if TYPE_CHECKING:
    from collections.abc import Mapping

    from senior_backend.migrate.databases.base import Database
    from senior_backend.migrate.plan import Step

_INDEXES = (
    "SELECT i.indexrelid::regclass::text, i.indexrelid::bigint, i.indisvalid FROM pg_index AS i "
    "WHERE i.indrelid = to_regclass(%s) ORDER BY 2"
)


def before(database: Database, step: Step) -> dict[str, Any]:
    """Return the oids of the indexes that the table has, where an index is about to be created."""
    if step.traits.verb == "CREATE" and step.traits.concurrently:
        return {"indexes": [oid for _, oid, _ in _indexes(database, step)]}
    return {}


def outcome(database: Database, step: Step, note: Mapping[str, Any], *, same: bool) -> str:
    """Return what became of an interrupted statement."""
    if not same:
        return "again"  # another statement stands there now; what the old one left is repaired by its name or table
    traits = step.traits
    words = [token.value for token in tokens(step.statement.text, "postgresql")]
    if traits.verb == "CREATE" and traits.concurrently:
        known = set(note.get("indexes", []))
        new = [(name, valid) for name, oid, valid in _indexes(database, step) if oid not in known]
        return "done" if any(valid for _, valid in new) else "again"
    if traits.verb == "DROP" and traits.concurrently:
        return "again" if _index_oid(database, traits.index) else "done"
    if traits.verb == "ALTER" and "DETACH" in words:
        return _detached(database, step, words)
    if traits.verb in ("CREATE", "DROP") and words[1:2] == ["DATABASE"]:
        found = database.query("SELECT 1 FROM pg_database WHERE datname = %s", (_last_name(step, 2),))
        return "done" if bool(found) == (traits.verb == "CREATE") else "again"
    if traits.verb in ("VACUUM", "REINDEX", "CLUSTER") or words[:2] == ["ALTER", "SYSTEM"]:
        return "again"
    return "unknown"  # CALL may have committed part of its work


def repair(database: Database, step: Step) -> str | None:
    """Drop invalid indexes that an earlier run of this very statement left, before they hide behind IF NOT EXISTS."""
    traits = step.traits
    if traits.verb == "CREATE":
        index = traits.index
        invalid = [
            name
            for name, _, valid in _indexes(database, step)
            if not valid and (index is None or name.rpartition(".")[2].strip('"') == index.rpartition(".")[2])
        ]
        if index is None:
            invalid = [name for name in invalid if _looks_generated(name, step)]
    elif traits.verb == "REINDEX" and traits.index:
        rows = database.query(
            "SELECT i.indexrelid::regclass::text FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid "
            "WHERE NOT i.indisvalid AND c.relname ~ ('^' || %s || '_cc(new|old)[0-9]*$')",
            (traits.index.rpartition(".")[2],),
        )
        invalid = [str(row[0]) for row in rows]
    else:
        return None
    for name in invalid:
        database.limit(0, 0)
        database.query(f"DROP INDEX CONCURRENTLY {name}")
    return f"dropped {', '.join(invalid)}, invalid since an earlier attempt" if invalid else None


def verify(database: Database, step: Step) -> None:
    """Check that no index of the statement is invalid.

    Raises:
        UnavailableError: one is.
    """
    if step.traits.verb != "CREATE" or step.traits.index is None:
        return
    wanted = step.traits.index.rpartition(".")[2]
    for name, _, valid in _indexes(database, step):
        if name.rpartition(".")[2].strip('"') == wanted and not valid:
            raise UnavailableError(
                f"index {name} is not valid",
                code="invalid-index",
                where=step.where,
                hint=f"DROP INDEX CONCURRENTLY {name}, then run the command again.",
            )


def _indexes(database: Database, step: Step) -> list[tuple[str, int, bool]]:
    if step.traits.table is None:
        return []
    return [
        (str(name), int(oid), bool(valid)) for name, oid, valid in database.query(_INDEXES, (_table(database, step),))
    ]


def _table(database: Database, step: Step) -> str:
    return database.quoted(step.traits.table or "")


def _index_oid(database: Database, name: str | None) -> bool:
    if name is None:
        return False
    return database.query("SELECT to_regclass(%s)", (database.quoted(name),))[0][0] is not None


def _looks_generated(name: str, step: Step) -> bool:
    table = (step.traits.table or "").rpartition(".")[2]
    return name.rpartition(".")[2].strip('"').startswith(table[:20])


def _detached(database: Database, step: Step, words: list[str]) -> str:
    """DETACH PARTITION … CONCURRENTLY has two transactions; after the first only FINALIZE is left to do."""
    name = _last_name(step, words.index("PARTITION") + 1)
    rows = database.query(
        "SELECT inhdetachpending FROM pg_inherits WHERE inhrelid = to_regclass(%s)", (database.quoted(name),)
    )
    if not rows:
        return "done"
    if rows[0][0]:
        table = database.quoted(step.traits.table or "")
        database.query(f"ALTER TABLE {table} DETACH PARTITION {database.quoted(name)} FINALIZE")
        return "done"
    return "again"


def _last_name(step: Step, position: int) -> str:
    found = tokens(step.statement.text, "postgresql")
    while position < len(found) and found[position].value in ("IF", "NOT", "EXISTS"):
        position += 1
    parts = [found[position].name]
    while position + 2 < len(found) and found[position + 1].value == ".":
        position += 2
        parts.append(found[position].name)
    return ".".join(parts)
