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
    rows = context.rows(operation.table)
    if isinstance(operation, ops.Update):
        message = (
            f"UPDATE without WHERE locks every row of {operation.table}{rows} until it commits, and doubles the table "
            "on disk"
        )
    else:
        message = f"DELETE without WHERE removes every row of {operation.table}{rows} in one transaction"
    yield Hazard(
        message,
        "In batches by primary key, each its own transaction, outside the migration that changes the schema:\n"
        f"… {text.name(operation.table)} … WHERE id BETWEEN … AND …;",
        str(operation.table),
    )


RULE = Rule(
    id="pg-unbounded-change",
    summary="UPDATE or DELETE without WHERE changes every row in one transaction",
    why="Writers wait for the row locks, replicas lag, dead rows stay behind, and a failure undoes everything.",
    catalogue="B1.37",
    severity="error",
    lock="ROW EXCLUSIVE",
    on=(ops.Update, ops.Delete),
    check=check,
    rollback=True,
    bad=(
        Example("UPDATE users SET age = 1;", effect="scan"),
        Example("DELETE FROM logs;", effect="scan"),
        Example("UPDATE users SET age = 1 WHERE true;", effect="scan"),
        Example("UPDATE users SET age = 1 WHERE 1 = 1;", effect="scan"),
        Example("DELETE FROM logs WHERE NOT false;", effect="scan"),
        Example("DELETE FROM logs WHERE NULL IS NULL;", effect="scan"),
    ),
    good=(
        Example("UPDATE users SET age = 1 WHERE id BETWEEN 1 AND 100;"),
        Example("DELETE FROM logs WHERE 1 = 0;"),
        Example("DELETE FROM logs WHERE NULL IS NOT NULL;"),
        Example("CREATE TABLE tags (a int); UPDATE tags SET a = 1;"),
    ),
)
