"""A second column that takes the place of a first one, with all that hangs on it: for type changes and renames."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from senior_backend.migrate.rewrites import parts
from senior_backend.migrate.rewrites.add_column import reference
from senior_backend.migrate.rewrites.model import Step
from senior_backend.migrate.rewrites.sql import ident, in_schema, literal, made, names, rename_column, table_name

if TYPE_CHECKING:
    from senior_backend.migrate.catalog import Index, Table
    from senior_backend.migrate.operations import Constraint, Name
    from senior_backend.migrate.rewrites.model import Context


@dataclass(frozen=True, slots=True)
class Copied:
    """Statements that give the copy what the original has.

    `build` runs beside the application, one transaction each. `detach` and `attach` run in one transaction with the
    switch: constraints leave the original, then join the copy (by then called `final`). `validate` follows the switch.
    The `…_back` ones undo `attach` and `detach` when the switch is undone.
    """

    build: tuple[Step, ...]
    detach: tuple[str, ...]
    attach: tuple[str, ...]
    validate: tuple[str, ...]
    detach_back: tuple[str, ...]
    attach_back: tuple[str, ...]
    validate_back: tuple[str, ...]
    tables: frozenset[str]
    problems: tuple[str, ...]


def copied(table: Table, name: Name, column: str, copy: str, final: str, context: Context) -> Copied:
    """Return what moves the dependents of `column` to `copy`, which the switch calls `final`."""
    t = table_name(name)
    build: list[Step] = []
    detach: list[str] = []
    attach: list[str] = []
    validate: list[str] = []
    detach_back: list[str] = []
    attach_back: list[str] = []
    validate_back: list[str] = []
    problems: list[str] = []
    tables = {str(name)}
    own = table.columns[column]
    # A column that must be the key of a constraint has to be NOT NULL before; the sync trigger keeps it filled.
    if own.not_null:
        build.append(parts.not_null(name, copy, down=()))
    for index in table.indexes_on(column):
        if index.backs in ("unique", "primary-key"):
            continue
        if None in index.columns:
            problems.append(f"the index {index.name} is over an expression with {column}: build it for {copy} too")
            continue
        temporary = made(index.name, "new")
        build.append(_index(name, index, temporary, column, copy))
        old = made(index.name, "old")
        detach.append(f"ALTER INDEX {in_schema(name, index.name)} RENAME TO {ident(old)}")
        attach.append(f"ALTER INDEX {in_schema(name, temporary)} RENAME TO {ident(index.name)}")
        detach_back.append(f"ALTER INDEX {in_schema(name, index.name)} RENAME TO {ident(temporary)}")
        attach_back.append(f"ALTER INDEX {in_schema(name, old)} RENAME TO {ident(index.name)}")
    for constraint_name, constraint in table.constraints.items():
        mentions = column in constraint.columns or (
            constraint.expression is not None and column in constraint.expression.columns
        )
        if not mentions or constraint.kind == "not-null":
            continue
        n = ident(constraint_name)
        temporary = made(constraint_name, "new")
        new_columns = tuple(copy if one == column else one for one in constraint.columns)
        if constraint.kind in ("unique", "primary-key"):
            kind = "PRIMARY KEY" if constraint.kind == "primary-key" else "UNIQUE"
            build.append(parts.index(name, temporary, new_columns, unique=True))
            referrers = _referrers(context, name, constraint)
            for child, key_name, key in referrers:
                tables.add(str(child))
                c, k = table_name(child), ident(key_name)
                definition = reference(key)
                detach.append(f"ALTER TABLE {c} DROP CONSTRAINT {k}")
                detach_back.append(f"ALTER TABLE {c} DROP CONSTRAINT {k}")
                validate.append(f"ALTER TABLE {c} VALIDATE CONSTRAINT {k}")
                validate_back.append(f"ALTER TABLE {c} VALIDATE CONSTRAINT {k}")
                final_definition = _with_parent(definition, key, column, final)
                attach.append(f"ALTER TABLE {c} ADD CONSTRAINT {k} {final_definition} NOT VALID")
                attach_back.append(f"ALTER TABLE {c} ADD CONSTRAINT {k} {definition} NOT VALID")
            late = " DEFERRABLE" if constraint.deferrable else ""
            attach.insert(0, f"ALTER TABLE {t} ADD CONSTRAINT {n} {kind} USING INDEX {ident(temporary)}{late}")
            detach_back.append(f"ALTER TABLE {t} DROP CONSTRAINT {n}")
            if constraint.kind == "unique":
                # The old constraint stays on the old column, so that going back builds no index under a lock.
                old = ident(made(constraint_name, "old"))
                detach.append(f"ALTER TABLE {t} RENAME CONSTRAINT {n} TO {old}")
                attach_back.insert(0, f"ALTER TABLE {t} RENAME CONSTRAINT {old} TO {n}")
            else:
                detach.append(f"ALTER TABLE {t} DROP CONSTRAINT {n}")
                attach_back.insert(0, f"ALTER TABLE {t} ADD CONSTRAINT {n} {kind} ({names(constraint.columns)}){late}")
        elif constraint.kind == "foreign-key":
            definition = reference(replace(constraint, columns=new_columns))
            build.append(
                parts.validated(
                    name, temporary, definition, f"the foreign key {constraint_name}", constraint.references
                )
            )
            _exchange(t, constraint_name, temporary, detach, attach, detach_back, attach_back)
        elif constraint.kind == "check" and constraint.expression is not None:
            definition = f"CHECK ({rename_column(constraint.expression.sql, column, copy)})"
            build.append(parts.validated(name, temporary, definition, f"the check {constraint_name}"))
            _exchange(t, constraint_name, temporary, detach, attach, detach_back, attach_back)
        else:
            problems.append(f"the constraint {constraint_name} has no online form: give it to {copy} by hand")
    problems.extend(
        f"the view {view.name} reads {name}: create it again after the switch, or it keeps showing the old column"
        for view in context.catalog.tables.values()
        if name in view.reads
    )
    return Copied(
        tuple(build), tuple(detach), tuple(attach), tuple(validate), tuple(detach_back), tuple(attach_back),
        tuple(validate_back), frozenset(tables), tuple(problems),
    )  # fmt: skip


def _exchange(t: str, name: str, temporary: str, *lists: list[str]) -> None:
    detach, attach, detach_back, attach_back = lists
    old = made(name, "old")
    detach.append(f"ALTER TABLE {t} RENAME CONSTRAINT {ident(name)} TO {ident(old)}")
    attach.append(f"ALTER TABLE {t} RENAME CONSTRAINT {ident(temporary)} TO {ident(name)}")
    detach_back.append(f"ALTER TABLE {t} RENAME CONSTRAINT {ident(name)} TO {ident(temporary)}")
    attach_back.append(f"ALTER TABLE {t} RENAME CONSTRAINT {ident(old)} TO {ident(name)}")


def _index(table: Name, index: Index, name: str, column: str, copy: str) -> Step:
    columns = ", ".join(ident(copy if one == column else one) for one in index.columns if one is not None)
    method = "" if index.method == "btree" else f"USING {index.method} "
    where = f" WHERE {rename_column(index.where.sql, column, copy)}" if index.where else ""
    kind = "UNIQUE INDEX" if index.unique else "INDEX"
    return Step(
        "validate",
        f"build the index {index.name} for {copy} beside the application",
        (f"CREATE {kind} CONCURRENTLY {ident(name)} ON {table_name(table)} {method}({columns}){where}",),
        (f"DROP INDEX CONCURRENTLY IF EXISTS {in_schema(table, name)}",),
        transaction=False,
        tables=frozenset({str(table)}),
    )


def _referrers(context: Context, table: Name, constraint: Constraint) -> list[tuple[Name, str, Constraint]]:
    """Return the foreign keys that rest on a unique or primary key, of the table itself too."""
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


def _with_parent(definition: str, key: Constraint, column: str, final: str) -> str:
    if column == final or column not in key.reference_columns:
        return definition
    head, marker, tail = definition.partition(" REFERENCES ")
    return head + marker + rename_column(tail, column, final)


def sequence_moves(table: Table, name: Name, column: str, copy: str, context: Context) -> tuple[list[str], list[str]]:
    """Return the statements that move a default, and the sequence it owns, from `column` to `copy`, and back.

    They use the names that hold before the switch renames anything.
    """
    own = table.columns[column]
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
