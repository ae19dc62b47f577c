"""What a statement does to a schema, in words that hold for every engine.

The readers of each engine (`postgres.py`, `generic.py`) turn statements into these operations; the catalogue applies
them and the hazard rules judge them. One statement gives several operations where it does several things.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol, TypeVar, dataclass_transform

from senior_backend.migrate.values import value

if TYPE_CHECKING:
    from senior_backend.migrate.statements import Statement


_Class = TypeVar("_Class")


class Name(NamedTuple):
    """A name as it was written, without quotes; `schema` is None where the statement names none."""

    name: str
    schema: str | None = None

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}" if self.schema else self.name


class Expression(Protocol):
    """An expression of a statement; reading its parts is done when somebody asks."""

    @property
    def sql(self) -> str:
        """The expression as SQL."""

    @property
    def functions(self) -> frozenset[Name]:
        """The functions it calls."""

    @property
    def columns(self) -> frozenset[str]:
        """The columns it names."""

    @property
    def is_null(self) -> bool:
        """Whether it is the constant NULL."""


class Type(NamedTuple):
    """A data type: canonical `name` in lower case (`int4`, `varchar`, `bigserial`), and its modifiers.

    `modifiers` are length, precision and scale, or the labels of an ENUM or SET.
    """

    name: str
    modifiers: tuple[int | str, ...] = ()
    array: int = 0
    schema: str | None = None
    unsigned: bool = False
    charset: str | None = None

    def __str__(self) -> str:
        prefix = f"{self.schema}." if self.schema else ""
        modifiers = f"({', '.join(map(_modifier, self.modifiers))})" if self.modifiers else ""
        return f"{prefix}{self.name}{modifiers}{' unsigned' if self.unsigned else ''}{'[]' * self.array}"


def _modifier(value: int | str) -> str:
    return str(value) if isinstance(value, int) else "'" + value.replace("'", "''") + "'"


ConstraintKind = Literal["check", "foreign-key", "unique", "primary-key", "exclude", "not-null"]


@value
class Constraint:
    """A constraint; `columns` are the constrained ones, `references` the parent table of a foreign key.

    `valid` is False for NOT VALID; `using_index` names the index of ADD CONSTRAINT ... USING INDEX.
    """

    kind: ConstraintKind
    name: str | None = None
    columns: tuple[str, ...] = ()
    expression: Expression | None = None
    references: Name | None = None
    reference_columns: tuple[str, ...] = ()
    valid: bool = True
    using_index: str | None = None
    on_delete: str | None = None
    on_update: str | None = None
    deferrable: bool = False
    enforced: bool = True


Generated = Literal["stored", "virtual"]


@value
class Column:
    """A column; `constraints` are those written beside it. `identity` is `always` or `by default`.

    `type` is None where the statement or the catalogue does not tell. `said_null` is True where a definition of MySQL
    has NULL written out.
    """

    name: str
    type: Type | None
    not_null: bool = False
    default: Expression | None = None
    generated: Generated | None = None
    generation: Expression | None = None
    identity: str | None = None
    collation: str | None = None
    auto_increment: bool = False
    constraints: tuple[Constraint, ...] = ()
    on_update: str | None = None
    comment: str | None = None
    said_null: bool = False


class IndexColumn(NamedTuple):
    """One key of an index: a column, or an expression.

    `options` are collation, operator class and order where they are not the default ones, as SQL.
    """

    name: str | None
    expression: Expression | None = None
    length: int | None = None
    options: str = ""


class ColumnUse(NamedTuple):
    """A column that a query or a condition names; `column` is None for all of them (`*`).

    `sources` are what it may come from, one tuple a level of the query, the innermost first; None stands for a source
    that is no table.
    """

    column: str | None
    sources: tuple[tuple[Name | None, ...], ...]


class PartitionKey(NamedTuple):
    """How a table is partitioned: `range`, `list` or `hash`, by which columns (None for an expression)."""

    strategy: str
    columns: tuple[str | None, ...]


class PartitionBound(NamedTuple):
    """Which rows a partition holds: literals as written.

    `lower` and `upper` are the ends of a range, with None for MINVALUE and MAXVALUE; `values` those of a list, with
    None for NULL. `strategy` is `range`, `list`, `hash` or `default`.
    """

    strategy: str
    lower: tuple[str | None, ...] = ()
    upper: tuple[str | None, ...] = ()
    values: tuple[str | None, ...] = ()


@dataclass_transform(frozen_default=True, eq_default=False)
def _operation(cls: type[_Class]) -> type[_Class]:
    """Make a dataclass, equal only to itself, since each stands at its own place.

    It is frozen for the type checker alone: there are sixty of them, and what freezes them at run time as well is more
    than the rest of the linter takes to start.
    """
    return dataclass(slots=True, eq=False, repr=False)(cls)


@_operation
class Operation:
    """The base of all operations."""

    def __repr__(self) -> str:
        parts = (f"{part.name}={getattr(self, part.name)!r}" for part in fields(self))
        return f"{type(self).__name__}({', '.join(parts)})"


@_operation
class TableOperation(Operation):
    """An operation on one table."""

    table: Name


@_operation
class CreateTable(TableOperation):
    """CREATE TABLE, and CREATE TABLE AS or SELECT INTO (`from_query`)."""

    columns: tuple[Column, ...] = ()
    constraints: tuple[Constraint, ...] = ()
    indexes: tuple[CreateIndex, ...] = ()
    if_not_exists: bool = False
    temporary: bool = False
    partition_of: Name | None = None
    partitioned: bool = False
    partition_key: PartitionKey | None = None
    bound: PartitionBound | None = None
    like: tuple[Name, ...] = ()
    inherits: tuple[Name, ...] = ()
    from_query: bool = False
    charset: str | None = None
    collation: str | None = None
    engine: str | None = None
    foreign: bool = False


@_operation
class DropTable(TableOperation):
    """DROP TABLE; one operation a table."""

    if_exists: bool = False
    cascade: bool = False


@_operation
class RenameTable(TableOperation):
    """ALTER TABLE ... RENAME TO; `schema` is set where the table moves."""

    new_name: str
    schema: str | None = None


@_operation
class AddColumn(TableOperation):
    """ALTER TABLE ... ADD COLUMN; `position` is FIRST or AFTER x of MySQL."""

    column: Column
    if_not_exists: bool = False
    position: str | None = None


@_operation
class ColumnOperation(TableOperation):
    """An operation on one column."""

    column: str


@_operation
class DropColumn(ColumnOperation):
    """ALTER TABLE ... DROP COLUMN."""

    if_exists: bool = False
    cascade: bool = False


@_operation
class RenameColumn(ColumnOperation):
    """ALTER TABLE ... RENAME COLUMN."""

    new_name: str
    of_view: bool = False


@_operation
class AlterColumnType(ColumnOperation):
    """ALTER COLUMN ... TYPE."""

    type: Type
    using: Expression | None = None
    collation: str | None = None


@_operation
class ModifyColumn(ColumnOperation):
    """MODIFY or CHANGE COLUMN of MySQL and MariaDB: the whole definition is replaced."""

    definition: Column
    position: str | None = None


@_operation
class SetNotNull(ColumnOperation):
    """ALTER COLUMN ... SET NOT NULL."""


@_operation
class DropNotNull(ColumnOperation):
    """ALTER COLUMN ... DROP NOT NULL."""


@_operation
class SetDefault(ColumnOperation):
    """ALTER COLUMN ... SET DEFAULT."""

    default: Expression


@_operation
class DropDefault(ColumnOperation):
    """ALTER COLUMN ... DROP DEFAULT."""


IdentityAction = Literal["add", "set", "drop"]


@_operation
class AlterIdentity(ColumnOperation):
    """ALTER COLUMN ... ADD, SET or DROP IDENTITY."""

    action: IdentityAction


@_operation
class AlterGeneration(ColumnOperation):
    """ALTER COLUMN ... DROP EXPRESSION (`expression` is None) or SET EXPRESSION."""

    expression: Expression | None = None


@_operation
class AddConstraint(TableOperation):
    """ALTER TABLE ... ADD CONSTRAINT."""

    constraint: Constraint


@_operation
class ValidateConstraint(TableOperation):
    """ALTER TABLE ... VALIDATE CONSTRAINT."""

    name: str


@_operation
class DropConstraint(TableOperation):
    """ALTER TABLE ... DROP CONSTRAINT; `kind` where the statement tells (MySQL), `name` None for the primary key."""

    name: str | None
    kind: ConstraintKind | None = None
    if_exists: bool = False
    cascade: bool = False


@_operation
class CreateIndex(TableOperation):
    """CREATE INDEX; `name` is None where the engine chooses it. `kind` is fulltext or spatial (MySQL)."""

    name: str | None
    columns: tuple[IndexColumn, ...] = ()
    unique: bool = False
    concurrently: bool = False
    if_not_exists: bool = False
    only: bool = False
    method: str = "btree"
    where: Expression | None = None
    include: tuple[str, ...] = ()
    kind: str | None = None
    nulls_distinct: bool = True


@_operation
class DropIndex(Operation):
    """DROP INDEX; `table` where the statement names one (MySQL)."""

    index: Name
    table: Name | None = None
    concurrently: bool = False
    if_exists: bool = False
    cascade: bool = False


@_operation
class AttachIndex(Operation):
    """ALTER INDEX ... ATTACH PARTITION."""

    index: Name
    child: Name


ReindexKind = Literal["index", "table", "schema", "system", "database"]


@_operation
class Reindex(Operation):
    """REINDEX of an index, a table, a schema, the system catalogues or a database."""

    kind: ReindexKind
    name: Name | None
    concurrently: bool = False


@_operation
class RenameObject(Operation):
    """RENAME of something that is neither table nor column: `kind` is index, constraint, schema, type, view, ..."""

    kind: str
    name: Name
    new_name: str
    table: Name | None = None


@_operation
class SetSchema(Operation):
    """ALTER ... SET SCHEMA."""

    kind: str
    name: Name
    schema: str


@_operation
class CreateObject(Operation):
    """CREATE of something whose details no rule needs: `kind` is schema, extension, type, sequence, function, ...

    `volatility` is known for functions: volatile, stable or immutable. `replace` is OR REPLACE. `uses` are the columns
    that a rule or policy names.
    """

    kind: str
    name: Name | None
    replace: bool = False
    if_not_exists: bool = False
    volatility: str | None = None
    table: Name | None = None
    uses: tuple[ColumnUse, ...] = ()


@_operation
class DropObject(Operation):
    """DROP of anything but a table, a column, a constraint or an index."""

    kind: str
    name: Name
    if_exists: bool = False
    cascade: bool = False
    table: Name | None = None


@_operation
class AlterObject(Operation):
    """ALTER of something that is not a table; `action` says what (`owner`, `values`, `options`, ...)."""

    kind: str
    name: Name | None
    action: str
    table: Name | None = None


@_operation
class AlterTable(TableOperation):
    """An action on a table that has no operation of its own; `action` is its keyword in kebab-case.

    `detail` is what it is about: a name, the kind of a replica identity, `name=value` of storage parameters.
    """

    action: str
    detail: str | None = None


@_operation
class CreateEnum(Operation):
    """CREATE TYPE ... AS ENUM."""

    name: Name
    values: tuple[str, ...] = ()


@_operation
class AddEnumValue(Operation):
    """ALTER TYPE ... ADD VALUE; `placed` where BEFORE or AFTER is given."""

    name: Name
    value: str
    placed: bool = False
    if_not_exists: bool = False


@_operation
class RenameEnumValue(Operation):
    """ALTER TYPE ... RENAME VALUE."""

    name: Name
    old: str
    new: str


@_operation
class CreateDomain(Operation):
    """CREATE DOMAIN; `constrained` where it has NOT NULL or CHECK."""

    name: Name
    base: Type
    constrained: bool
    checks: tuple[Constraint, ...] = ()
    not_null: bool = False
    default: Expression | None = None


@_operation
class AlterDomain(Operation):
    """ALTER DOMAIN; `constraint` is what ADD CONSTRAINT adds, `action` is add, drop, validate, set-not-null, ..."""

    name: Name
    action: str
    constraint: Constraint | None = None
    constraint_name: str | None = None


@_operation
class AttachPartition(TableOperation):
    """ALTER TABLE parent ATTACH PARTITION child."""

    child: Name
    bound: PartitionBound | None = None


@_operation
class DetachPartition(TableOperation):
    """ALTER TABLE parent DETACH PARTITION child."""

    child: Name
    concurrently: bool = False
    finalize: bool = False


@_operation
class CreateTrigger(TableOperation):
    """CREATE TRIGGER; `uses` are the columns of UPDATE OF and WHEN, `function` is what it calls."""

    name: str
    function: Name | None = None
    uses: tuple[ColumnUse, ...] = ()


@_operation
class CreateView(Operation):
    """CREATE VIEW, or CREATE MATERIALIZED VIEW (`materialized`)."""

    name: Name
    materialized: bool = False
    replace: bool = False
    reads: tuple[Name, ...] = ()
    uses: tuple[ColumnUse, ...] = ()


@_operation
class RefreshView(Operation):
    """REFRESH MATERIALIZED VIEW."""

    name: Name
    concurrently: bool = False
    with_data: bool = True


@_operation
class Truncate(TableOperation):
    """TRUNCATE; one operation a table."""

    cascade: bool = False


@_operation
class Insert(TableOperation):
    """INSERT, REPLACE, COPY ... FROM or MERGE; `from_query` where a query gives the rows, `reads` are its tables."""

    from_query: bool = False
    reads: tuple[Name, ...] = ()


@_operation
class Update(TableOperation):
    """UPDATE; `filtered` where a WHERE clause (or a LIMIT) leaves rows out, `duplicates` are columns set twice."""

    filtered: bool
    columns: tuple[str, ...] = ()
    duplicates: tuple[str, ...] = ()


@_operation
class Delete(TableOperation):
    """DELETE; `filtered` where a WHERE clause (or a LIMIT) leaves rows out."""

    filtered: bool


@_operation
class Query(Operation):
    """A statement that only reads."""


@_operation
class LockTable(TableOperation):
    """LOCK TABLE; `mode` as pg_locks names it, or READ or WRITE of MySQL."""

    mode: str


@_operation
class LockServer(Operation):
    """FLUSH TABLES WITH READ LOCK of MySQL and MariaDB: nobody writes to any table of the server."""


@_operation
class Vacuum(Operation):
    """VACUUM, CLUSTER, ANALYZE and OPTIMIZE; `rewrites` for VACUUM FULL and the like. `table` None is all of them."""

    command: str
    table: Name | None
    rewrites: bool


TransactionKind = Literal["begin", "commit", "rollback", "savepoint", "release", "rollback-to", "prepare", "set"]


@_operation
class Transaction(Operation):
    """Transaction control."""

    kind: TransactionKind


@_operation
class SetVariable(Operation):
    """SET, PRAGMA and set_config; `local` for SET LOCAL. `value` is None for RESET and DEFAULT."""

    name: str
    value: str | None
    local: bool = False


@_operation
class Other(Operation):
    """A statement that is understood and touches no schema object that rules look at (COMMENT, GRANT, ...)."""

    kind: str


@_operation
class Opaque(Operation):
    """A statement, or part of one, that could not be understood; it is reported and never passed as safe."""

    reason: str
    offset: int | None = None


@_operation
class ParsedStatement:
    """A statement with what it does; `clauses` are MySQL's ALGORITHM and LOCK, upper case.

    `block` is true for operations read out of a DO block, which is one transaction by itself.
    """

    statement: Statement
    operations: tuple[Operation, ...]
    clauses: tuple[tuple[str, str], ...] = ()
    block: bool = False
