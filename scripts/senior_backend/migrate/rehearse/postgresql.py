"""PostgreSQL as a rehearsal needs it: connect, describe tables, load rows, and measure what a statement did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from senior_backend.migrate.rehearse import postgresql_queries as queries
from senior_backend.migrate.rehearse.fill import mentioned
from senior_backend.migrate.rehearse.model import Blocked, Column, Cost, ForeignKey, Kind, Table
from senior_backend.migrate.traits import traits

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

    from senior_backend.migrate.rehearse.model import Session, Value
    from senior_backend.migrate.statements import Engine

LOCK_STRENGTH = (
    "AccessShareLock",
    "RowShareLock",
    "RowExclusiveLock",
    "ShareUpdateExclusiveLock",
    "ShareLock",
    "ShareRowExclusiveLock",
    "ExclusiveLock",
    "AccessExclusiveLock",
)
"""Table lock modes, weakest first (PostgreSQL manual, 13.3.1)."""

_KINDS: dict[str, Kind] = {
    "bool": "boolean", "int2": "integer", "int4": "integer", "int8": "integer", "numeric": "decimal",
    "money": "decimal", "float4": "float", "float8": "float", "text": "text", "varchar": "text", "bpchar": "text",
    "name": "text", "citext": "text", "char": "text", "bytea": "bytes", "uuid": "uuid", "date": "date",
    "time": "time", "timetz": "time", "timestamp": "timestamp", "timestamptz": "timestamp", "interval": "interval",
    "json": "json", "jsonb": "json", "inet": "network", "cidr": "network", "macaddr": "mac", "macaddr8": "mac",
    "bit": "bits", "varbit": "bits", "tsvector": "text", "tsquery": "text", "xml": "text", "oid": "integer",
}  # fmt: skip
_BITS = {"int2": 16, "int4": 32, "int8": 64, "oid": 31}


class PostgresSession:
    """A psycopg connection in autocommit mode."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.identity = connection.info.backend_pid

    def query(self, sql: str, parameters: tuple[Value, ...] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; see `Session`."""
        cursor = self.connection.execute(sql, parameters) if parameters else self.connection.execute(sql)
        return cursor.fetchall() if cursor.description else []

    def close(self) -> None:
        """End the connection."""
        self.connection.close()


def connect(conninfo: str, name: str) -> PostgresSession:
    """Return a session on the database that `conninfo` names; `name` is what `pg_stat_activity` shows."""
    import psycopg

    connection = psycopg.connect(conninfo, autocommit=True, application_name=name, prepare_threshold=None)
    connection.add_notice_handler(lambda _: None)
    return PostgresSession(connection)


def describe(session: Session) -> tuple[Table, ...]:
    """Return the ordinary and partitioned tables of the database, without partitions and extension members."""
    columns: dict[int, list[Column]] = {}
    for row in session.query(queries.COLUMNS):
        columns.setdefault(row[0], []).append(_column(row[1:]))
    keys: dict[int, list[tuple[str, tuple[str, ...]]]] = {}
    for oid, kind, names in session.query(queries.KEYS):
        keys.setdefault(oid, []).append((kind, tuple(names)))
    checks: dict[int, list[str]] = {}
    for oid, expression in session.query(queries.CHECKS):
        checks.setdefault(oid, []).append(expression)
    parents: dict[int, list[ForeignKey]] = {}
    for oid, names, parent, parent_names in session.query(queries.FOREIGN_KEYS):
        parents.setdefault(oid, []).append(ForeignKey(tuple(names), parent, tuple(parent_names)))
    return tuple(
        Table(
            name=name,
            label=label,
            columns=tuple(columns.get(oid, ())),
            primary_key=next((names for kind, names in keys.get(oid, ()) if kind == "p"), ()),
            uniques=tuple(names for kind, names in keys.get(oid, ()) if kind == "u"),
            foreign_keys=tuple(parents.get(oid, ())),
            checks=tuple(checks.get(oid, ())),
        )
        for oid, name, label in session.query(queries.TABLES)
    )


def _column(row: tuple[Any, ...]) -> Column:
    name, formatted, base, category, modifier, not_null, default, generated, labels, element, element_kind, bound = row
    kind: Kind = _KINDS.get(base, "unknown")
    inner: Column | None = None
    if labels:
        kind = "enum"
    elif element_kind == "a" and element:
        kind, inner = "array", Column(name, element, _KINDS.get(element, "unknown"), bits=_BITS.get(element, 32))
    elif category == "r" and bound:
        kind, inner = "range", Column(name, bound, _KINDS.get(bound, "unknown"), bits=_BITS.get(bound, 32))
    size = precision = None
    scale = 2 if base in ("money", "numeric") else 0
    if base in ("varchar", "bpchar") and modifier > 4:
        size = modifier - 4
    elif base == "char":
        size = 1
    elif base in ("bit", "varbit"):
        size = modifier if modifier > 0 else 8
    elif base == "numeric" and modifier > 4:
        precision = (modifier - 4) >> 16 & 0xFFFF
        scale = (modifier - 4) & 0x7FF
        scale = scale - 0x800 if scale > 1000 else scale
        scale = max(scale, 0)
    return Column(
        name, formatted, kind, not_null, default, generated, size, precision, scale, _BITS.get(base, 32),
        tuple(labels or ()), inner,
    )  # fmt: skip


def fingerprint(session: Session) -> dict[str, str]:
    """Return every object of the user's schemas with its definition, in words that two databases can be compared by.

    Positions of columns are left out: a column that was dropped and added again comes last, and that is the same schema
    to every client that names its columns.
    """
    return {str(name): str(definition) for name, definition in session.query(queries.FINGERPRINT)}


def load(session: PostgresSession, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> int:
    """Load rows that satisfy the checks and keys of the table, drop the others, and return how many were kept.

    Without columns the rows are made of defaults alone, as in a table that has only an identity.
    """
    if not columns:
        with session.connection.cursor() as cursor:
            cursor.execute(f"INSERT INTO {table.name} SELECT FROM generate_series(1, {sum(1 for _ in rows)})")
            return cursor.rowcount
    names = ", ".join(quote(name) for name in columns)
    with session.connection.transaction(), session.connection.cursor() as cursor:
        cursor.execute(
            f"CREATE TEMPORARY TABLE rehearsed_rows ON COMMIT DROP AS SELECT {names} FROM {table.name} LIMIT 0"  # noqa: S608 - quoted names
        )
        with cursor.copy(f"COPY rehearsed_rows ({names}) FROM STDIN") as copy:
            for row in rows:
                copy.write_row(row)
        known = {column.name for column in table.columns}
        checks = " AND ".join(
            f"({check}) IS NOT FALSE" for check in table.checks if mentioned(check, known) <= set(columns)
        )
        cursor.execute(
            f"INSERT INTO {table.name} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM rehearsed_rows "  # noqa: S608
            f"WHERE {checks or 'true'} ON CONFLICT DO NOTHING"
        )
        return cursor.rowcount


def finish_loading(session: Session, tables: Sequence[Table]) -> None:
    """Move sequences past the loaded keys and gather statistics, as in a database that has lived."""
    for table in tables:
        for name, sequence in session.query(queries.SEQUENCES, (table.name,)):
            session.query(
                f"SELECT setval(%s, GREATEST((SELECT COALESCE(max({quote(name)}), 0) FROM {table.name}), 1))",  # noqa: S608
                (sequence,),
            )
        session.query(f"ANALYZE {table.name}")


def quote(name: str) -> str:
    """Return an identifier in double quotes."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class PostgresServer:
    """A scratch database on a PostgreSQL server; see `Server`."""

    conninfo: str
    label: str
    engine: Engine = "postgresql"
    placeholder: str = "%s"
    transactional: bool = True
    begin: str = "BEGIN"

    def connect(self, name: str) -> PostgresSession:
        """Return a new session."""
        return connect(self.conninfo, name)

    def describe(self, session: Session) -> tuple[Table, ...]:
        """Return the tables."""
        return describe(session)

    def fingerprint(self, session: Session) -> dict[str, str]:
        """Return every object and its definition."""
        return fingerprint(session)

    def load(self, session: Session, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> int:
        """Load rows and return how many the table kept."""
        assert isinstance(session, PostgresSession)
        return load(session, table, columns, rows)

    def finish_loading(self, session: Session, tables: Sequence[Table]) -> None:
        """Make the loaded tables look lived in."""
        finish_loading(session, tables)

    def sample(self, session: Session, table: Table, columns: Sequence[str], limit: int) -> list[tuple[Value, ...]]:
        """Return some rows as text."""
        names = ", ".join(f"{quote(name)}::text" for name in columns)
        return session.query(f"SELECT {names} FROM {table.name} LIMIT {int(limit)}")  # noqa: S608 - quoted by the server

    def probe(self, session: Session) -> Probe:
        """Return what measures statements of `session`."""
        return Probe(session)

    def sampler(self, session: Session, migration: int) -> Sampler:
        """Return what watches the session `migration` from `session`."""
        return Sampler(session, migration)

    def quote(self, name: str) -> str:
        """Return a quoted identifier."""
        return quote(name)

    def limit_waits(self, session: Session, seconds: float) -> None:
        """Give up waiting for a lock after `seconds`."""
        session.query(f"SET lock_timeout = {int(seconds * 1000)}")

    def limit_queries(self, session: Session, seconds: float) -> None:
        """End queries after `seconds`."""
        session.query(f"SET statement_timeout = {int(seconds * 1000)}")

    def needs_autocommit(self, text: str) -> bool:
        """Whether the server refuses this statement inside a transaction."""
        return traits(text, "postgresql").alone


class Probe:
    """Measures statements of one session: storage that changed, rows that were scanned, locks that are held."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._files: dict[str, int] = {}
        self._read = (0, 0)
        self._held: dict[str, str] = {}

    def begin(self, *, transaction: bool) -> None:
        """Note the state before a statement; `transaction` says whether one is open around it."""
        self._files = dict(self._session.query(queries.STORAGE))
        self._read = self._rows() if transaction else (0, 0)

    def transaction_began(self) -> None:
        """Forget the locks of the transaction before."""
        self._held = {}

    def end(self, *, transaction: bool, sampled: dict[str, str] | None = None) -> Cost:
        """Return what happened since `begin`; outside a transaction the locks are those that were `sampled`."""
        after: dict[str, int] = dict(self._session.query(queries.STORAGE))
        rewritten = tuple(sorted(name for name, file in after.items() if self._files.get(name, file) != file))
        indexes = {name for (name,) in self._session.query(queries.INDEXES)}
        built = tuple(sorted(name for name in after if name not in self._files and name in indexes))
        if not transaction:
            return Cost(tuple(sorted((sampled or {}).items())), rewritten, built, None)
        read, written = (now - before for now, before in zip(self._rows(), self._read, strict=True))
        held = strongest((name, mode) for name, mode in self._session.query(queries.LOCKS, (self._session.identity,)))
        new = {name: mode for name, mode in held.items() if self._held.get(name) != mode}
        self._held = held
        return Cost(tuple(sorted(new.items())), rewritten, built, read, written)

    def _rows(self) -> tuple[int, int]:
        ((read, written),) = self._session.query(queries.ROWS)
        return int(read), int(written)


def strongest(locks: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the strongest mode for each relation."""
    modes: dict[str, str] = {}
    for name, mode in locks:
        if mode in LOCK_STRENGTH and (
            name not in modes or LOCK_STRENGTH.index(mode) > LOCK_STRENGTH.index(modes[name])
        ):
            modes[name] = mode
    return modes


class Sampler:
    """Asks, from a connection of its own, who waits for whom and what the migration holds."""

    def __init__(self, session: Session, migration: int) -> None:
        self._session = session
        self._migration = migration

    def sample(self, at: float) -> tuple[tuple[Blocked, ...], dict[str, str]]:
        """Return the sessions that wait now, and the locks that the migration holds."""
        waiting = tuple(
            Blocked(at, waiter, blocker, relation or "", mode or "")
            for waiter, blockers, relation, mode in self._session.query(queries.WAITERS)
            for blocker in blockers
        )
        return waiting, strongest((name, mode) for name, mode in self._session.query(queries.LOCKS, (self._migration,)))
