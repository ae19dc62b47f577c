"""MODIFY or CHANGE that moves a column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.ModifyColumn, context: Context) -> Iterator[Hazard]:
    """Report a column that takes another place in the rows."""
    if context.catalog.engine != "mysql" or operation.position is None or context.is_new(operation.table):
        return
    if _is_there(operation, context):
        return
    yield Hazard(
        f"to move {operation.column} the table{context.rows(operation.table)} is built anew; writers go on, but "
        "replicas wait for it",
        "Leave out FIRST or AFTER: the place of a column matters only to SELECT *.",
        str(operation.table),
    )


def _is_there(operation: ops.ModifyColumn, context: Context) -> bool:
    """Whether the column has that place already."""
    table = context.table(operation.table)
    columns = list(table.columns) if table is not None and table.complete else []
    column = context.catalog.fold(operation.column)
    if column not in columns:
        return False
    index = columns.index(column)
    before = f"AFTER {columns[index - 1]}" if index else "FIRST"
    return before.lower() == (operation.position or "").lower()


RULE = Rule(
    engines=("mysql",),
    id="my-move-column-rebuilds",
    summary="MODIFY ... FIRST or AFTER builds the table anew",
    why="MySQL keeps the columns of a row in their order; MariaDB only notes the new one.",
    catalogue="B2 (column order)",
    severity="warning",
    effect="rewrite",
    on=(ops.ModifyColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users MODIFY age INT AFTER bio;", engine="mysql"),
        Example("ALTER TABLE users CHANGE name name VARCHAR(60) FIRST;", engine="mysql"),
    ),
    good=(
        Example("ALTER TABLE users MODIFY age INT;", engine="mysql"),
        Example("ALTER TABLE users MODIFY age INT AFTER name;", engine="mysql"),
        Example("ALTER TABLE users ADD COLUMN height INT AFTER age;", engine="mysql"),
    ),
)
