"""ADD COLUMN ... NOT NULL without a default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import postgresql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddColumn, context: Context) -> Iterator[Hazard]:
    """Report a column that no existing row can have."""
    column = operation.column
    if not column.not_null or column.default is not None or column.generated or column.identity:
        return
    if context.is_new(operation.table) or (column.type is not None and "serial" in column.type.name):
        return
    table, attribute = text.name(operation.table), text.identifier(column.name)
    yield Hazard(
        f"the statement fails on a table with rows, and inserts of the running code, which do not know "
        f"{column.name}, fail from then on",
        f"ALTER TABLE {table} ADD COLUMN {attribute} {column.type};\n"
        f"{fixes.backfill(operation.table, column.name, '…')}\n"
        f"{fixes.not_null_steps(operation.table, column.name, server=context.version)}",
        str(operation.table),
    )


RULE = Rule(
    id="pg-add-column-not-null",
    summary="ADD COLUMN ... NOT NULL without a default fails on a table with rows",
    why="Existing rows would hold a null. On an empty table it works and breaks the inserts of the deployed code.",
    catalogue="B1.7",
    severity="error",
    effect="fails",
    on=(ops.AddColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD COLUMN phone text NOT NULL;", fails=True),
        Example("ALTER TABLE users ADD COLUMN a int, ADD COLUMN phone text NOT NULL;", fails=True),
    ),
    good=(
        Example("ALTER TABLE users ADD COLUMN phone text;"),
        Example("ALTER TABLE users ADD COLUMN phone text NOT NULL DEFAULT '';"),
        Example("CREATE TABLE tags (id bigint); ALTER TABLE tags ADD COLUMN label text NOT NULL;"),
    ),
)
