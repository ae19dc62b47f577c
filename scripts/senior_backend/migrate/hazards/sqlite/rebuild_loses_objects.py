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
    lost = [
        f"the index {index.name}"
        for index in table.indexes.values()
        if index.backs is None and not context.created_here("index", ops.Name(index.name))
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
            "PRAGMA foreign_keys = OFF; CREATE TABLE orders_new (id INTEGER PRIMARY KEY, user_id INTEGER);"
            "INSERT INTO orders_new SELECT id, user_id FROM orders; DROP TABLE orders;"
            "ALTER TABLE orders_new RENAME TO orders; PRAGMA foreign_key_check;"
            "CREATE TRIGGER orders_touch AFTER INSERT ON orders BEGIN SELECT 1; END;",
            transaction=False,
        ),
    ),
)
