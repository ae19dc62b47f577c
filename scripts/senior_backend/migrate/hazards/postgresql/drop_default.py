"""ALTER COLUMN ... DROP DEFAULT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.DropDefault, context: Context) -> Iterator[Hazard]:
    """Report that inserts which leave the column out fail, or store nulls, from now on."""
    if context.is_new(operation.table):
        return
    column = context.column(operation.table, operation.column)
    table = context.table(operation.table)
    if column is not None and column.default is None and table is not None and table.complete:
        return
    fails = column is not None and column.not_null
    yield Hazard(
        f"inserts of running code that do not name {operation.column} "
        + ("fail from now on: the column is NOT NULL" if fails else "store nulls from now on"),
        "Keep the default until no release that leaves the column out is running; drop it in a later migration.",
        str(operation.table),
        severity="error" if fails else None,
    )


RULE = Rule(
    id="pg-drop-default",
    summary="DROP DEFAULT breaks inserts of running code that leave the column out",
    why="ORMs add a NOT NULL column with a default and drop the default at once: while the old release still runs, "
    "its inserts fail.",
    catalogue="B1.30",
    severity="warning",
    lock="ACCESS EXCLUSIVE",
    on=(ops.DropDefault,),
    check=check,
    bad=(
        Example("ALTER TABLE users ALTER COLUMN active DROP DEFAULT;"),
        Example(
            "ALTER TABLE users ADD COLUMN n int NOT NULL DEFAULT 5; ALTER TABLE users ALTER COLUMN n DROP DEFAULT;"
        ),
    ),
    good=(
        Example("ALTER TABLE users ALTER COLUMN age DROP DEFAULT;"),
        Example("CREATE TABLE tags (a int DEFAULT 1); ALTER TABLE tags ALTER COLUMN a DROP DEFAULT;"),
    ),
)
