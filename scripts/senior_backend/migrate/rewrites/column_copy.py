"""A second column that takes the place of a first one, with all that hangs on it: for type changes and renames."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from senior_backend.migrate.rewrites import parts
from senior_backend.migrate.rewrites.constraints import reference
from senior_backend.migrate.rewrites.model import Step
from senior_backend.migrate.rewrites.sql import (
    ident,
    in_schema,
    literal,
    made,
    names,
    rename_column,
    table_name,
)

if TYPE_CHECKING:
    from senior_backend.migrate.catalog import Index, Table
    from senior_backend.migrate.operations import Constraint, Name
    from senior_backend.migrate.rewrites.model import Context


@dataclass(frozen=True, slots=True)
class Columns:
    """The column, the copy that replaces it, and what the switch calls the copy."""

    table: Table
    name: Name
    column: str
    copy: str
    final: str


@dataclass(slots=True)
class Dependents:
    """Statements that give the copy what the original has.

    `build` runs beside the application, each statement its own transaction. `detach` and `attach` run in one
    transaction with the switch: constraints leave the original, then join the copy (by then called `final`).
    `validate` follows the switch. `detach_back` and `attach_back` do the same on the way back.
    """

    tables: set[str]
    build: list[Step] = field(default_factory=list)
    detach: list[str] = field(default_factory=list)
    attach: list[str] = field(default_factory=list)
    validate: list[str] = field(default_factory=list)
    detach_back: list[str] = field(default_factory=list)
    attach_back: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def dependents(columns: Columns, context: Context) -> Dependents:
    """Return what moves everything that hangs on a column to its copy."""
    table, name = columns.table, columns.name
    found = Dependents({str(name)})
    # Before any key: a column of a primary key has to be NOT NULL; the trigger keeps the copy filled.
    if table.columns[columns.column].not_null:
        found.build.extend(parts.not_null(name, columns.copy, back=False))
    for index in table.indexes_on(columns.column):
        if index.backs not in ("unique", "primary-key"):
            _index(index, columns, found)
    for constraint_name, constraint in table.constraints.items():
        expression = constraint.expression
        named = columns.column in constraint.columns or (expression and columns.column in expression.columns)
        if not named or constraint.kind == "not-null":
            continue
        if constraint.kind in ("unique", "primary-key"):
            _key(constraint_name, constraint, columns, found, context)
        elif constraint.kind == "foreign-key":
            _foreign_key(constraint_name, constraint, columns, found)
        elif constraint.kind == "check" and expression is not None:
            _check(constraint_name, rename_column(expression.sql, columns.column, columns.copy), columns, found)
        else:
            found.problems.append(
                f"the constraint {constraint_name} has no online form and is given to the copy by hand"
            )
    return found


def index_copies(columns: Columns) -> tuple[list[Step], list[str]]:
    """Return the steps that build the indexes of a column for its copy too, so that queries by the copy find them.

    They go with the copy. The second value says what has to be built by hand.
    """
    found = Dependents(set())
    for index in columns.table.indexes_on(columns.column):
        if index.backs is None:
            _index(index, columns, found)
        elif index.backs in ("unique", "primary-key"):
            keys = [columns.copy if one == columns.column else one for one in index.columns if one is not None]
            found.build.append(parts.index(columns.name, made(index.name, "new"), keys, unique=True))
    return found.build, found.problems


def _index(index: Index, columns: Columns, found: Dependents) -> None:
    if None in index.columns:
        found.problems.append(f"the index {index.name} is over an expression and is built for {columns.copy} by hand")
        return
    table, temporary, old = columns.name, made(index.name, "new"), made(index.name, "old")
    keys = ", ".join(ident(columns.copy if one == columns.column else one) for one in index.columns if one is not None)
    method = "" if index.method == "btree" else f"USING {index.method} "
    where = f" WHERE {rename_column(index.where.sql, columns.column, columns.copy)}" if index.where else ""
    kind = "UNIQUE INDEX" if index.unique else "INDEX"
    found.build.append(
        Step(
            "validate",
            f"build the index {index.name} for {columns.copy} beside the application",
            (f"CREATE {kind} CONCURRENTLY {ident(temporary)} ON {table_name(table)} {method}({keys}){where}",),
            (f"DROP INDEX CONCURRENTLY IF EXISTS {in_schema(table, temporary)}",),
            transaction=False,
            tables=frozenset({str(table)}),
        )
    )
    found.detach.append(f"ALTER INDEX {in_schema(table, index.name)} RENAME TO {ident(old)}")
    found.attach.append(f"ALTER INDEX {in_schema(table, temporary)} RENAME TO {ident(index.name)}")
    found.detach_back.append(f"ALTER INDEX {in_schema(table, index.name)} RENAME TO {ident(temporary)}")
    found.attach_back.append(f"ALTER INDEX {in_schema(table, old)} RENAME TO {ident(index.name)}")


def _key(name: str, constraint: Constraint, columns: Columns, found: Dependents, context: Context) -> None:
    t, n, temporary = table_name(columns.name), ident(name), made(name, "new")
    keys = tuple(columns.copy if one == columns.column else one for one in constraint.columns)
    kind = "PRIMARY KEY" if constraint.kind == "primary-key" else "UNIQUE"
    late = " DEFERRABLE" if constraint.deferrable else ""
    found.build.append(parts.index(columns.name, temporary, keys, unique=True))
    for child, key_name, key in _referrers(context, columns.name, constraint):
        found.tables.add(str(child))
        c, k, definition = table_name(child), ident(key_name), reference(key)
        moved = definition
        if columns.column in key.reference_columns:
            head, marker, tail = definition.partition(" REFERENCES ")
            moved = head + marker + rename_column(tail, columns.column, columns.final)
        found.detach.append(f"ALTER TABLE {c} DROP CONSTRAINT {k}")
        found.detach_back.append(f"ALTER TABLE {c} DROP CONSTRAINT {k}")
        found.validate.append(f"ALTER TABLE {c} VALIDATE CONSTRAINT {k}")
        found.attach.append(f"ALTER TABLE {c} ADD CONSTRAINT {k} {moved} NOT VALID")
        found.attach_back.append(f"ALTER TABLE {c} ADD CONSTRAINT {k} {definition} NOT VALID")
    # The key has to be there before foreign keys point at it.
    found.attach.insert(0, f"ALTER TABLE {t} ADD CONSTRAINT {n} {kind} USING INDEX {ident(temporary)}{late}")
    found.detach_back.append(f"ALTER TABLE {t} DROP CONSTRAINT {n}")
    if constraint.kind == "unique":
        # The old constraint stays on the old column, so that going back builds no index under a lock.
        old = ident(made(name, "old"))
        found.detach.append(f"ALTER TABLE {t} RENAME CONSTRAINT {n} TO {old}")
        found.attach_back.insert(0, f"ALTER TABLE {t} RENAME CONSTRAINT {old} TO {n}")
    else:
        found.detach.append(f"ALTER TABLE {t} DROP CONSTRAINT {n}")
        back = f"ALTER TABLE {t} ADD CONSTRAINT {n} {kind} ({names(constraint.columns)}){late}"
        found.attach_back.insert(0, back)


def _foreign_key(name: str, constraint: Constraint, columns: Columns, found: Dependents) -> None:
    keys = tuple(columns.copy if one == columns.column else one for one in constraint.columns)
    definition = reference(replace(constraint, columns=keys))
    what = f"the foreign key {name}"
    found.build.extend(parts.validated(columns.name, made(name, "new"), definition, what, constraint.references))
    _exchange(name, columns, found)


def _check(name: str, expression: str, columns: Columns, found: Dependents) -> None:
    found.build.extend(parts.validated(columns.name, made(name, "new"), f"CHECK ({expression})", f"the check {name}"))
    _exchange(name, columns, found)


def _exchange(name: str, columns: Columns, found: Dependents) -> None:
    """Let the copy's constraint take the name of the original's."""
    rename, n = f"ALTER TABLE {table_name(columns.name)} RENAME CONSTRAINT", ident(name)
    temporary, old = ident(made(name, "new")), ident(made(name, "old"))
    found.detach.append(f"{rename} {n} TO {old}")
    found.attach.append(f"{rename} {temporary} TO {n}")
    found.detach_back.append(f"{rename} {n} TO {temporary}")
    found.attach_back.append(f"{rename} {old} TO {n}")


def _referrers(context: Context, table: Name, constraint: Constraint) -> list[tuple[Name, str, Constraint]]:
    """Return the foreign keys that rest on a unique or primary key, those of the table itself too."""
    own = context.table(table)
    children = [*context.catalog.children(table), *([own] if own else [])]
    found = []
    for child in children:
        for name, one in child.constraints.items():
            if one.kind != "foreign-key" or one.references is None:
                continue
            parents = one.reference_columns or (own.primary_key if own else ())
            same = context.catalog.key(one.references) == context.catalog.key(table)
            if same and set(parents) == set(constraint.columns):
                found.append((child.name, name, one))
    return found


def default_moves(columns: Columns, context: Context) -> tuple[list[str], list[str]]:
    """Return the statements that move a default, and the sequence it owns, to the copy; and those that move it back.

    They use the names that hold before the switch renames anything.
    """
    name, column, copy = columns.name, columns.column, columns.copy
    own = columns.table.columns[column]
    if own.identity:
        always = "ALWAYS" if own.identity == "always" else "BY DEFAULT"
        return _move_identity(name, column, copy, always), _move_identity(name, copy, column, always)
    sequence = context.sequence_of(name, column)
    default = f"nextval({literal(sequence)})" if sequence else own.default.sql if own.default is not None else None
    if default is None:
        return [], []
    return _move_default(name, column, copy, default, sequence), _move_default(name, copy, column, default, sequence)


def _move_identity(name: Name, source: str, target: str, always: str) -> list[str]:
    t = table_name(name)
    numbers = [f"pg_get_serial_sequence({literal(t)}, {literal(column)})" for column in (source, target)]
    return [
        f"ALTER TABLE {t} ALTER COLUMN {ident(target)} ADD GENERATED {always} AS IDENTITY",
        f"SELECT setval({numbers[1]}, nextval({numbers[0]}))",
        f"ALTER TABLE {t} ALTER COLUMN {ident(source)} DROP IDENTITY",
    ]


def _move_default(name: Name, source: str, target: str, default: str, sequence: str | None) -> list[str]:
    t = table_name(name)
    owned = [f"ALTER SEQUENCE {sequence} OWNED BY {t}.{ident(target)}"] if sequence else []
    return [
        *owned,
        f"ALTER TABLE {t} ALTER COLUMN {ident(target)} SET DEFAULT {default}",
        f"ALTER TABLE {t} ALTER COLUMN {ident(source)} DROP DEFAULT",
    ]
