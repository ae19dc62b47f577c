"""ADD COLUMN ... NOT NULL without a default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddColumn, context: Context) -> Iterator[Hazard]:
    """Report rows that get a value nobody chose."""
    column = operation.column
    if not column.not_null or column.default is not None or column.generated or column.auto_increment:
        return
    if context.is_new(operation.table):
        return
    table, attribute = text.mysql_name(operation.table), text.backticked(column.name)
    yield Hazard(
        f"all rows silently get the value 0 or '' in {column.name}, and inserts of running code that leave it out fail",
        f"Say which value is meant, or let it be empty and fill it:\n"
        f"ALTER TABLE {table} ADD COLUMN {attribute} {column.type} NOT NULL DEFAULT …, ALGORITHM=INSTANT;",
        str(operation.table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-add-column-not-null-fills-silently",
    summary="ADD COLUMN ... NOT NULL without a default fills 0 or '' into all rows",
    why="No error and no warning: the value looks like data.",
    catalogue="B2.5",
    severity="warning",
    on=(ops.AddColumn,),
    check=check,
    bad=(Example("ALTER TABLE users ADD COLUMN phone VARCHAR(20) NOT NULL;"),),
    good=(
        Example("ALTER TABLE users ADD COLUMN phone VARCHAR(20) NOT NULL DEFAULT '';"),
        Example("ALTER TABLE users ADD COLUMN phone VARCHAR(20);"),
    ),
)
