"""A rebuild that renames the old table first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.RenameTable, context: Context) -> Iterator[Hazard]:
    """Report a rename behind which a new table takes the old name."""
    if context.is_new(operation.table) or not context.created_here("table", operation.table):
        return
    if context.setting("legacy_alter_table") in ("on", "1", "true", "yes"):
        return
    table = operation.table.name.lower()
    if not any(
        isinstance(step, ops.CreateTable) and step.table.name.lower() == table
        for parsed in context.statements[context.position :]
        for step in parsed.operations
    ):
        return
    children = ", ".join(sorted(child.name.name for child in context.catalog.children(operation.table)))
    yield Hazard(
        f"the rename turns foreign keys, views and triggers over to {operation.new_name}"
        + (f" ({children} refers to it)" if children else "")
        + ": dropping that one then deletes, or orphans, the child rows",
        f"The other way round, with PRAGMA foreign_keys = OFF before BEGIN: create {operation.table.name}_new, copy, "
        f"DROP TABLE {text.name(operation.table)}, ALTER TABLE {operation.table.name}_new RENAME TO "
        f"{text.name(operation.table)}, make indexes, triggers and views again, PRAGMA foreign_key_check.",
        str(operation.table),
    )


RULE = Rule(
    engines=("sqlite",),
    id="sqlite-rename-first-rebuild",
    summary="A rebuild that renames the old table away loses the rows of its children",
    why="Since 3.26, RENAME rewrites every reference to the table; ON DELETE CASCADE then follows the old one.",
    catalogue="B3",
    severity="error",
    on=(ops.RenameTable,),
    check=check,
    bad=(
        Example(
            "ALTER TABLE users RENAME TO users_old; CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT);"
            "INSERT INTO users SELECT id, email FROM users_old; DROP TABLE users_old;",
            setup="DROP VIEW user_names; DROP TRIGGER orders_touch;",
        ),
    ),
    good=(
        Example("ALTER TABLE users RENAME TO people;"),
        Example(
            "PRAGMA foreign_keys = OFF; CREATE TABLE orders_new (id INTEGER PRIMARY KEY);"
            "INSERT INTO orders_new SELECT id FROM orders; DROP TABLE orders;"
            "ALTER TABLE orders_new RENAME TO orders; PRAGMA foreign_key_check; PRAGMA foreign_keys = ON;",
            transaction=False,
        ),
    ),
)
