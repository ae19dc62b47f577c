"""What a rehearsal knows about a database, and what it observed; plain data that flows between its stages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from senior_backend.migrate.rehearse.batches import Batches
    from senior_backend.migrate.statements import Engine

Kind = Literal[
    "boolean", "integer", "decimal", "float", "text", "bytes", "uuid", "date", "time", "timestamp", "interval",
    "json", "enum", "array", "network", "mac", "bits", "range", "unknown",
]  # fmt: skip
Value = str | int | None
"""A value as the server's text form; integers stay integers because SQLite does not convert them."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `size` is the length limit of text and bits, `precision` and `scale` those of decimals."""

    name: str
    type: str
    kind: Kind
    not_null: bool = False
    has_default: bool = False
    generated: bool = False
    """Computed by the server, so that no value may be given (generated columns, GENERATED ALWAYS AS IDENTITY)."""
    size: int | None = None
    precision: int | None = None
    scale: int = 0
    bits: int = 32
    """Width of an integer column."""
    labels: tuple[str, ...] = ()
    """Labels of an enum."""
    element: Column | None = None
    """The element of an array, or the bound of a range."""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns of a table that name a row of `parent`."""

    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """One table. `name` is quoted and qualified as the server wants it; `label` is what people read."""

    name: str
    label: str
    columns: tuple[Column, ...]
    primary_key: tuple[str, ...] = ()
    uniques: tuple[tuple[str, ...], ...] = ()
    foreign_keys: tuple[ForeignKey, ...] = ()
    checks: tuple[str, ...] = ()
    """Expressions that every row satisfies or leaves NULL."""

    def column(self, name: str) -> Column:
        """Return the column `name`.

        Raises:
            KeyError: there is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)

    @property
    def writable(self) -> tuple[Column, ...]:
        """Columns that take a value from the client."""
        return tuple(column for column in self.columns if not column.generated)


class Session(Protocol):
    """A connection in autocommit mode; transactions are begun and ended by statements."""

    identity: int
    """What the server calls this connection (process id, thread id)."""

    def query(self, sql: str, parameters: tuple[Value, ...] = ()) -> list[tuple[Any, ...]]:
        """Run one statement and return its rows (none for a statement without a result)."""

    def close(self) -> None:
        """End the connection."""


class Probe(Protocol):
    """Measures the statements of one session."""

    def transaction_began(self) -> None:
        """Forget what was held before."""

    def begin(self, *, transaction: bool) -> None:
        """Note the state before a statement."""

    def end(self, *, transaction: bool, sampled: dict[str, str] | None = None) -> Cost:
        """Return what happened since `begin`."""


class Sampler(Protocol):
    """Watches the session of the migration from a connection of its own."""

    def sample(self, at: float) -> tuple[tuple[Blocked, ...], dict[str, str]]:
        """Return the sessions that wait now, and the table locks that the migration holds."""


class Server(Protocol):
    """A scratch database and everything in which engines differ."""

    @property
    def engine(self) -> Engine:
        """`postgresql`, `mysql`, `mariadb` or `sqlite`."""

    @property
    def label(self) -> str:
        """Product and version."""

    @property
    def placeholder(self) -> str:
        """How a parameter is written."""

    @property
    def transactional(self) -> bool:
        """Whether schema changes can be part of a transaction."""

    @property
    def begin(self) -> str:
        """The statement that begins a transaction."""

    def connect(self, name: str) -> Session:
        """Return a new session."""

    def describe(self, session: Session) -> tuple[Table, ...]:
        """Return the tables."""

    def fingerprint(self, session: Session) -> dict[str, str]:
        """Return every object and its definition, in words by which two databases can be compared."""

    def load(self, session: Session, table: Table, columns: Sequence[str], rows: Iterable[Sequence[Value]]) -> int:
        """Load rows, drop those that break a constraint, and return how many were kept."""

    def finish_loading(self, session: Session, tables: Sequence[Table]) -> None:
        """Make the loaded tables look lived in (statistics, sequences)."""

    def sample(self, session: Session, table: Table, columns: Sequence[str], limit: int) -> list[tuple[Value, ...]]:
        """Return some rows in the form that parameters take."""

    def probe(self, session: Session) -> Probe:
        """Return what measures statements of `session`."""

    def sampler(self, session: Session, migration: int) -> Sampler:
        """Return what watches the session `migration` from `session`."""

    def quote(self, name: str) -> str:
        """Return a quoted identifier."""

    def limit_waits(self, session: Session, seconds: float) -> None:
        """Make the session give up waiting for a lock after `seconds`."""

    def limit_queries(self, session: Session, seconds: float) -> None:
        """Make the server end queries of the session after `seconds`, where it can."""

    def needs_autocommit(self, text: str) -> bool:
        """Whether the server refuses this statement inside a transaction."""


