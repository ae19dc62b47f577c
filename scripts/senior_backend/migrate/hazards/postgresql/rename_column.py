"""RENAME COLUMN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import postgresql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.RenameColumn, context: Context) -> Iterator[Hazard]:
    """Report a column whose old name running code still uses."""
    if context.is_new(operation.table) or context.added_here(operation.table, operation.column):
        return
    column = context.column(operation.table, operation.column)
    type_ = column.type if column is not None and column.type is not None else "…"
    table, old, new = text.name(operation.table), text.identifier(operation.column), text.identifier(operation.new_name)
    yield Hazard(
        f"running code that names {operation.column} fails from the moment of the rename until the last old "
        "process is gone",
        f"ALTER TABLE {table} ADD COLUMN {new} {type_};\n"
        f"a BEFORE INSERT OR UPDATE trigger that copies each column into the other, whichever was written;\n"
        f"{fixes.backfill(operation.table, operation.new_name, old)}\n"
        f"-- deploy code that uses {new} only; then drop the trigger and {old}",
        str(operation.table),
    )


RULE = Rule(
    id="pg-rename-column",
    summary="RENAME COLUMN breaks running code",
    why="Old and new release run side by side during a deploy, and one of them always has the wrong name.",
    catalogue="B1.31",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    on=(ops.RenameColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users RENAME COLUMN name TO full_name;"),
        Example("ALTER VIEW active_users RENAME COLUMN name TO full_name;", lock=""),
    ),
    good=(Example("CREATE TABLE tags (a int); ALTER TABLE tags RENAME a TO b;"),),
)
