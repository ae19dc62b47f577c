"""RENAME COLUMN and RENAME TABLE: both names work until no running version of the application uses the old one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.rewrites import parts, rights, triggers
from senior_backend.migrate.rewrites.column_copy import Columns, index_copies
from senior_backend.migrate.rewrites.model import Context, Rewrite, Step, Unknown
from senior_backend.migrate.rewrites.sql import collation_name, ident, made, table_name

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Operation

OPERATIONS = (ops.RenameColumn, ops.RenameTable)


def rewrite(operation: Operation, context: Context) -> Rewrite | Unknown | None:
    """Return the steps in place of a rename."""
    if isinstance(operation, ops.RenameTable):
        return _table(operation, context)
    assert isinstance(operation, ops.RenameColumn)
    return _column(operation, context)


def _table(operation: ops.RenameTable, context: Context) -> Rewrite | Unknown | None:
    if context.is_new(operation.table):
        return None
    known = context.table(operation.table)
    if operation.schema is not None or (known is not None and known.kind not in ("table", "partitioned")):
        return None
    old, new = operation.table, operation.table._replace(name=operation.new_name)
    o, n = table_name(old), table_name(new)
    view = f"CREATE VIEW {o} AS SELECT * FROM {n}"  # noqa: S608 - quoted names
    return Rewrite(
        (
            Step(
                "expand",
                f"rename {old} and leave a view of that name, through which the running version reads and writes",
                (context.text, view, rights.of_view(old, new)),
                (f"DROP VIEW IF EXISTS {o}", f"ALTER TABLE {n} RENAME TO {ident(old.name)}"),
                tables=frozenset({str(old)}),
            ),
            Step(
                "contract",
                f"drop the view {old} once no running version uses the old name",
                (f"DROP VIEW {o}",),
                (view, rights.of_view(old, new)),
                after_deploy=True,
                tables=frozenset({str(old)}),
            ),
        ),
        undone_by=(f"table {new.name}", f"table {old.name}"),
    )


def _column(operation: ops.RenameColumn, context: Context) -> Rewrite | Unknown | None:
    name, old, new = operation.table, operation.column, operation.new_name
    table = context.table(name)
    if context.is_new(name) or operation.of_view:
        return None
    own = table.columns.get(old) if table else None
    if table is None or own is None or own.type is None or not table.complete:
        return Unknown(
            f"the type of {name}.{old} and what hangs on it are not known",
            "Name the database with --database-url, the schema with --schema, or keep the file beside the migrations "
            "before it.",
        )
    if own.generated or table.kind != "table":
        return Unknown(
            f"{name}.{old} is generated, or its table is partitioned or a view",
            "Add the new column, move the application, and drop the old one in a later migration.",
        )
    t, o, n = table_name(name), ident(old), ident(new)
    sync = triggers.equal(name, old, new, made(name.name, old, new, "sync"))
    columns = Columns(table, name, old, new, new)
    indexes, problems = index_copies(columns)
    collation = f" COLLATE {collation_name(own.collation)}" if own.collation else ""
    # A column of a domain with a constraint would write the table anew; what the copy gets goes to the column itself.
    domain = context.catalog.whole_domain(own.type)
    kind = domain.base if domain is not None and domain.constrained else own.type
    locked = frozenset({str(name)})
    if own.default is not None and not own.not_null:
        context.assumptions.append(
            f"no new version inserts an explicit NULL into {new}: until the last step it gets the default instead"
        )
    steps = [
        Step(
            "expand",
            f"add {name}.{new}; a trigger keeps it and {old} equal, whichever of them an application writes",
            (f"ALTER TABLE {t} ADD COLUMN {n} {kind}{collation}", rights.of_column(name, old, new), *sync.create),
            (*sync.drop, f"ALTER TABLE {t} DROP COLUMN IF EXISTS {n}"),
            tables=locked,
        ),
        parts.backfill(
            name, f"{n} = {o}", f"{n} IS NULL AND {o} IS NOT NULL", context,
            f"fill {name}.{new} for the rows that were there before; rows already in step are skipped",
        ),
        *indexes,
        Step(
            "contract",
            f"rename {old} itself, once no running version of the application uses the old name; its copy goes, and "
            "what hangs on the column (views, keys, constraints, policies) stays",
            (*sync.drop, f"ALTER TABLE {t} DROP COLUMN {n}", f"ALTER TABLE {t} RENAME COLUMN {o} TO {n}"),
            after_deploy=True,
            irreversible=f"{name}.{old} is gone; its values live on in {new}",
            tables=locked,
        ),
    ]  # fmt: skip
    context.assumptions.extend(problems)
    return Rewrite(tuple(steps), undone_by=(f"column {name}.{new}", f"column {name}.{old}"))
