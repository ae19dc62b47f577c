"""ADD CONSTRAINT and SET NOT NULL: checked beside the application instead of under a lock."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.catalog_replay import constraint_name
from senior_backend.migrate.rewrites import exclusions, parts
from senior_backend.migrate.rewrites.model import Context, Rewrite, Step, Unknown
from senior_backend.migrate.rewrites.sql import ident, made, names, table_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.migrate.catalog import Catalog
    from senior_backend.migrate.operations import Constraint, Name, Operation
    from senior_backend.migrate.rewrites.model import Stage

OPERATIONS = (ops.AddConstraint, ops.SetNotNull, ops.ValidateConstraint, ops.DropConstraint)

_DEFINITION = re.compile(
    r"ADD\s+(?:CONSTRAINT\s+(?:\"(?:[^\"]|\"\")+\"|[^\W\d][\w$]*)\s+)?"
    r"(?P<definition>(?:CHECK|FOREIGN|UNIQUE|PRIMARY|NOT\s+NULL)\b.*)",
    re.IGNORECASE | re.DOTALL,
)
_DEFERRABLE = re.compile(r"\s+(?:NOT\s+)?DEFERRABLE\b.*|\s+INITIALLY\s+\w+.*", re.IGNORECASE | re.DOTALL)
_FANCY = re.compile(r"\b(?:INCLUDE|NULLS|WITH|USING\s+INDEX\s+TABLESPACE|WITHOUT\s+OVERLAPS)\b", re.IGNORECASE)

_SUFFIXES = {
    "check": "check",
    "foreign-key": "fkey",
    "unique": "key",
    "primary-key": "pkey",
    "exclude": "excl",
    "not-null": "not_null",
}
"""How PostgreSQL ends the names that it chooses."""


def rewrite(operation: Operation, context: Context) -> Rewrite | Unknown | None:
    """Return the steps in place of one constraint."""
    if isinstance(operation, ops.SetNotNull):
        return _set_not_null(operation, context)
    if isinstance(operation, ops.ValidateConstraint):
        return _validate(operation, context)
    if isinstance(operation, ops.DropConstraint):
        return _drop(operation, context)
    assert isinstance(operation, ops.AddConstraint)
    constraint = operation.constraint
    if context.is_new(operation.table) or not constraint.enforced:
        return None
    if constraint.using_index:
        return _adopted(operation, context)
    if constraint.kind == "exclude":
        return _excluding(operation.table, constraint, context)
    match = _DEFINITION.search(context.text)
    if match is None:
        return Unknown("the constraint has an unusual form", "Add it NOT VALID and validate it in a later migration.")
    definition = match["definition"].strip()
    if constraint.kind in ("check", "foreign-key", "not-null"):
        if not constraint.valid:
            return _unvalidated(operation, context)
        return _checked(operation.table, constraint, definition, context)
    return _unique(operation.table, constraint, definition, context)


def _excluding(table: Name, constraint: Constraint, context: Context) -> Rewrite | Unknown:
    name = name_of(table, constraint, context)
    if not exclusions.only_equal(context.text):
        return exclusions.rewrite(table, name, context)
    context.assumptions.append(f"{name} becomes UNIQUE, which means the same and fails as such (23505, not 23P01)")
    tail = _DEFERRABLE.search(context.text)
    steps = parts.unique(table, name, constraint.columns, tail=tail.group() if tail else "")
    return Rewrite(steps, undone_by=(f"constraint {name}",))


def name_of(table: Name, constraint: Constraint, context: Context) -> str:
    """Return the constraint's name, as written or as PostgreSQL would choose it."""
    if constraint.name:
        return constraint.name
    known = context.table(table)
    if known is not None:
        return constraint_name(known, constraint)
    suffix = _SUFFIXES[constraint.kind]
    return made(table.name, *(() if constraint.kind == "primary-key" else constraint.columns), suffix)


def _checked(table: Name, constraint: Constraint, definition: str, context: Context) -> Rewrite:
    name = name_of(table, constraint, context)
    if constraint.kind != "foreign-key":
        return Rewrite(parts.validated(table, name, definition, f"the check {name}"), undone_by=(f"constraint {name}",))
    steps = foreign_key(table, constraint, name, definition, context)
    return Rewrite(steps, undone_by=(f"constraint {name}",))


