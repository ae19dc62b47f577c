"""An index that is dropped before the one that replaces it is there; both engines pay for it alike."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops

if TYPE_CHECKING:
    from senior_backend.migrate.catalog import Index
    from senior_backend.migrate.hazards.rule import Context
    from senior_backend.migrate.operations import CreateIndex


def replacement(operation: ops.DropIndex, context: Context) -> tuple[Index, CreateIndex] | None:
    """Return the index that is dropped and the later statement that builds one on the same first column.

    None where another index of the table starts with that column, so that queries have something to go on with, or
    where one statement does both.
    """
    catalog = context.catalog
    table = catalog.table(operation.table) if operation.table else catalog.table_of_index(operation.index)
    dropped = table.indexes.get(catalog.fold(operation.index.name)) if table is not None else None
    if table is None or dropped is None or not dropped.valid or context.is_new(table.name):
        return None
    first = dropped.columns[0]
    if first is None or any(
        one is not dropped and one.valid and one.columns[0] == first for one in table.indexes.values()
    ):
        return None
    for parsed in context.statements[context.position + 1 :]:
        for step in parsed.operations:
            if (
                isinstance(step, ops.CreateIndex)
                and catalog.table(step.table) is table
                and step.columns
                and step.columns[0].name is not None
                and catalog.fold(step.columns[0].name) == first
            ):
                return dropped, step
    return None
