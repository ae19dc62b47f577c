"""DROP and RENAME of what running code uses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(
    operation: ops.DropTable | ops.DropColumn | ops.RenameTable | ops.RenameColumn, context: Context
) -> Iterator[Hazard]:
    """Report data that is dropped, and names that running code still uses."""
    if context.is_new(operation.table):
        return
    if isinstance(operation, (ops.DropTable, ops.RenameTable)) and _taken_over(operation, context):
        return
    if isinstance(operation, ops.DropTable):
        if (operation.if_exists and context.table(operation.table) is None) or _moved_away(operation, context):
            return
        message = f"the table {operation.table} and its rows are gone for good"
        fix = "Keep a copy of the database file; drop the table when no release in use names it."
    elif isinstance(operation, ops.DropColumn):
        message = f"code that is running still names {operation.column}, and its data is gone for good"
        fix = "Deploy a release that does not name the column first, and drop it in a later one."
    else:
        old = operation.column if isinstance(operation, ops.RenameColumn) else str(operation.table)
        message = f"running code that names {old} fails from the moment of the rename"
        fix = "Where the application stops meanwhile, silence this with the reason; else add, copy, drop later."
    yield Hazard(message, fix, str(operation.table))


def _taken_over(operation: ops.DropTable | ops.RenameTable, context: Context) -> bool:
    """Whether a table of this migration has, or gets, the name: a rebuild."""
    if isinstance(operation, ops.RenameTable) and context.created_here("table", operation.table):
        return True
    return context.renamed_later(operation.table)


def _moved_away(operation: ops.DropTable, context: Context) -> bool:
    """Whether it is the old table of a rebuild that renames first, which is judged by a rule of its own."""
    return any(
        isinstance(step, ops.RenameTable)
        and step.new_name.lower() == operation.table.name.lower()
        and context.created_here("table", step.table)
        for parsed in context.statements[: context.position]
        for step in parsed.operations
    )


RULE = Rule(
    engines=("sqlite",),
    id="sqlite-drop-or-rename",
    summary="DROP and RENAME of tables and columns lose data or break running code",
    why="The statements are quick; what they take away is not there any more for the release that runs.",
    catalogue="B3",
    severity="error",
    on=(ops.DropTable, ops.DropColumn, ops.RenameTable, ops.RenameColumn),
    check=check,
    bad=(
        Example("DROP TABLE orders;"),
        Example("ALTER TABLE orders DROP COLUMN total;"),
        Example("ALTER TABLE orders RENAME COLUMN total TO amount;"),
        Example("ALTER TABLE orders RENAME TO purchases;"),
        Example("ALTER TABLE orders RENAME TO purchases; DROP TABLE purchases;"),
    ),
    good=(
        Example(
            "PRAGMA legacy_alter_table = ON; PRAGMA foreign_keys = OFF; ALTER TABLE orgs RENAME TO orgs_old;"
            "CREATE TABLE orgs (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO orgs SELECT id, name FROM orgs_old;"
            "DROP TABLE orgs_old; PRAGMA foreign_key_check;",
            transaction=False,
        ),
        Example("CREATE TABLE tags (a TEXT); ALTER TABLE tags RENAME TO labels; DROP TABLE labels;"),
        Example(
            "PRAGMA foreign_keys = OFF; CREATE TABLE orders_new (id INTEGER PRIMARY KEY);"
            "INSERT INTO orders_new SELECT id FROM orders; DROP TABLE orders;"
            "ALTER TABLE orders_new RENAME TO orders; PRAGMA foreign_key_check;",
            transaction=False,
        ),
    ),
)