def foreign_key(table: Name, constraint: Constraint, name: str, definition: str, context: Context) -> tuple[Step, ...]:
    """Return the steps of a foreign key: an index for the child where it has none, then the constraint."""
    known = context.table(table)
    steps: list[Step] = []
    if _indexed_later(table, constraint.columns, context):
        pass  # the file builds it itself, under a name of its own
    elif known is None or not known.indexed_first(constraint.columns):
        steps.append(parts.index(table, made(table.name, *constraint.columns, "idx"), constraint.columns))
        if known is None or not known.complete:
            context.assumptions.append(f"no index of {table} begins with {', '.join(constraint.columns)} yet")
    steps.extend(parts.validated(table, name, definition, f"the foreign key {name}", constraint.references))
    return tuple(steps)


def _indexed_later(table: Name, columns: Sequence[str], context: Context) -> bool:
    """Whether the file makes an index that serves a foreign key over `columns` behind this statement."""
    return any(
        isinstance(one, ops.CreateIndex) and serves(one, table, columns, context.catalog) for one in context.later
    )


def serves(index: ops.CreateIndex, table: Name, columns: Sequence[str], catalog: Catalog) -> bool:
    """Whether a new index finds the rows of `table` that a foreign key over `columns` looks for."""
    return (
        catalog.key(index.table) == catalog.key(table)
        and index.where is None
        and {column.name for column in index.columns[: len(columns)]} == set(columns)
    )


def _adopted(operation: ops.AddConstraint, context: Context) -> Rewrite | None:
    """A primary key from an index still scans for NULLs where a column may hold them."""
    known = context.table(operation.table)
    index = known.indexes.get(operation.constraint.using_index or "") if known else None
    if operation.constraint.kind != "primary-key" or known is None or index is None:
        return None
    nullable = [
        one for one in index.columns if one is not None and one in known.columns and not known.columns[one].not_null
    ]
    if not nullable:
        return None
    t, name = table_name(operation.table), ident(operation.constraint.name or index.name)
    keys = names(one for one in index.columns if one)
    step = Step(
        "validate",
        f"make the index {index.name} the primary key",
        (context.text,),
        (
            f"ALTER TABLE {t} DROP CONSTRAINT IF EXISTS {name}",
            f"CREATE UNIQUE INDEX CONCURRENTLY {ident(index.name)} ON {t} ({keys})",
        ),
        transaction=False,
        tables=frozenset({str(operation.table)}),
    )
    return Rewrite((*(one for column in nullable for one in parts.not_null(operation.table, column)), step))


def _unvalidated(operation: ops.AddConstraint, context: Context) -> Rewrite | None:
    """A foreign key that the user adds NOT VALID stays as it is, behind the index that it lacks."""
    constraint, table = operation.constraint, operation.table
    known = context.table(table)
    if constraint.kind != "foreign-key" or known is None or known.indexed_first(constraint.columns):
        return None
    if _indexed_later(table, constraint.columns, context):
        return None
    index = parts.index(table, made(table.name, *constraint.columns, "idx"), constraint.columns)
    name = name_of(table, constraint, context)
    step = Step(
        "expand",
        f"add the foreign key {name} for new rows",
        (context.text,),
        (f"ALTER TABLE {table_name(table)} DROP CONSTRAINT IF EXISTS {ident(name)}",),
        tables=frozenset({str(table), str(constraint.references)}),
    )
    return Rewrite((index, step), undone_by=(f"constraint {name}",))


def _unique(table: Name, constraint: Constraint, definition: str, context: Context) -> Rewrite | Unknown:
    if _FANCY.search(definition):
        return Unknown(
            "the constraint has options that only its index can carry",
            "CREATE UNIQUE INDEX CONCURRENTLY with the options, then ADD CONSTRAINT … USING INDEX.",
        )
    name = name_of(table, constraint, context)
    tail = _DEFERRABLE.search(definition)
    steps: list[Step] = []
    if constraint.kind == "primary-key":
        known = context.table(table)
        for column in constraint.columns:
            found = known.columns.get(column) if known else None
            if found is None or not found.not_null:
                steps.extend(parts.not_null(table, column))
    kind = "PRIMARY KEY" if constraint.kind == "primary-key" else "UNIQUE"
    steps.extend(parts.unique(table, name, constraint.columns, kind=kind, tail=tail.group() if tail else ""))
    return Rewrite(tuple(steps), undone_by=(f"constraint {name}",))


