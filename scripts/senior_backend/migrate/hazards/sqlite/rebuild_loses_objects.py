"""A rebuild that forgets indexes and triggers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.DropTable, context: Context) -> Iterator[Hazard]:
    """Report indexes and triggers that are not made again."""
    table = context.table(operation.table)
    if table is None or context.is_new(operation.table) or not context.renamed_later(operation.table):
        return
    kept = _columns_of_successor(operation.table, context)
    lost = [
        f"the index {index.name}"
        for index in table.indexes.values()
        if index.backs is None
        and not context.created_here("index", ops.Name(index.name))
        and (kept is None or index.mentioned <= kept)
    ]
    lost += [
        f"the trigger {trigger}"
        for trigger in sorted(table.triggers)
        if not context.created_here("trigger", ops.Name(trigger))
    ]
    if lost:
        yield Hazard(
            f"DROP TABLE takes {', '.join(lost)} along, and nothing here makes them again",
            f"Create them again behind the rename to {text.name(operation.table)}; their SQL is in sqlite_schema.",
            str(operation.table),
        )


def _columns_of_successor(name: ops.Name, context: Context) -> frozenset[str] | None:
    """Return the columns of the table that gets the name later on, None where they are not known."""
    for parsed in context.statements[context.position :]:
        for step in parsed.operations:
            if isinstance(step, ops.RenameTable) and step.new_name.lower() == name.name.lower():
                successor = context.table(step.table)
                return frozenset(successor.columns) if successor is not None and successor.complete else None
    return None


RULE = Rule(
    engines=("sqlite",),
    id="sqlite-rebuild-loses-objects",
    summary="A rebuild that does not make the indexes and triggers of the old table again",
    why="They belong to the table and go with it.",
    catalogue="B3",
    severity="error",
    on=(ops.DropTable,),
    check=check,
    bad=(
        Example(
            "PRAGMA foreign_keys = OFF; CREATE TABLE orders_new (id INTEGER PRIMARY KEY, user_id INTEGER);"
            "INSERT INTO orders_new SELECT id, user_id FROM orders; DROP TABLE orders;"
            "ALTER TABLE orders_new RENAME TO orders; PRAGMA foreign_key_check;",
            transaction=False,
        ),
    ),
    good=(
        Example(
            "PRAGMA foreign_keys = OFF; CREATE TABLE users_new (id INTEGER PRIMARY KEY, email TEXT UNIQUE, name TEXT);"
            "INSERT INTO users_new SELECT id, email, name FROM users; DROP TABLE users;"
            "ALTER TABLE users_new RENAME TO users; PRAGMA foreign_key_check;",
            setup="DROP VIEW user_names; DROP TRIGGER orders_touch;",
            transaction=False,
        ),
        Example(
            "PRAGMA foreign_keys = OFF; CREATE TABLE orders_new (id INTEGER PRIMARY KEY, user_id INTEGER);"
            "INSERT INTO orders_new SELECT id, user_id FROM orders; DROP TABLE orders;"
            "ALTER TABLE orders_new RENAME TO orders; PRAGMA foreign_key_check;"
            "CREATE TRIGGER orders_touch AFTER INSERT ON orders BEGIN SELECT 1; END;",
            transaction=False,
        ),
    ),
)
