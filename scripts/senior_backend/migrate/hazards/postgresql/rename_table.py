"""ALTER TABLE ... RENAME TO."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.RenameTable, context: Context) -> Iterator[Hazard]:
    """Report a table whose old name running code still uses, unless a view takes the name."""
    if context.is_new(operation.table) or context.created_here("view", operation.table):
        return
    if context.created_here("table", operation.table):
        return  # a swap: another table takes the name
    old, new = text.name(operation.table), text.identifier(operation.new_name)
    qualified = text.name(operation.table._replace(name=operation.new_name))
    yield Hazard(
        f"running code that names {operation.table} fails from the moment of the rename",
        f"In one transaction:\nALTER TABLE {old} RENAME TO {new};\n"
        f"CREATE VIEW {old} AS TABLE {qualified};  -- simple views can be written to\n"
        f"-- when no code uses the old name any more:\nDROP VIEW {old};",
        str(operation.table),
    )


RULE = Rule(
    id="pg-rename-table",
    summary="RENAME TABLE breaks running code",
    why="A view with the old name, made in the same transaction, keeps the running release working.",
    catalogue="B1.32",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    on=(ops.RenameTable,),
    check=check,
    bad=(Example("ALTER TABLE users RENAME TO people;", lock=""),),
    good=(
        Example("ALTER TABLE users RENAME TO people; CREATE VIEW users AS SELECT * FROM people;"),
        Example("CREATE TABLE tags (a int); ALTER TABLE tags RENAME TO labels;"),
    ),
)