def _set_not_null(operation: ops.SetNotNull, context: Context) -> Rewrite | None:
    known = context.table(operation.table)
    if context.is_new(operation.table) or (known is not None and known.proves_not_null(operation.column)):
        return None
    steps: list[Step] = []
    column = known.columns.get(operation.column) if known else None
    if column is not None and column.not_null:
        return None
    filled = any(
        isinstance(one, ops.Update) and one.table == operation.table and operation.column in one.columns
        for one in context.earlier
    )
    if not filled and column is not None and column.default is not None and not column.default.is_null:
        c = ident(operation.column)
        steps.append(
            parts.backfill(
                operation.table, f"{c} = {column.default.sql}", f"{c} IS NULL", context,
                f"fill {operation.table}.{operation.column} with its default where it is NULL",
            )
        )  # fmt: skip
    elif not filled:
        context.assumptions.append(
            f"no row of {operation.table} has NULL in {operation.column}; with one, VALIDATE fails and changes nothing"
        )
    steps.extend(parts.not_null(operation.table, operation.column))
    return Rewrite(tuple(steps), undone_by=(f"not null {operation.table}.{operation.column}",))


def _validate(operation: ops.ValidateConstraint, context: Context) -> Rewrite | None:
    if not context.transaction or context.is_new(operation.table):
        return None
    step = Step(
        "validate",
        f"check the existing rows of {operation.table} in a transaction of its own",
        (context.text,),
        alone=True,
    )
    return Rewrite((step,))


def _drop(operation: ops.DropConstraint, context: Context) -> Rewrite | None:
    """A foreign key's drop locks both tables; it gets a transaction of its own, as each step of its way back does."""
    known = context.table(operation.table)
    constraint = known.constraints.get(operation.name or "") if known else None
    if constraint is None or constraint.kind != "foreign-key" or not context.transaction or operation.cascade:
        return None
    steps = without_foreign_key(operation.table, operation.name or "", constraint, context.text, "expand")
    return Rewrite(steps, undone_by=(f"constraint {operation.name}",))


def without_foreign_key(
    table: Name, name: str, constraint: Constraint, drop: str, stage: Stage, *, after_deploy: bool = False
) -> tuple[Step, ...]:
    """Return the steps that drop a foreign key with the statement `drop`, each way in transactions of its own.

    The way back runs from the last step to the first: it adds the key unchecked, commits, and validates. Validating on
    the way up, where the key is valid, reads nothing.
    """
    assert constraint.references is not None
    t, n = table_name(table), ident(name)
    validate = f"ALTER TABLE {t} VALIDATE CONSTRAINT {n}"
    back = Step(
        stage,
        f"nothing yet: the way back checks the rows of {table} here, in a transaction of its own",
        (validate,),
        (validate,),
        after_deploy=after_deploy,
        alone=True,
    )
    gone = Step(
        stage,
        f"drop the foreign key {name}: locks {table} and {constraint.references} for a moment",
        (drop,),
        (f"ALTER TABLE {t} ADD CONSTRAINT {n} {reference(constraint)} NOT VALID",),
        after_deploy=after_deploy,
        tables=frozenset({str(table), str(constraint.references)}),
        alone=True,
    )
    return (back, gone) if constraint.valid else (gone,)


def reference(constraint: Constraint) -> str:
    """Return the definition of a foreign key as SQL."""
    assert constraint.references is not None
    columns = ", ".join(map(ident, constraint.columns))
    parents = f" ({', '.join(map(ident, constraint.reference_columns))})" if constraint.reference_columns else ""
    actions = "".join(
        f" ON {event} {action.upper()}"
        for event, action in (("DELETE", constraint.on_delete), ("UPDATE", constraint.on_update))
        if action and action.lower() != "no action"
    )
    late = " DEFERRABLE" if constraint.deferrable else ""
    return f"FOREIGN KEY ({columns}) REFERENCES {table_name(constraint.references)}{parents}{actions}{late}"
