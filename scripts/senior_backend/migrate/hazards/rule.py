"""What a hazard rule is, and what it may look at."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from senior_backend.migrate.values import value

if TYPE_CHECKING:
    from senior_backend.console.report import Severity
    from senior_backend.migrate.catalog import Catalog, Table
    from senior_backend.migrate.operations import Column, CreateIndex, Name, Operation, ParsedStatement
    from senior_backend.migrate.statements import Engine

Effect = Literal["none", "scan", "rewrite", "fails"]
Group = Literal["default", "style", "policy"]


@dataclass(frozen=True, slots=True)
class Example:
    """SQL that a rule must report (`bad`) or must not (`good`); the tests run it on the engine itself.

    `setup` comes on top of the example schema and is taken as an earlier migration. `transaction` False sends one
    statement at a time. `effect` overrides that of the rule. `fails` says that the server refuses the example.
    `runs` False keeps an example from the server: it needs another version, or would drop what tests stand on.
    `engine` is set where an example is of one of the rule's engines only.
    """

    sql: str
    setup: str = ""
    transaction: bool = True
    version: tuple[int, ...] | None = None
    effect: Effect | None = None
    lock: str | None = None
    fails: bool = False
    runs: bool = True
    engine: Engine | None = None


@value
class Hazard:
    """One finding of one rule; `table` is the object it is about, `fix` the safe way with the user's names."""

    message: str
    fix: str
    table: str | None = None
    severity: Severity | None = None
    statement: ParsedStatement | None = None
    lock: str | None = None
    effect: Effect | None = None


Check = Callable[[Any, "Context"], Iterable[Hazard]]
Finish = Callable[["Context"], Iterable[Hazard]]


@dataclass(frozen=True, slots=True)
class Rule:
    """A hazard rule.

    `on` are the operations that `check` looks at, each before it is applied to the catalogue; `finish` looks at a
    whole file behind its last statement. `lock` is the strongest lock on a table in use, `effect` what happens under
    it. `since` and `before` bound the server versions where it holds: since <= version < before. Rules of the groups
    `style` and `policy` run only where they are asked for. `rollback` says whether the way back is checked too; where
    it is None, that is so for statements that scan, rewrite or fail.
    """

    id: str
    summary: str
    why: str
    catalogue: str
    severity: Severity
    bad: tuple[Example, ...]
    good: tuple[Example, ...]
    on: tuple[type[Operation], ...] = ()
    check: Check | None = None
    finish: Finish | None = None
    engines: tuple[Engine, ...] = ("postgresql",)
    lock: str | None = None
    effect: Effect = "none"
    group: Group = "default"
    rollback: bool | None = None
    since: tuple[int, ...] | None = None
    before: tuple[int, ...] | None = None

    @property
    def checks_rollback(self) -> bool:
        """Whether the way back of a migration is checked as well."""
        return self.effect != "none" if self.rollback is None else self.rollback

    def holds_for(self, version: tuple[int, ...] | None) -> bool:
        """Whether the rule applies to a server of `version`; where none is known, to any that is still maintained."""
        if version is None:
            return self.before is None or self.before > MAINTAINED.get(self.engines[0], (0,))
        return (self.since is None or version >= self.since) and (self.before is None or version < self.before)


MAINTAINED: dict[str, tuple[int, ...]] = {
    "postgresql": (14, 4),
    "mysql": (8, 0, 29),
    "mariadb": (10, 6),
    "sqlite": (3,),
}
"""The oldest versions that still get fixes: what an unknown server is taken for."""


BOOKKEEPING = frozenset(
    (
        *("schema_migrations", "ar_internal_metadata", "alembic_version", "django_migrations", "_prisma_migrations"),
        *("flyway_schema_history", "databasechangelog", "databasechangeloglock", "goose_db_version", "_db_migrate"),
        *("__efmigrationshistory", "atlas_schema_revisions", "__drizzle_migrations", "knex_migrations", "pgmigrations"),
        *("_db_migrate_ledger", "_sqlx_migrations", "phinxlog", "migrations_lock", "knex_migrations_lock"),
    )
)
"""Tables in which migration tools keep their own record: only the tool itself reads them."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One migration, as the linter sees it.

    `text` is that of the whole file with all that is not this migration blanked out, so that offsets hold.
    `transaction` says whether the runner wraps it in one transaction; None where nobody knows. `timeouts` is True
    where the runner itself sets lock timeouts. `lint` False only replays it. `rollback` is its way back: a down
    section, or a file of its own. `unreadable` says why there is no text to check, `unknown_rollback` why nobody can
    tell the way back that it has.
    """

    path: str
    text: str
    transaction: bool | None = None
    timeouts: bool = False
    lint: bool = True
    rollback: Unit | None = None
    unreadable: str | None = None
    unknown_rollback: str | None = None


@dataclass(slots=True)
class TransactionState:
    """What happened so far in the transaction to which a statement belongs; for autocommit, in the statement."""

    explicit: bool = False
    operations: list[tuple[Operation, ParsedStatement]] = field(default_factory=list)
    locks: dict[tuple[str, str], tuple[str, ParsedStatement]] = field(default_factory=dict)
    settings: dict[str, str | None] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    data: ParsedStatement | None = None
    """The first change of data."""


