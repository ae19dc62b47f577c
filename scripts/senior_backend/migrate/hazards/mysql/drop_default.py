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
    column, table = context.column(operation.table, operation.column), context.table(operation.table)
    if column is not None and column.default is None and table is not None and table.complete:
        return
    fails = column is not None and column.not_null
    yield Hazard(
        f"inserts of running code that do not name {operation.column} "
        + ("fail from now on (error 1364): the column is NOT NULL" if fails else "store nulls from now on"),
        "Keep the default until no release that leaves the column out is running; drop it in a later migration.",
        str(operation.table),
        severity="error" if fails else None,
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-drop-default",
    summary="DROP DEFAULT breaks inserts of running code that leave the column out",
    why="ORMs add a NOT NULL column with a default and drop the default at once: while the old release still runs, "
    "its inserts fail, or store 0 and '' where sql_mode is not strict.",
    catalogue="B2 (default)",
    severity="warning",
    on=(ops.DropDefault,),
    check=check,
    bad=(
        Example("ALTER TABLE users ALTER COLUMN state DROP DEFAULT;"),
        Example("ALTER TABLE users ADD n INT NOT NULL DEFAULT 5; ALTER TABLE users ALTER n DROP DEFAULT;"),
    ),
    good=(
        Example("ALTER TABLE users ALTER age DROP DEFAULT;"),
        Example("CREATE TABLE tags (a INT DEFAULT 1); ALTER TABLE tags ALTER a DROP DEFAULT;"),
    ),
)