@dataclass(frozen=True, slots=True)
class Blocked:
    """At `at` (seconds on the rehearsal's clock) `waiter` waited for `blocker` to release `relation`."""

    at: float
    waiter: int
    blocker: int
    relation: str
    mode: str


@dataclass(frozen=True, slots=True)
class Cost:
    """What one statement did to the database, as far as the server tells."""

    locks: tuple[tuple[str, str], ...] = ()
    """(relation, lock mode) taken by this statement, strongest mode only."""
    rewritten: tuple[str, ...] = ()
    """Tables and indexes whose storage was written anew."""
    built: tuple[str, ...] = ()
    """Indexes that were built over rows."""
    rows_read: int | None = None
    """Rows read by sequential scans; None where the server does not say."""
    rows_written: int | None = None
    """Rows inserted, updated or deleted; None where the server does not say."""


Direction = Literal["up", "down", "again"]


@dataclass(frozen=True, slots=True)
class Step:
    """One statement of a migration file."""

    file: str
    line: int
    column: int
    text: str
    batches: Batches | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """One migration file, ready to run.

    `down` is None where there is no way back; `unknown_down` says why, where there may be one that nobody can tell.
    """

    file: str
    transactional: bool
    up: tuple[Step, ...]
    down_transactional: bool
    down: tuple[Step, ...] | None
    unknown_down: str | None = None


@dataclass(frozen=True, slots=True)
class StatementRun:
    """One statement of the rehearsed migrations, with the time it ran and what it cost."""

    step: Step
    direction: Direction
    transaction: int
    """Number of the transaction it ran in."""
    started: float
    ended: float
    cost: Cost = Cost()
    error: str | None = None
    released: float = 0.0
    """When its locks were given back: the end of the transaction."""

    @property
    def seconds(self) -> float:
        """How long the statement ran."""
        return self.ended - self.started


@dataclass(frozen=True, slots=True)
class QueryRun:
    """One query of the workload."""

    started: float
    ended: float
    session: int
    kind: str
    """`read`, `page`, `insert`, `update` or `delete`."""
    table: str
    error: str | None = None

    @property
    def seconds(self) -> float:
        """How long the query took."""
        return self.ended - self.started


@dataclass(frozen=True, slots=True)
class Wait:
    """A query of the workload that waited for a statement of the migration."""

    query: QueryRun
    statement: int | None
    """Index of the statement it waited for; None where nothing was seen to block it."""
    relation: str = ""
    mode: str = ""


@dataclass(frozen=True, slots=True)
class Filled:
    """How many rows a table got, and why not more."""

    table: str
    rows: int
    seconds: float
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class Difference:
    """One object that differs between two states of a schema."""

    object: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class RoundTrip:
    """What became of the schema after down, and after up again."""

    outcome: Literal["same", "different", "irreversible", "unknown", "failed", "skipped"] = "skipped"
    differences: tuple[Difference, ...] = ()
    error: str | None = None
    """Why it failed, or why it is not known."""


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Everything that was observed."""

    engine: str
    server: str
    rows: int
    files: tuple[str, ...]
    statements: tuple[StatementRun, ...]
    queries: tuple[QueryRun, ...] = ()
    waits: tuple[Wait, ...] = ()
    filled: tuple[Filled, ...] = ()
    unusable: tuple[tuple[str, str, str], ...] = ()
    """(table, kind of query, reason) of workload queries that failed before the migration already."""
    touched: tuple[str, ...] = ()
    fixed: tuple[float, ...] = ()
    """Seconds that each statement of `up` took on empty tables."""
    typical: float = 0.0
    """Median seconds of a query before the migration began."""
    began: float = 0.0
    ended: float = 0.0
    """When the first statement of `up` was sent, and when the last transaction ended."""
    down: RoundTrip = RoundTrip()
    again: RoundTrip = RoundTrip()
    lost_rows: tuple[tuple[str, int, int], ...] = ()
    """(table, rows before, rows after) where down and up again lost rows."""

    @property
    def up(self) -> tuple[StatementRun, ...]:
        """The statements of the way up, in order."""
        return tuple(run for run in self.statements if run.direction == "up")
