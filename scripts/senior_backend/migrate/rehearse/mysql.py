"""MySQL and MariaDB as a rehearsal needs them. Their DDL commits by itself, so every statement stands alone."""

from __future__ import annotations

import contextlib
import itertools
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from senior_backend.migrate.rehearse.fill import mentioned
from senior_backend.migrate.rehearse.model import Blocked, Column, Cost, ForeignKey, Kind, Table

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import pymysql

    from senior_backend.migrate.rehearse.model import Session, Value
    from senior_backend.migrate.statements import Engine

ROWS_IN_ONE_INSERT = 500
_KINDS: dict[str, Kind] = {
    "tinyint": "integer", "smallint": "integer", "mediumint": "integer", "int": "integer", "bigint": "integer",
    "decimal": "decimal", "float": "float", "double": "float", "char": "text", "varchar": "text", "text": "text",
    "tinytext": "text", "mediumtext": "text", "longtext": "text", "date": "date", "time": "time",
    "datetime": "timestamp", "timestamp": "timestamp", "json": "json", "enum": "enum", "year": "integer",
    "uuid": "uuid", "inet4": "network",
}  # fmt: skip
_BITS = {"tinyint": 8, "smallint": 16, "mediumint": 24, "int": 32, "bigint": 64, "year": 8}
_TABLE = re.compile(r"\b(?:FROM|INTO|UPDATE)\s+`?(?:\w+`?\.`?)?(\w+)`?", re.IGNORECASE)


class MysqlSession:
    """A PyMySQL connection in autocommit mode."""

    def __init__(self, connection: pymysql.Connection[Any]) -> None:
        self.connection = connection
        self.identity = int(connection.thread_id())  # type: ignore[no-untyped-call]
        self.affected = 0

    def query(self, sql: str, parameters: tuple[Value, ...] = ()) -> list[tuple[Any, ...]]:
        """Run one statement; see `Session`."""
        with self.connection.cursor() as cursor:
            cursor.execute(sql, parameters or None)
            self.affected = max(int(cursor.rowcount), 0)
            return list(cursor.fetchall()) if cursor.description else []

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(Exception):
            self.connection.close()


