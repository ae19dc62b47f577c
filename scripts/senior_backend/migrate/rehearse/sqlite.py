"""SQLite as a rehearsal needs it: one file, one writer at a time, and every lock is on the whole database."""

from __future__ import annotations

import itertools
import re
import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from senior_backend.migrate.rehearse.model import Blocked, Column, Cost, ForeignKey, Kind, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from senior_backend.migrate.rehearse.model import Session, Value
    from senior_backend.migrate.statements import Engine

BUSY_SECONDS = 60.0
_KINDS: tuple[tuple[str, Kind], ...] = (
    ("BOOL", "boolean"), ("INT", "integer"), ("CHAR", "text"), ("CLOB", "text"), ("TEXT", "text"), ("UUID", "uuid"),
    ("DATETIME", "timestamp"), ("TIMESTAMP", "timestamp"), ("DATE", "date"), ("TIME", "time"), ("JSON", "json"),
    ("DEC", "decimal"), ("NUMERIC", "decimal"), ("REAL", "float"), ("FLOA", "float"), ("DOUB", "float"),
)  # fmt: skip
_identities = itertools.count(1)


class SqliteSession:
    """A connection of the standard library, without its own ideas about transactions."""

    def __init__(self, path: Path, *, foreign_keys: bool) -> None:
        self.connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
        self.connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
        self.identity = next(_identities)

    def query(self, sql: str, parameters: tuple[Value, ...] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; see `Session`."""
        return self.connection.execute(sql, parameters).fetchall()

    def close(self) -> None:
        """End the connection."""
        self.connection.close()


@dataclass(frozen=True, slots=True)
class SqliteServer:
    """A scratch database in a file; see `Server`."""

    path: Path
    label: str = f"SQLite {sqlite3.sqlite_version}"
    engine: Engine = "sqlite"
    placeholder: str = "?"
    transactional: bool = True
    begin: str = "BEGIN IMMEDIATE"
    """A plain BEGIN that reads first is refused at once when it wants to write beside another writer."""

    def connect(self, name: str) -> SqliteSession:
        """Return a new session: the application's with foreign keys on, the migration's with them off, as they run."""
        return SqliteSession(self.path, foreign_keys="reader" in name or "writer" in name)

    def describe(self, session: Session) -> tuple[Table, ...]:
        """Return the tables."""
        found = session.query(
            "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
            "ORDER BY name"
        )
        return tuple(self._table(session, name, sql) for name, sql in found)

    def _table(self, session: Session, label: str, sql: str) -> Table:
        q = self.quote(label)
        info = session.query(f"PRAGMA table_xinfo({q})")
        key = [row[1] for row in sorted((row for row in info if row[5]), key=lambda row: row[5])]
        uniques = []
        for _, index, unique, origin, partial in session.query(f"PRAGMA index_list({q})"):
            names = [row[2] for row in session.query(f"PRAGMA index_info({self.quote(index)})")]
            if unique and origin != "pk" and not partial and None not in names:
                uniques.append(tuple(names))
        keys: dict[int, list[tuple[str, str, str | None]]] = {}
        for identity, _, parent, name, parent_name, *_ in session.query(f"PRAGMA foreign_key_list({q})"):
            keys.setdefault(identity, []).append((name, parent, parent_name))
        parents = []
        for parts in keys.values():
            names = [one[2] for one in parts]
            if None in names:
                rows = session.query(f"PRAGMA table_info({self.quote(parts[0][1])})")
                names = [row[1] for row in sorted((row for row in rows if row[5]), key=lambda row: row[5])]
            parent_names = tuple(str(name) for name in names)
            parents.append(ForeignKey(tuple(one[0] for one in parts), self.quote(parts[0][1]), parent_names))
        columns = tuple(
            Column(
                row[1], row[2], _kind(row[2]), bool(row[3]) or row[1] in key,
                row[4] is not None or (len(key) == 1 and row[1] in key and row[2].upper() == "INTEGER"),
                row[6] in (2, 3), _size(row[2]), None, 2, 64,
            )
            for row in info
            if row[6] != 1
        )  # fmt: skip
        return Table(q, label, columns, tuple(key), tuple(uniques), tuple(parents), tuple(_checks(sql or "")))

    def fingerprint(self, session: Session) -> dict[str, str]:
        """Return every object and its definition."""
        found: dict[str, str] = {}
        for kind, name, sql in session.query(
            "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
        ):
            if kind != "table":
                found[f"{kind} {name}"] = " ".join((sql or "").split())
                continue
            q = self.quote(name)
            for row in session.query(f"PRAGMA table_xinfo({q})"):
                found[f"column {name}.{row[1]}"] = " ".join(map(str, row[2:]))
            for row in session.query(f"PRAGMA foreign_key_list({q})"):
                found[f"foreign key {name}.{row[3]}"] = " ".join(map(str, row[2:]))
            for row in session.query(f"PRAGMA index_list({q})"):
                if row[3] != "c":
                    columns = [one[2] for one in session.query(f"PRAGMA index_info({self.quote(row[1])})")]
                    found[f"key {name}({', '.join(map(str, columns))})"] = row[3]
            for number, check in enumerate(sorted(_checks(sql or ""))):
                found[f"check {name} {number}"] = check
        return found

    def load(self, session: Session, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> int:
        """Load rows and return how many the table kept."""
        assert isinstance(session, SqliteSession)
        names = ", ".join(map(self.quote, columns))
        sql = f"INSERT OR IGNORE INTO {table.name} ({names}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608 - quoted names
        before = session.connection.total_changes
        session.query("BEGIN")
        session.connection.executemany(sql, rows)
        session.query("COMMIT")
        return session.connection.total_changes - before

    def finish_loading(self, session: Session, tables: Sequence[Table]) -> None:
        """Gather statistics."""
        del tables
        session.query("ANALYZE")

    def sample(self, session: Session, table: Table, columns: Sequence[str], limit: int) -> list[tuple[Value, ...]]:
        """Return some rows."""
        names = ", ".join(map(self.quote, columns))
        return session.query(f"SELECT {names} FROM {table.name} LIMIT {int(limit)}")  # noqa: S608 - quoted names

    def probe(self, session: Session) -> Probe:
        """Return what measures statements of `session`."""
        assert isinstance(session, SqliteSession)
        return Probe(session)

    def sampler(self, session: Session, migration: int) -> Sampler:
        """Return a sampler that sees nothing: SQLite tells nobody who waits."""
        del session, migration
        return Sampler()

    def quote(self, name: str) -> str:
        """Return a quoted identifier."""
        return '"' + name.replace('"', '""') + '"'

    def limit_waits(self, session: Session, seconds: float) -> None:
        """Give up waiting for the lock after `seconds`."""
        session.query(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    def limit_queries(self, session: Session, seconds: float) -> None:
        """Wait for the lock at most `seconds`; queries themselves have no limit."""
        self.limit_waits(session, seconds)

    def needs_autocommit(self, text: str) -> bool:
        """Whether SQLite refuses or ignores this statement inside a transaction."""
        return bool(re.match(r"\s*(?:VACUUM|PRAGMA|ATTACH|DETACH)\b", text, re.IGNORECASE))


def _kind(declared: str) -> Kind:
    upper = declared.upper()
    return next((kind for word, kind in _KINDS if word in upper), "text" if not upper else "unknown")


def _size(declared: str) -> int | None:
    match = re.search(r"CHAR\w*\s*\(\s*(\d+)", declared, re.IGNORECASE)
    return int(match.group(1)) if match else None


def _checks(sql: str) -> list[str]:
    """Return the expressions of CHECK constraints in a CREATE TABLE, found by their parentheses."""
    found = []
    for match in re.finditer(r"\bCHECK\s*\(", sql, re.IGNORECASE):
        depth, quoted = 1, False
        for position in range(match.end(), len(sql)):
            character = sql[position]
            quoted ^= character == "'"
            if not quoted and character in "()":
                depth += 1 if character == "(" else -1
                if depth == 0:
                    found.append(" ".join(sql[match.end() : position].split()))
                    break
    return found


class Probe:
    """Measures statements of one session: tables with a new root page, rows that were changed."""

    def __init__(self, session: SqliteSession) -> None:
        self._session = session
        self._roots: dict[str, int] = {}
        self._changes = 0
        self._schema = 0

    def transaction_began(self) -> None:
        """Nothing to forget."""

    def begin(self, *, transaction: bool) -> None:
        """Note the state before a statement."""
        del transaction
        self._roots = self._storage()
        self._changes = self._session.connection.total_changes
        self._schema = self._version()

    def end(self, *, transaction: bool, sampled: dict[str, str] | None = None) -> Cost:
        """Return what happened since `begin`; a writing statement keeps other writers out of every table."""
        del transaction, sampled
        after = self._storage()
        rewritten = tuple(sorted(name for name, root in after.items() if self._roots.get(name, root) != root))
        built = tuple(sorted(name for name in after.keys() - self._roots.keys()))
        written = self._session.connection.total_changes - self._changes
        wrote = bool(written or self._version() != self._schema)
        locks = tuple((name, "shared") for name in sorted(self._roots.keys() & after.keys())) if wrote else ()
        return Cost(locks, rewritten, built, None, written)

    def _version(self) -> int:
        return int(self._session.query("PRAGMA schema_version")[0][0])

    def _storage(self) -> dict[str, int]:
        return dict(
            self._session.query(
                "SELECT name, rootpage FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'"
            )
        )


class Sampler:
    """SQLite has no view of who waits; waits are told from the time that queries take."""

    def sample(self, at: float) -> tuple[tuple[Blocked, ...], dict[str, str]]:
        """Return nothing."""
        del at
        return (), {}
