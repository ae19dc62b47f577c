"""Enum labels: a new one stands alone, a renamed one lives beside the old one until all rows have moved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.rewrites import parts
from senior_backend.migrate.rewrites.model import Context, Rewrite, Step, Unknown
from senior_backend.migrate.rewrites.sql import ident, literal, table_name

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Operation

OPERATIONS = (ops.AddEnumValue, ops.RenameEnumValue)
NO_WAY_BACK = "PostgreSQL cannot take a label out of an enum"


def rewrite(operation: Operation, context: Context) -> Rewrite | Unknown | None:
    """Return the steps in place of a change to an enum."""
    if isinstance(operation, ops.AddEnumValue):
        if not context.transaction:
            return None
        step = Step(
            "expand",
            f"add the label {operation.value} in a transaction of its own: before that ends nobody can use it",
            (context.text,),
            transaction=False,
            irreversible=NO_WAY_BACK,
        )
        return Rewrite((step,))
    assert isinstance(operation, ops.RenameEnumValue)
    name, new, old = table_name(operation.name), literal(operation.new), literal(operation.old)
    steps = [
        Step(
            "expand",
            f"add the label {operation.new} beside {operation.old}: the running version still writes the old one",
            (f"ALTER TYPE {name} ADD VALUE IF NOT EXISTS {new} AFTER {old}",),
            transaction=False,
            irreversible=NO_WAY_BACK,
        )
    ]
    holders = [
        (table.name, column.name)
        for table in context.catalog.tables.values()
        if table.kind in ("table", "partitioned") and table.parent is None
        for column in table.columns.values()
        if column.type is not None and column.type.name == operation.name.name and not column.type.array
    ]
    if not holders:
        return Unknown(
            f"no column of the type {operation.name} is known, so its rows cannot be moved to the new label",
            f"Add the label {operation.new}, update the rows in batches, and stop using {operation.old}; "
            "name the database with --database-url to have it written.",
        )
    for table, column in holders:
        c = ident(column)
        step = parts.backfill(
            table, f"{c} = {new}", f"{c} = {old}", context, f"move rows of {table} to {operation.new}"
        )
        steps.append(
            Step(
                step.stage, step.purpose, step.up, transaction=False, after_deploy=True,
                irreversible="which rows had the old label is no longer known",
            )
        )  # fmt: skip
    return Rewrite(tuple(steps))
