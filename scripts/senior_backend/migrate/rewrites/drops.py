"""DROP COLUMN and DROP TABLE: first out of the application, then out of the way, at last out of the database."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.rewrites import parts
from senior_backend.migrate.rewrites.constraints import without_foreign_key
from senior_backend.migrate.rewrites.model import Context, Rewrite, Step, Unknown
from senior_backend.migrate.rewrites.sql import ident, made, table_name

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Operation

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
        again, check = parts.not_null_again(name, column)
        steps.append(
            Step(
                "expand",
                f"let a version of the application that no longer writes {name}.{column} insert rows",
                (f"ALTER TABLE {t} ALTER COLUMN {c} DROP NOT NULL",),
                (
                    f"ALTER TABLE {t} ALTER COLUMN {c} SET NOT NULL",
                    f"ALTER TABLE {t} DROP CONSTRAINT IF EXISTS {check}",
                ),
                tables=frozenset({str(name)}),
                alone=True,
            )
        )
        steps += again
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
    steps: list[Step] = []
    for holder in (known, *context.catalog.children(name)) if known is not None else ():
        for key_name, key in holder.constraints.items():
            if (
                key.kind == "foreign-key"
                and key.references is not None
                and (holder is known or context.catalog.key(key.references) == context.catalog.key(name))
            ):
                drop = f"ALTER TABLE {table_name(holder.name)} DROP CONSTRAINT {ident(key_name)}"
                steps += without_foreign_key(holder.name, key_name, key, drop, "contract", after_deploy=True)
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