@dataclass(frozen=True, slots=True)
class MysqlServer:
    """A scratch database on a MySQL or MariaDB server; see `Server`."""

    engine: Engine
    label: str
    options: Mapping[str, Any] = field(repr=False)
    placeholder: str = "%s"
    transactional: bool = False
    begin: str = "BEGIN"

    def connect(self, name: str) -> MysqlSession:
        """Return a new session."""
        import pymysql

        return MysqlSession(pymysql.connect(**self.options, autocommit=True, program_name=name))

    def describe(self, session: Session) -> tuple[Table, ...]:
        """Return the tables."""
        columns: dict[str, list[Column]] = {}
        for row in session.query(_COLUMNS):
            columns.setdefault(row[0], []).append(_column(row))
        keys: dict[str, dict[str, list[str]]] = {}
        for table, index, name in session.query(_KEYS):
            keys.setdefault(table, {}).setdefault(index, []).append(name)
        parents: dict[str, dict[str, list[tuple[str, str, str]]]] = {}
        for table, constraint, name, parent, parent_name in session.query(_FOREIGN_KEYS):
            parents.setdefault(table, {}).setdefault(constraint, []).append((name, parent, parent_name))
        checks: dict[str, list[str]] = {}
        with contextlib.suppress(Exception):
            for table, clause in session.query(_CHECKS):
                checks.setdefault(table, []).append(clause)
        return tuple(
            Table(
                name=self.quote(label),
                label=label,
                columns=tuple(_json(column, checks.get(label, ())) for column in columns.get(label, ())),
                primary_key=tuple(keys.get(label, {}).get("PRIMARY", ())),
                uniques=tuple(tuple(names) for index, names in keys.get(label, {}).items() if index != "PRIMARY"),
                foreign_keys=tuple(
                    ForeignKey(tuple(one[0] for one in parts), self.quote(parts[0][1]), tuple(one[2] for one in parts))
                    for parts in parents.get(label, {}).values()
                ),
                checks=tuple(checks.get(label, ())),
            )
            for (label,) in session.query(_TABLES)
        )

    def fingerprint(self, session: Session) -> dict[str, str]:
        """Return every object and its definition, line by line of SHOW CREATE."""
        found: dict[str, str] = {}
        for name, kind in session.query("SHOW FULL TABLES"):
            row = session.query(f"SHOW CREATE TABLE {self.quote(name)}")[0]
            if kind == "VIEW":
                found[f"view {name}"] = row[1]
                continue
            for line in row[1].splitlines():
                text = re.sub(r" AUTO_INCREMENT=\d+", "", line.strip().rstrip(","))
                if text.startswith("CREATE TABLE"):
                    continue
                subject = re.match(r"(?:(?:UNIQUE |FULLTEXT |SPATIAL )?KEY |CONSTRAINT )?`[^`]+`", text)
                found[f"table {name}: {subject.group() if subject else text.split(' ')[0]}"] = text
        for name, statement, table, timing, event in session.query(_TRIGGERS):
            found[f"trigger {table}.{name}"] = f"{timing} {event} {statement}"
        for kind, name, body in session.query(_ROUTINES):
            found[f"{str(kind).lower()} {name}"] = str(body)
        return found

    def load(self, session: Session, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> int:
        """Load rows and return how many the table kept."""
        assert isinstance(session, MysqlSession)
        names = ", ".join(map(self.quote, columns))
        one = f"({', '.join(['%s'] * len(columns))})"
        source = iter(rows)
        session.query("DROP TEMPORARY TABLE IF EXISTS rehearsed_rows")
        session.query(f"CREATE TEMPORARY TABLE rehearsed_rows AS SELECT {names} FROM {table.name} LIMIT 0")  # noqa: S608 - quoted names
        session.query("BEGIN")
        while batch := list(itertools.islice(source, ROWS_IN_ONE_INSERT)):
            sql = f"INSERT INTO rehearsed_rows VALUES {', '.join([one] * len(batch))}"  # noqa: S608 - placeholders
            session.query(sql, tuple(_text(value) for row in batch for value in row))
        known = {column.name for column in table.columns}
        checks = " AND ".join(
            f"COALESCE(({check}), TRUE)" for check in table.checks if mentioned(check, known) <= set(columns)
        )
        # One row that breaks a CHECK ends an INSERT IGNORE of many, so such rows are left out before.
        session.query(
            f"INSERT IGNORE INTO {table.name} ({names}) SELECT {names} FROM rehearsed_rows WHERE {checks or 'TRUE'}"  # noqa: S608 - quoted names
        )
        kept = session.affected
        session.query("COMMIT")
        session.query("DROP TEMPORARY TABLE rehearsed_rows")
        return kept

    def finish_loading(self, session: Session, tables: Sequence[Table]) -> None:
        """Gather statistics."""
        for table in tables:
            session.query(f"ANALYZE TABLE {table.name}")

    def sample(self, session: Session, table: Table, columns: Sequence[str], limit: int) -> list[tuple[Value, ...]]:
        """Return some rows."""
        names = ", ".join(map(self.quote, columns))
        return session.query(f"SELECT {names} FROM {table.name} LIMIT {int(limit)}")  # noqa: S608 - quoted names

    def probe(self, session: Session) -> Probe:
        """Return what measures statements of `session`."""
        assert isinstance(session, MysqlSession)
        return Probe(session)

    def sampler(self, session: Session, migration: int) -> Sampler:
        """Return what watches the session `migration` from `session`."""
        return Sampler(session, migration)

    def quote(self, name: str) -> str:
        """Return a quoted identifier."""
        return "`" + name.replace("`", "``") + "`"

    def limit_waits(self, session: Session, seconds: float) -> None:
        """Give up waiting for a lock after `seconds`."""
        whole = max(int(seconds), 1)
        session.query(f"SET SESSION lock_wait_timeout = {whole}, innodb_lock_wait_timeout = {whole}")

    def limit_queries(self, session: Session, seconds: float) -> None:
        """End queries after `seconds`."""
        if self.engine == "mariadb":
            session.query(f"SET SESSION max_statement_time = {seconds}")
        else:
            session.query(f"SET SESSION max_execution_time = {int(seconds * 1000)}")

    def needs_autocommit(self, text: str) -> bool:
        """Whether the server refuses this statement inside a transaction; it commits instead."""
        del text
        return True


def _text(value: Value) -> Value:
    """Return a value in MySQL's spelling: it has no true and false of its own, and writes bytes otherwise."""
    return {"true": 1, "false": 0}.get(value, value) if isinstance(value, str) else value


def _column(row: tuple[Any, ...]) -> Column:
    _, name, data_type, column_type, nullable, default, extra, length, precision, scale, _ = row
    kind: Kind = _KINDS.get(data_type, "unknown")
    if column_type == "tinyint(1)":
        kind = "boolean"
    labels = tuple(
        text.replace("''", "'") for text in re.findall(r"'((?:[^']|'')*)'", column_type)
    ) if data_type in ("enum", "set") else ()  # fmt: skip
    extra = (extra or "").lower()
    return Column(
        name, column_type, kind, nullable == "NO",
        default is not None or "auto_increment" in extra or nullable == "YES",
        "generated" in extra and "default_generated" not in extra, int(length) if length and length < 4000 else None,
        int(precision) if precision else None, int(scale or 0), _BITS.get(data_type, 32), labels,
    )  # fmt: skip


def _json(column: Column, checks: Sequence[str]) -> Column:
    """Return the column as JSON where a CHECK says so: MariaDB keeps JSON as text with json_valid."""
    valid = any("json_valid" in check.lower() and f"`{column.name}`" in check for check in checks)
    return replace(column, kind="json") if valid else column


class Probe:
    """Measures statements of one session: tables that were built anew, rows that were copied or read."""

    def __init__(self, session: MysqlSession) -> None:
        self._session = session
        self._tables: dict[str, str] = {}
        self._read = 0

    def transaction_began(self) -> None:
        """Nothing is held across statements."""

    def begin(self, *, transaction: bool) -> None:
        """Note the state before a statement."""
        del transaction
        self._tables = self._storage()
        self._read = self._scanned()

    def end(self, *, transaction: bool, sampled: dict[str, str] | None = None) -> Cost:
        """Return what happened since `begin`; the locks are those that others were seen to wait for."""
        del transaction
        affected = self._session.affected
        read = self._scanned() - self._read
        after = self._storage()
        rewritten = tuple(sorted(name for name, one in after.items() if self._tables.get(name, one) != one))
        return Cost(
            tuple(sorted((sampled or {}).items())), rewritten, (), max(read, affected if rewritten else 0), affected
        )

    def _scanned(self) -> int:
        return sum(int(value) for _, value in self._session.query("SHOW SESSION STATUS LIKE 'Handler_read_rnd_next'"))

    def _storage(self) -> dict[str, str]:
        for source in ("INNODB_SYS_TABLES", "INNODB_TABLES"):
            with contextlib.suppress(Exception):
                rows = self._session.query(
                    f"SELECT NAME, TABLE_ID FROM information_schema.{source} WHERE NAME LIKE CONCAT(DATABASE(), '/%')"  # noqa: S608 - a constant
                )
                return {str(name).partition("/")[2]: str(identity) for name, identity in rows}
        return {}


class Sampler:
    """Asks who waits for a metadata or row lock; the server does not say for whom, but the migration locks longest."""

    def __init__(self, session: Session, migration: int) -> None:
        self._session = session
        self._migration = migration

    def sample(self, at: float) -> tuple[tuple[Blocked, ...], dict[str, str]]:
        """Return the sessions that wait now, and what the migration keeps out of which table."""
        rows = self._session.query(_WAITERS)
        waiting: list[Blocked] = []
        held: dict[str, str] = {}
        for identity, _, info in rows:
            if identity == self._migration:
                continue
            match = _TABLE.search(info or "")
            relation = match.group(1) if match else ""
            mode = "exclusive" if (info or "").lstrip().upper().startswith("SELECT") else "shared"
            waiting.append(Blocked(at, identity, self._migration, relation, mode))
            if relation and held.get(relation) != "exclusive":
                held[relation] = mode
        return tuple(waiting), held


_TABLES = """
SELECT TABLE_NAME FROM information_schema.TABLES
WHERE TABLE_SCHEMA = DATABASE() AND TABLE_TYPE = 'BASE TABLE' ORDER BY TABLE_NAME"""
_COLUMNS = """
SELECT TABLE_NAME, COLUMN_NAME, DATA_TYPE, COLUMN_TYPE, IS_NULLABLE, COLUMN_DEFAULT, EXTRA, CHARACTER_MAXIMUM_LENGTH,
       NUMERIC_PRECISION, NUMERIC_SCALE, ORDINAL_POSITION
FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = DATABASE() ORDER BY TABLE_NAME, ORDINAL_POSITION"""
_KEYS = """
SELECT TABLE_NAME, INDEX_NAME, COLUMN_NAME FROM information_schema.STATISTICS
WHERE TABLE_SCHEMA = DATABASE() AND NON_UNIQUE = 0 AND COLUMN_NAME IS NOT NULL
ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"""
_FOREIGN_KEYS = """
SELECT TABLE_NAME, CONSTRAINT_NAME, COLUMN_NAME, REFERENCED_TABLE_NAME, REFERENCED_COLUMN_NAME
FROM information_schema.KEY_COLUMN_USAGE
WHERE TABLE_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME IS NOT NULL
ORDER BY TABLE_NAME, CONSTRAINT_NAME, ORDINAL_POSITION"""
_CHECKS = """
SELECT t.TABLE_NAME, c.CHECK_CLAUSE FROM information_schema.CHECK_CONSTRAINTS c
JOIN information_schema.TABLE_CONSTRAINTS t
  ON t.CONSTRAINT_SCHEMA = c.CONSTRAINT_SCHEMA AND t.CONSTRAINT_NAME = c.CONSTRAINT_NAME
WHERE c.CONSTRAINT_SCHEMA = DATABASE() AND t.CONSTRAINT_TYPE = 'CHECK'"""
_TRIGGERS = """
SELECT TRIGGER_NAME, ACTION_STATEMENT, EVENT_OBJECT_TABLE, ACTION_TIMING, EVENT_MANIPULATION
FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = DATABASE()"""
_ROUTINES = """
SELECT ROUTINE_TYPE, ROUTINE_NAME, ROUTINE_DEFINITION FROM information_schema.ROUTINES
WHERE ROUTINE_SCHEMA = DATABASE()"""
_WAITERS = """
SELECT ID, STATE, INFO FROM information_schema.PROCESSLIST
WHERE DB = DATABASE() AND STATE LIKE 'Waiting for%lock%'"""
