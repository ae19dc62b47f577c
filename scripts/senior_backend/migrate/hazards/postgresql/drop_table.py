"""DROP TABLE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.DropTable, context: Context) -> Iterator[Hazard]:
    """Report a table that is dropped with its data, and the tables that are locked with it."""
    if context.is_new(operation.table) or (operation.if_exists and _created_later(operation, context)):
        return
    table = context.table(operation.table)
    parents = sorted(
        {str(found.references.name) for found in (table.constraints.values() if table else ()) if found.references}
    )
    children = sorted(child.name.name for child in context.catalog.children(operation.table))
    others = [name for name in (*parents, *children) if name != operation.table.name]
    locked = f", and {', '.join(others)} {'is' if len(others) == 1 else 'are'} locked too" if others else ""
    relation = text.name(operation.table)
    target = text.identifier(text.shortened(operation.table.name, "_deprecated"))
    yield Hazard(
        f"the table and its data{context.rows(operation.table)} are gone for good{locked}",
        f"Drop its foreign keys one by one, then hide it, and drop it when nothing has missed it for a while:\n"
        f"ALTER TABLE {relation} RENAME TO {target};\n"
        f"-- weeks later, with a backup at hand:\nDROP TABLE {target};",
        str(operation.table),
    )


def _created_later(operation: ops.DropTable, context: Context) -> bool:
    """Whether DROP TABLE IF EXISTS only clears the way for a table that was never there."""
    return context.table(operation.table) is None and context.catalog.complete


RULE = Rule(
    id="pg-drop-table",
    summary="DROP TABLE loses data and locks the tables of its foreign keys",
    why="ACCESS EXCLUSIVE is taken on the table and on both sides of its foreign keys; there is no way back.",
    catalogue="B1.27",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    on=(ops.DropTable,),
    check=check,
    rollback=True,
    bad=(Example("DROP TABLE orders;"), Example("DROP TABLE IF EXISTS users CASCADE;")),
    good=(
        Example("CREATE TABLE tags (a int); DROP TABLE tags;"),
        Example("CREATE TEMP TABLE t AS SELECT 1 AS a; DROP TABLE t;"),
    ),
)
