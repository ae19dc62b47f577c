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
    if operation.filtered or context.is_new(operation.table):
        return
    verb = "UPDATE" if isinstance(operation, ops.Update) else "DELETE"
    yield Hazard(
        f"{verb} without WHERE locks every row of {operation.table}{context.rows(operation.table)} in one transaction, "
        "and replicas repeat it as one",
        f"In batches by primary key, each its own transaction:\n… {text.mysql_name(operation.table)} … "
        "WHERE id BETWEEN … AND …;",
        str(operation.table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-unbounded-change",
    summary="UPDATE or DELETE without WHERE changes every row in one transaction",
    why="Writers wait for the row locks, the undo log grows, and replicas lag by the whole run.",
    catalogue="B2 (backfill)",
    severity="error",
    on=(ops.Update, ops.Delete),
    check=check,
    bad=(Example("UPDATE users SET age = 1;"), Example("DELETE FROM orders;")),
    good=(
        Example("UPDATE users SET age = 1 WHERE id BETWEEN 1 AND 100;"),
        Example("DELETE FROM orders LIMIT 100;"),
        Example("CREATE TABLE tags (a INT); UPDATE tags SET a = 1;"),
    ),
)
