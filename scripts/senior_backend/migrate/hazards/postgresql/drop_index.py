"""DROP INDEX without CONCURRENTLY."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.DropIndex, context: Context) -> Iterator[Hazard]:
    """Report the lock on the whole table behind the index."""
    table = context.catalog.table_of_index(operation.index)
    if operation.concurrently or (table is not None and (context.is_new(table.name) or table.kind == "partitioned")):
        return
    place = f"the table {table.name}" if table else "its table"
    yield Hazard(
        f"dropping the index locks {place} against reads and writes, and queues everybody behind it while it waits",
        f"In a migration of its own, outside a transaction:\n"
        f"DROP INDEX CONCURRENTLY IF EXISTS {text.name(operation.index)};",
        str(table.name) if table else str(operation.index),
        severity="info" if context.undone else None,
    )


RULE = Rule(
    id="pg-drop-index-locks-table",
    summary="DROP INDEX without CONCURRENTLY takes an ACCESS EXCLUSIVE lock on the table",
    why="The lock itself is short, but it waits behind every running query, and all later queries wait behind it.",
    catalogue="B1.2",
    severity="warning",
    lock="ACCESS EXCLUSIVE",
    on=(ops.DropIndex,),
    check=check,
    rollback=True,
    bad=(Example("DROP INDEX users_email;"), Example("DROP INDEX IF EXISTS public.users_email;")),
    good=(
        Example("DROP INDEX CONCURRENTLY IF EXISTS users_email;", transaction=False),
        Example("CREATE TABLE tags (label text); CREATE INDEX tags_label ON tags (label); DROP INDEX tags_label;"),
    ),
)
