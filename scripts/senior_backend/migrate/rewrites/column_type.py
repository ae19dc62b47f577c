"""ALTER COLUMN … TYPE that rewrites the table: a second column, kept in step by a trigger, then swapped in."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.postgres_types import type_change
from senior_backend.migrate.rewrites import parts, rights, triggers, views
from senior_backend.migrate.rewrites.column_copy import Columns, default_moves, dependents
from senior_backend.migrate.rewrites.model import Context, Rewrite, Step, Unknown
from senior_backend.migrate.rewrites.sql import collation_name, ident, made, table_name

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Operation

OPERATIONS = (ops.AlterColumnType,)

_USING = re.compile(r"\bUSING\s+(?P<expression>.*)$", re.IGNORECASE | re.DOTALL)


def rewrite(operation: Operation, context: Context) -> Rewrite | Unknown | None:
    """Return the steps: copy, keep in step, fill, give it what the old one had, swap, and much later drop."""
    assert isinstance(operation, ops.AlterColumnType)
    name, column = operation.table, operation.column
    if context.is_new(name):
        return None
    table = context.table(name)
    own = table.columns.get(column) if table else None
    if context.catalog.is_constrained(operation.type):
        return _to_domain(operation, context)
    plain = operation.using is None or getattr(operation.using, "cast_of", None) == column
    known = own.type if own is not None else None
    if plain and not operation.collation and type_change(known, operation.type, context.catalog) == "free":
        return _rechecked(operation, context)
    if table is None or own is None or not table.complete:
        return Unknown(
            f"what hangs on {name}.{column} (type, default, indexes, constraints) is not known",
            "Name the database with --database-url, the schema with --schema, or keep the file beside the migrations "
            "before it; then the column is copied with all of it.",
        )
    if own.generated or table.kind != "table":
        return Unknown(
            f"{name}.{column} is generated, or its table is partitioned or a view",
            "Add a new column with the new type and move the application to it.",
        )
    t, c = table_name(name), ident(column)
    copy, old = made(column, "new"), made(column, "old")
    k, o = ident(copy), ident(old)
    using = _using(context.text)
    sync_name, keep_name = made(name.name, column, "sync"), made(name.name, column, "keep")
    sync = (
        triggers.computed(name, copy, using, sync_name) if using else triggers.assigned(name, copy, column, sync_name)
    )
    keep = triggers.followed(name, old, column, keep_name)
    collation = f" COLLATE {collation_name(operation.collation)}" if operation.collation else ""
    columns = Columns(table, name, column, copy, column)
    if (held := views.holders(table, column)) is not None:
        return held
    readers = views.readers(table, name, column, context)
    if isinstance(readers, Unknown):
        return readers
    moved = dependents(columns, context)
    forth, back = default_moves(columns, context)
    nullable = (f"ALTER TABLE {t} ALTER COLUMN {o} DROP NOT NULL",) if own.not_null else ()
    again, check = parts.not_null_again(name, old) if own.not_null else ((), "")
    not_null_back = (
        (f"ALTER TABLE {t} ALTER COLUMN {c} SET NOT NULL", f"ALTER TABLE {t} DROP CONSTRAINT IF EXISTS {check}")
        if check
        else ()
    )
    renames = (f"ALTER TABLE {t} RENAME COLUMN {c} TO {o}", f"ALTER TABLE {t} RENAME COLUMN {k} TO {c}")
    renames_back = (f"ALTER TABLE {t} RENAME COLUMN {c} TO {k}", f"ALTER TABLE {t} RENAME COLUMN {o} TO {c}")
    locked = frozenset({str(name)})
    expression = using or c
    steps = [
        Step(
            "expand",
            f"add {copy} with the new type beside {name}.{column}; a trigger fills it on every write",
            (
                f"ALTER TABLE {t} ADD COLUMN {k} {operation.type}{collation}",
                rights.of_column(name, column, copy),
                *sync.create,
            ),
            (*sync.drop, f"ALTER TABLE {t} DROP COLUMN IF EXISTS {k}"),
            tables=locked,
        ),
        parts.backfill(
            name, f"{k} = {expression}", f"{k} IS NULL AND {c} IS NOT NULL", context,
            f"fill {name}.{copy} for the rows that were there before; rows already in step are skipped",
        ),
        *moved.build,
        Step(
            "switch",
            f"swap the columns in one moment: {column} has the new type from here on, {old} follows it",
            (
                *readers.dropped(), *sync.drop, *moved.detach, *forth, *renames, *nullable, *moved.attach, *keep.create,
                *readers.created(),
            ),
            (
                *readers.dropped(), *keep.drop, *moved.detach_back, *renames_back, *not_null_back, *back,
                *moved.attach_back, *sync.create, *readers.created(),
            ),
            tables=frozenset(moved.tables),
        ),
    ]  # fmt: skip
    steps += parts.validations(moved.validate, "check a foreign key that points here, beside the application")
    steps += again
    steps.append(
        Step(
            "contract",
            f"drop {old}, once nobody wants to go back",
            (*keep.drop, f"ALTER TABLE {t} DROP COLUMN {o}"),
            after_deploy=True,
            irreversible=f"the values of the old type in {name}.{old} are gone",
            tables=locked,
        )
    )
    context.assumptions.extend(moved.problems)
    return Rewrite(tuple(steps), undone_by=(f"type {name}.{column}",))


def _to_domain(operation: ops.AlterColumnType, context: Context) -> Rewrite | Unknown:
    """A change to a domain with a constraint rewrites the table; one to its base type with the same checks may not."""
    name, column = operation.table, operation.column
    own, domain = context.catalog.column(name, column), context.catalog.whole_domain(operation.type)
    if own is None or own.type is None or domain is None:
        return Unknown(
            f"{operation.type} is a domain with a constraint, and that, or what {name}.{column} is now, is not known",
            "Change the column to the base type, and add the domain's CHECK to the table.",
        )
    change = f"ALTER TABLE {table_name(name)} ALTER COLUMN {ident(column)} TYPE {domain.base}"
    steps: tuple[Step, ...] = ()
    if operation.using is not None or own.type != domain.base:
        text = change + (f" USING {_using(context.text)}" if operation.using is not None else "")
        answer = rewrite(replace(operation, type=domain.base), replace(context, text=text))
        if isinstance(answer, Unknown):
            return answer
        kept = Step("switch", f"change {name}.{column} to {domain.base}", (change,), tables=frozenset({str(name)}),
                    irreversible="the type before it would write the table anew")  # fmt: skip
        steps = answer.steps if answer else (kept,)
    context.assumptions.append(parts.instead_of_domain(name, column, operation.type, domain))
    demands = parts.domain_checks(name, column, domain)
    if domain.not_null and not own.not_null:
        demands[:0] = parts.not_null(name, column)
    before = [step for step in steps if not step.after_deploy]
    return Rewrite((*before, *demands, *steps[len(before) :]), undone_by=(f"type {name}.{column}",))


def _rechecked(operation: ops.AlterColumnType, context: Context) -> Rewrite | None:
    """A change of the catalogue alone still checks every row again where a CHECK names the column."""
    table = context.table(operation.table)
    t = table_name(operation.table)
    checks = {
        name: one
        for name, one in (table.constraints if table else {}).items()
        if one.kind == "check" and one.expression is not None and operation.column in one.expression.columns
    }
    if not checks:
        return None
    named = [(ident(name), one.expression.sql) for name, one in checks.items() if one.expression is not None]
    locked = frozenset({str(operation.table)})
    drop = tuple(f"ALTER TABLE {t} DROP CONSTRAINT {name}" for name, _ in named)
    add = tuple(f"ALTER TABLE {t} ADD CONSTRAINT {name} CHECK ({expression}) NOT VALID" for name, expression in named)
    steps = (
        Step(
            "switch",
            f"change the type of {operation.table}.{operation.column} without its checks, which would read every row",
            (*drop, context.text, *add),
            tables=locked,
            irreversible="the type before it would write the table anew",
        ),
        *parts.validations(
            (f"ALTER TABLE {t} VALIDATE CONSTRAINT {name}" for name, _ in named),
            "check the existing rows beside the application",
        ),
    )
    return Rewrite(steps)


def _using(text: str) -> str | None:
    match = _USING.search(text)
    return f"({match['expression'].strip()})" if match else None