@dataclass(slots=True)
class Context:
    """What a rule may look at: the schema before the operation, and the migration around it."""

    catalog: Catalog
    unit: Unit
    number: int
    statements: list[ParsedStatement]
    version: tuple[int, ...] | None
    statement: ParsedStatement
    transaction: TransactionState
    in_transaction: bool | None
    """Whether the statement runs in a transaction with others; None where nobody knows."""
    position: int = 0
    settings: dict[str, str | None] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    """What a rule keeps for later statements of the same migration, under its own id."""
    added: set[tuple[tuple[str, str], str]] = field(default_factory=set)
    """Columns that this migration has added so far, with their tables."""
    undone: tuple[ParsedStatement, ...] = ()
    """The statements that a rollback undoes."""
    _created: set[tuple[str, str]] | None = None
    _renamed: dict[str, int] | None = None

    def is_new(self, table: Name) -> bool:
        """Whether a table was created by this migration (or is temporary): nobody uses it yet."""
        found = self.catalog.table(table)
        if found is not None and (found.unit == self.number or found.temporary):
            return True
        return table.name.lower() in BOOKKEEPING

    def added_here(self, table: Name, column: str) -> bool:
        """Whether an earlier statement of this migration added the column: no running code knows it."""
        return (self.catalog.key(table), self.catalog.fold(column)) in self.added

    def replaces_key(self, table: Name) -> bool:
        """Whether the statement also adds a primary key or unique constraint to the table."""
        from senior_backend.migrate import operations as ops

        return any(
            isinstance(step, ops.AddConstraint)
            and step.table == table
            and step.constraint.kind in ("primary-key", "unique")
            for step in self.statement.operations
        )

    def table(self, name: Name) -> Table | None:
        """Return the table as it is before the statement, None where it is not known."""
        return self.catalog.table(name)

    def column(self, table: Name, column: str) -> Column | None:
        """Return the column as it is before the statement, None where it is not known."""
        return self.catalog.column(table, column)

    def is_there(self, index: CreateIndex) -> bool:
        """Whether CREATE INDEX IF NOT EXISTS finds the index there, and does nothing."""
        if not index.if_not_exists or index.name is None:
            return False
        table = self.catalog.table(index.table)
        return table is not None and self.catalog.fold(index.name) in table.indexes

    def created_here(self, kind: str, name: Name) -> bool:
        """Whether this migration creates an object of that kind and name, before or after the statement."""
        if self._created is None:
            self._created = set(_created((*self.undone, *self.statements)))
        return (kind, self.catalog.fold(name.name)) in self._created

    def taken_over(self, kind: str, name: Name) -> bool:
        """Whether this migration gives an object of that kind the name, by CREATE or by RENAME."""
        from senior_backend.migrate import operations as ops

        return self.created_here(kind, name) or any(
            isinstance(step, ops.RenameObject) and (step.kind, step.new_name) == (kind, name.name)
            for parsed in self.statements
            for step in parsed.operations
        )

    def renamed_later(self, table: Name) -> bool:
        """Whether a later statement of this migration gives the name of `table` to another table."""
        if self._renamed is None:
            self._renamed = dict(_renamed(self.statements))
        return self._renamed.get(table.name.lower(), -1) >= self.position

    def has_lock_timeout(self) -> bool:
        """Whether waiting for a lock is bounded: by the runner, the session, the transaction or the server."""
        return self.unit.timeouts or self.setting("lock_timeout") not in (None, "0", "0s", "0ms")

    def setting(self, name: str) -> str | None:
        """Return a setting of the transaction, the session or the server; None where it is not known."""
        if name in self.transaction.settings:
            return self.transaction.settings[name]
        return self.settings.get(name, self.catalog.settings.get(name))

    def rows(self, table: Name) -> str:
        """Return ` (about N rows)` where an estimate is known, else nothing."""
        found = self.catalog.table(table)
        return f" (about {found.rows:,} rows)" if found is not None and found.rows else ""

    def at_least(self, *version: int) -> bool:
        """Whether the server is of this version or newer; one that is not known is taken for a maintained one."""
        known = self.version or MAINTAINED.get(self.catalog.engine, (0,))
        return known >= version


def _renamed(statements: Iterable[ParsedStatement]) -> Iterator[tuple[str, int]]:
    from senior_backend.migrate import operations as ops

    for position, statement in enumerate(statements):
        for operation in statement.operations:
            if isinstance(operation, ops.RenameTable):
                yield operation.new_name.lower(), position


def _created(statements: Iterable[ParsedStatement]) -> Iterator[tuple[str, str]]:
    from senior_backend.migrate import operations as ops

    for statement in statements:
        for operation in statement.operations:
            if isinstance(operation, ops.CreateView):
                yield "materialized-view" if operation.materialized else "view", operation.name.name
            elif isinstance(operation, ops.CreateObject) and operation.name is not None:
                yield operation.kind, operation.name.name
            elif isinstance(operation, ops.CreateTable):
                yield "table", operation.table.name
            elif isinstance(operation, (ops.CreateEnum, ops.CreateDomain)):
                yield "type", operation.name.name
            elif isinstance(operation, ops.CreateTrigger):
                yield "trigger", operation.name
            elif isinstance(operation, ops.CreateIndex) and operation.name is not None:
                yield "index", operation.name
