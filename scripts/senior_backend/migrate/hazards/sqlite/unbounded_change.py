"""UPDATE or DELETE without WHERE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.Update | ops.Delete, context: Context) -> Iterator[Hazard]:
    """Report a change of every row in one statement."""
    if operation.filtered or context.is_new(operation.table) or operation.table.name.startswith("sqlite_"):
        return
    verb = "UPDATE" if isinstance(operation, ops.Update) else "DELETE"
    yield Hazard(
        f"{verb} without WHERE holds the only write lock of the database until every row of {operation.table} is done",
        f"In batches, each its own transaction:\n… {text.name(operation.table)} … WHERE rowid BETWEEN … AND …;",
        str(operation.table),
    )


RULE = Rule(
    engines=("sqlite",),
    id="sqlite-unbounded-change",
    summary="UPDATE or DELETE without WHERE holds the write lock for the whole table",
    why="SQLite has one writer; all others wait for busy_timeout and then fail.",
    catalogue="B3",
    severity="warning",
    on=(ops.Update, ops.Delete),
    check=check,
    bad=(Example("UPDATE users SET age = 1;"), Example("DELETE FROM orders;")),
    good=(
        Example("UPDATE users SET age = 1 WHERE id < 100;"),
        Example("CREATE TABLE tags (a TEXT); DELETE FROM tags;"),
    ),
)
