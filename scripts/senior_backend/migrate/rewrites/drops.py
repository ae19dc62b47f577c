"""DROP COLUMN and DROP TABLE: first out of the application, then out of the way, at last out of the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import lock_waits
from senior_backend.migrate import operations as ops
from senior_backend.migrate.rewrites.constraints import reference
from senior_backend.migrate.rewrites.model import Context, Rewrite, Step, Unknown
from senior_backend.migrate.rewrites.sql import ident, made, table_name

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Name, Operation

OPERATIONS = (ops.DropColumn, ops.DropTable)


def rewrite(operation: Operation, context: Context) -> Rewrite | Unknown | None:
    """Return the steps in place of a drop."""
    if isinstance(operation, ops.DropColumn):
        return _column(operation, context)
    assert isinstance(operation, ops.DropTable)
    return _table(operation, context)


def _column(operation: ops.DropColumn, context: Context) -> Rewrite | None:
    name, column = operation.table, operation.column
    if context.is_new(name):
        return None
    known = context.catalog.column(name, column)
    t, c = table_name(name), ident(column)
    steps: list[Step] = []
    if known is not None and known.not_null and known.default is None and not known.identity and not known.generated:
        steps.append(
            Step(
                "expand",
                f"let a version of the application that no longer writes {name}.{column} insert rows",
                (f"ALTER TABLE {t} ALTER COLUMN {c} DROP NOT NULL",),
                (f"ALTER TABLE {t} ALTER COLUMN {c} SET NOT NULL",),
                tables=frozenset({str(name)}),
            )
        )
    steps.append(
        Step(
            "contract",
            f"drop {name}.{column}, once no running version of the application names it",
            (context.text,),
            after_deploy=True,
            irreversible=f"the values of {name}.{column} are gone",
            tables=frozenset({str(name)}),
        )
    )
    return Rewrite(tuple(steps), undone_by=(f"column {name}.{column}",))


def _table(operation: ops.DropTable, context: Context) -> Rewrite | Unknown | None:
    name = operation.table
    if context.is_new(name):
        return None
    known = context.table(name)
    t = table_name(name)
    gone = name._replace(name=made(name.name, "dropped"))
    keys: list[tuple[str, str, str, Name]] = []
    if known is not None:
        for holder in (known, *context.catalog.children(name)):
            for key_name, key in holder.constraints.items():
                if (
                    key.kind == "foreign-key"
                    and key.references is not None
                    and (holder is known or context.catalog.key(key.references) == context.catalog.key(name))
                ):
                    definition = reference(key)
                    other = key.references if holder is known else holder.name
                    keys.append((table_name(holder.name), ident(key_name), definition, other))
    steps = [
        Step(
            "contract",
            f"drop a foreign key between {name} and {other}: each locks both tables for a moment, so one at a time",
            lock_waits.alone(f"ALTER TABLE {holder_name} DROP CONSTRAINT {key_name}", tables=both),
            (
                *lock_waits.alone(
                    f"ALTER TABLE {holder_name} ADD CONSTRAINT {key_name} {definition} NOT VALID", tables=both
                ),
                f"ALTER TABLE {holder_name} VALIDATE CONSTRAINT {key_name}",
            ),
            transaction=False,
            after_deploy=True,
            tables=frozenset({str(name), str(other)}),
        )
        for holder_name, key_name, definition, other in keys
        for both in [sorted({t, table_name(other)})]
    ]
    steps.append(
        Step(
            "contract",
            f"rename {name} out of the way: whoever still needs it fails now, while it can be named back",
            (f"ALTER TABLE {t} RENAME TO {ident(gone.name)}",),
            (f"ALTER TABLE {table_name(gone)} RENAME TO {ident(name.name)}",),
            after_deploy=True,
            tables=frozenset({str(name)}),
        )
    )
    cascade = " CASCADE" if operation.cascade else ""
    steps.append(
        Step(
            "contract",
            f"drop {name} at last, when nobody has missed it for some days and a backup holds it",
            (f"DROP TABLE {table_name(gone)}{cascade}",),
            after_deploy=True,
            irreversible=f"the rows of {name} are gone",
            tables=frozenset({str(gone)}),
        )
    )
    return Rewrite(tuple(steps), undone_by=(f"table {name.name}",))
