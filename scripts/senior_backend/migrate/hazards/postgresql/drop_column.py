"""DROP COLUMN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.DropColumn, context: Context) -> Iterator[Hazard]:
    """Report a column that running code may still use."""
    if context.is_new(operation.table) or context.added_here(operation.table, operation.column):
        return
    table, attribute = text.name(operation.table), text.identifier(operation.column)
    yield Hazard(
        f"code that is running still selects and writes {operation.column}, and its data is gone for good",
        f"1. Deploy a release that does not name the column any more (ORMs: ignore it, or they still select it).\n"
        f"2. In a later release, with a backup at hand:\nALTER TABLE {table} DROP COLUMN {attribute};\n"
        "Where that release is out already, silence this line with the reason.",
        str(operation.table),
    )


RULE = Rule(
    id="pg-drop-column",
    summary="DROP COLUMN breaks running code and loses data",
    why="The lock is short, but every query of the running release that names the column fails, and prepared "
    "statements and ORMs name all columns.",
    catalogue="B1.26",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    on=(ops.DropColumn,),
    check=check,
    rollback=True,
    bad=(
        Example("ALTER TABLE users DROP COLUMN age;"),
        Example("ALTER TABLE users DROP COLUMN IF EXISTS name CASCADE;"),
    ),
    good=(
        Example("CREATE TABLE tags (a int, b int); ALTER TABLE tags DROP COLUMN b;"),
        Example("ALTER TABLE users ALTER COLUMN age DROP DEFAULT;"),
        Example("ALTER TABLE users ADD COLUMN n int; ALTER TABLE users DROP COLUMN n;"),
    ),
)
