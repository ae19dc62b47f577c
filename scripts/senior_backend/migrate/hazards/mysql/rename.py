"""RENAME of tables and columns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import mysql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.RenameTable | ops.RenameColumn | ops.ModifyColumn, context: Context) -> Iterator[Hazard]:
    """Report a name that running code still uses."""
    if context.is_new(operation.table):
        return
    if isinstance(operation, ops.RenameTable):
        if context.created_here("view", operation.table) or _swapped(operation, context):
            return
        old, new = operation.table, text.mysql_name(operation.table._replace(name=operation.new_name))
        yield Hazard(
            f"running code that names {old} fails from the moment of the rename",
            f"Leave a view behind:\nCREATE VIEW {text.mysql_name(old)} AS TABLE {new};\n"
            "(MariaDB: AS a query of all columns); drop it when no code uses the old name.",
            str(old),
        )
        return
    new_name = operation.new_name if isinstance(operation, ops.RenameColumn) else operation.definition.name
    if new_name.lower() == operation.column.lower():
        return
    yield Hazard(
        f"running code that names {operation.column} fails from the moment of the rename",
        f"ALTER TABLE {text.mysql_name(operation.table)} ADD COLUMN {text.backticked(new_name)} …;\n"
        f"triggers that copy each column into the other, then\n"
        f"{fixes.backfill(operation.table, new_name, text.backticked(operation.column))}\n"
        "-- deploy code that uses the new name only; then drop the triggers and the old column",
        str(operation.table),
    )


def _swapped(operation: ops.RenameTable, context: Context) -> bool:
    """Whether the same statement gives the old name to another table, as gh-ost does."""
    return any(
        isinstance(step, ops.RenameTable) and step.new_name == operation.table.name
        for step in context.statement.operations
    ) or context.created_here("table", operation.table)


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-rename",
    summary="Renaming a table or column breaks running code",
    why="Old and new release run side by side during a deploy, and one of them always has the wrong name.",
    catalogue="B2.21",
    severity="error",
    on=(ops.RenameTable, ops.RenameColumn, ops.ModifyColumn),
    check=check,
    bad=(
        Example("RENAME TABLE users TO people;"),
        Example("ALTER TABLE users RENAME COLUMN name TO full_name;"),
        Example("ALTER TABLE users CHANGE name full_name VARCHAR(60);"),
    ),
    good=(
        Example("CREATE TABLE users2 (a INT); RENAME TABLE users TO users1, users2 TO users;"),
        Example("ALTER TABLE users RENAME INDEX users_email TO users_mail;"),
    ),
)
