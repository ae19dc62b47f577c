"""A rebuild while foreign keys are on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.DropTable, context: Context) -> Iterator[Hazard]:
    """Report a drop that deletes, or is refused because of, the rows of its children."""
    if context.is_new(operation.table) or not context.renamed_later(operation.table):
        return
    children = context.catalog.children(operation.table)
    if not children or context.setting("foreign_keys") in ("off", "0", "false", "no"):
        return
    names = ", ".join(sorted(child.name.name for child in children))
    yield Hazard(
        f"with foreign keys on, DROP TABLE deletes the rows of {operation.table} first: ON DELETE CASCADE takes those "
        f"of {names} along, other keys make it fail",
        "PRAGMA foreign_keys = OFF; before BEGIN, outside of any transaction, and behind COMMIT:\n"
        "PRAGMA foreign_key_check; PRAGMA foreign_keys = ON;",
        str(operation.table),
    )


RULE = Rule(
    engines=("sqlite",),
    id="sqlite-rebuild-with-foreign-keys-on",
    summary="A rebuild with foreign keys on deletes the rows of child tables",
    why="DROP TABLE is an implicit DELETE of all rows where foreign keys are enforced.",
    catalogue="B3",
    severity="error",
    on=(ops.DropTable,),
    check=check,
    bad=(
        Example(
            "CREATE TABLE users_new (id INTEGER PRIMARY KEY, name TEXT);"
            "INSERT INTO users_new SELECT id, name FROM users; DROP TABLE users;"
            "ALTER TABLE users_new RENAME TO users;",
            setup="DROP VIEW user_names; DROP TRIGGER orders_touch;",
        ),
    ),
    good=(
        Example(
            "PRAGMA foreign_keys = OFF; CREATE TABLE users_new (id INTEGER PRIMARY KEY, name TEXT);"
            "INSERT INTO users_new SELECT id, name FROM users; DROP TABLE users;"
            "ALTER TABLE users_new RENAME TO users; PRAGMA foreign_key_check;",
            setup="DROP VIEW user_names; DROP TRIGGER orders_touch;",
            transaction=False,
        ),
        Example("DROP TABLE orders;"),
    ),
)
