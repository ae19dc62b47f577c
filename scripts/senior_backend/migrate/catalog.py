"""A description of a database's schema, as far as hazard rules and rewrites need it.

It is built by replaying the statements of earlier migrations (`catalog_replay.py`) or read from a live database
(`catalog_live.py`). Columns, constraints and indexes are frozen; tables are changed in place, so that replaying costs
the same for every statement. Who needs an earlier state takes a `copy` before going on.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from senior_backend.migrate.operations import Column, Constraint, IndexColumn, Name, PartitionBound, PartitionKey, Type
from senior_backend.migrate.values import value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from senior_backend.migrate.operations import Expression
    from senior_backend.migrate.statements import Engine

TableKind = Literal["table", "partitioned", "view", "materialized-view", "foreign"]
DEFAULT_SCHEMA = "public"


@value
class Index:
    """An index; `columns` are its key columns (None for an expression), `mentioned` all that any part of it names.

    `backs` is the kind of the constraint that it serves; `valid` is False after a failed CREATE INDEX CONCURRENTLY.
    """

    name: str
    columns: tuple[str | None, ...]
    unique: bool = False
    valid: bool = True
    method: str = "btree"
    where: Expression | None = None
    mentioned: frozenset[str] = frozenset()
    backs: str | None = None
    on_parent_only: bool = False
    keys: tuple[IndexColumn, ...] = ()
    """Its keys whole, where they are known to be more than `columns`."""
    include: tuple[str, ...] = ()
    nulls_distinct: bool = True


@dataclass(frozen=True, slots=True)
class Dependent:
    """Something that PostgreSQL keeps as long as it names columns of a table; `columns` is None where it names all.

    `kind` is view, materialized-view, rule, policy or trigger.
    """

    kind: str
    name: Name
    columns: frozenset[str] | None

    def uses(self, column: str) -> bool:
        """Whether it names `column`."""
        return self.columns is None or column in self.columns


@dataclass(slots=True)
class Table:
    """A table, or a view.

    `complete` is False where statements touch a table that nothing has described: its columns are then those met so
    far. `unit` is the number of the migration that created it, None where that happened before all of them.
    `rows` is an estimate.
    """

    name: Name
    kind: TableKind = "table"
    columns: dict[str, Column] = field(default_factory=dict)
    constraints: dict[str, Constraint] = field(default_factory=dict)
    indexes: dict[str, Index] = field(default_factory=dict)
    complete: bool = True
    parent: Name | None = None
    partitions: set[Name] = field(default_factory=set)
    temporary: bool = False
    unit: int | None = None
    rows: int | None = None
    charset: str | None = None
    collation: str | None = None
    triggers: set[str] = field(default_factory=set)
    reads: tuple[Name, ...] = ()
    row_security: bool = False
    dependents: list[Dependent] = field(default_factory=list)
    trigger_functions: dict[str, Name] = field(default_factory=dict)
    partition_key: PartitionKey | None = None
    bound: PartitionBound | None = None

    def copy(self) -> Table:
        """Return a table that can be changed without changing this one."""
        return replace(
            self,
            columns=dict(self.columns),
            constraints=dict(self.constraints),
            indexes=dict(self.indexes),
            partitions=set(self.partitions),
            triggers=set(self.triggers),
            dependents=list(self.dependents),
            trigger_functions=dict(self.trigger_functions),
        )

    @property
    def primary_key(self) -> tuple[str, ...]:
        """The columns of the primary key, empty where it has none."""
        for constraint in self.constraints.values():
            if constraint.kind == "primary-key":
                return constraint.columns
        return ()

    def indexes_on(self, column: str) -> Iterator[Index]:
        """Yield the indexes that any part of names `column`."""
        for index in self.indexes.values():
            if column in index.mentioned:
                yield index

    def indexed_first(self, columns: tuple[str, ...]) -> bool:
        """Whether a valid index that holds all rows starts with `columns`, in any order among themselves."""
        wanted = set(columns)
        return any(
            index.valid
            and index.method in ("btree", "hash")
            and set(index.columns[: len(columns)]) == wanted
            and (index.where is None or _only_leaves_out_nulls(index.where, wanted))
            for index in self.indexes.values()
        )

    def proves_not_null(self, column: str) -> bool:
        """Whether a valid CHECK constraint says that `column` is not null."""
        return any(
            constraint.kind == "check"
            and constraint.valid
            and constraint.enforced
            and column in getattr(constraint.expression, "not_null_columns", ())
            for constraint in self.constraints.values()
        )


def _only_leaves_out_nulls(where: Expression, columns: set[str]) -> bool:
    """Whether a partial index still serves the check of a foreign key, which never looks for nulls."""
    return getattr(where, "not_null_columns", frozenset()) == frozenset(columns)


@dataclass(frozen=True, slots=True)
class Domain:
    """A domain; `constrained` where any CHECK or NOT NULL belongs to it.

    `checks` are their names with their conditions over VALUE; `known` is False where there may be others.
    """

    base: Type
    constrained: bool
    checks: Mapping[str, str] = field(default_factory=dict)
    not_null: bool = False
    default: Expression | None = None
    known: bool = True


def _beside(name: str, others: Mapping[str, str]) -> str:
    return name if name not in others else _beside(f"{name}_below", others)


@dataclass(slots=True)
class Catalog:
    """The schema of one database; `complete` where it was read whole, so that what it lacks does not exist.

    `settings` are those of the server that change what is dangerous, such as `lock_timeout`.
    """

    engine: Engine
    complete: bool = False
    tables: dict[tuple[str, str], Table] = field(default_factory=dict)
    enums: dict[str, tuple[str, ...]] = field(default_factory=dict)
    domains: dict[str, Domain] = field(default_factory=dict)
    functions: dict[str, str] = field(default_factory=dict)
    index_tables: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)
    referrers: dict[tuple[str, str], set[tuple[str, str]]] = field(default_factory=dict)
    views: set[tuple[str, str]] = field(default_factory=set)
    """Keys of the views whose sources are known."""
    search_path: tuple[str, ...] = (DEFAULT_SCHEMA,)
    settings: dict[str, str] = field(default_factory=dict)
    version: tuple[int, ...] | None = None
    server: str | None = None

    def copy(self) -> Catalog:
        """Return a catalogue that can be changed without changing this one."""
        return replace(
            self,
            tables={key: table.copy() for key, table in self.tables.items()},
            enums=dict(self.enums),
            domains=dict(self.domains),
            functions=dict(self.functions),
            index_tables=dict(self.index_tables),
            views=set(self.views),
            referrers={key: set(value) for key, value in self.referrers.items()},
            settings=dict(self.settings),
        )

    def fold(self, identifier: str) -> str:
        """Return an identifier in the case in which the engine compares it."""
        return identifier if self.engine == "postgresql" else identifier.lower()

    def key(self, name: Name) -> tuple[str, str]:
        """Return the key of a table in `tables`, looking along the search path where the name has no schema."""
        table, schema = name.name, name.schema
        if self.engine != "postgresql":
            table, schema = table.lower(), schema and schema.lower()
        if schema is not None:
            return schema, table
        for place in self.search_path:
            key = (place, table)
            if key in self.tables:
                return key
        return (self.search_path[0] if self.search_path else DEFAULT_SCHEMA), table

    def table(self, name: Name) -> Table | None:
        """Return a table or view, None where it is not known."""
        return self.tables.get(self.key(name))

    def column(self, table: Name, column: str) -> Column | None:
        """Return a column, None where it is not known."""
        found = self.table(table)
        return found.columns.get(self.fold(column)) if found else None

    def table_of_index(self, index: Name) -> Table | None:
        """Return the table to which an index belongs, None where that is not known."""
        folded = self.fold(index.name)
        schemas = (self.fold(index.schema),) if index.schema else (self.search_path or (DEFAULT_SCHEMA,))
        for schema in schemas:
            key = self.index_tables.get((schema, folded))
            if key is not None:
                return self.tables.get(key)
        return None

    def children(self, table: Name) -> list[Table]:
        """Return the tables whose foreign keys point at `table`, without itself."""
        key = self.key(table)
        found = (self.tables.get(child) for child in sorted(self.referrers.get(key, ())) if child != key)
        return [child for child in found if child is not None]

    def function_volatility(self, name: Name) -> str | None:
        """Return the declared volatility of a user's function, None where it is not known."""
        return self.functions.get(name.name)

    def is_constrained(self, type_: Type) -> bool:
        """Whether a type is a domain with a constraint."""
        domain = self.domains.get(type_.name)
        return domain is not None and domain.constrained

    def whole_domain(self, type_: Type) -> Domain | None:
        """Return a domain with all that the domains below it demand, None where that is not known."""
        domain = self.domains.get(type_.name)
        if domain is None or not domain.known or type_.array:
            return None
        if domain.base.name not in self.domains:
            return domain
        below = self.whole_domain(domain.base)
        return below and replace(
            domain,
            base=below.base,
            checks={**{_beside(name, domain.checks): one for name, one in below.checks.items()}, **domain.checks},
            not_null=domain.not_null or below.not_null,
            default=domain.default or below.default,
        )

    def describe(self) -> Mapping[str, int]:
        """Return how much of each kind is known."""
        return {
            "tables": len(self.tables),
            "columns": sum(len(table.columns) for table in self.tables.values()),
            "indexes": len(self.index_tables),
        }
