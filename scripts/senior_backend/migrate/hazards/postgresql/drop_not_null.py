"""ALTER COLUMN ... DROP NOT NULL."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.DropNotNull, context: Context) -> Iterator[Hazard]:
    """Report that readers may meet nulls from now on."""
    if context.is_new(operation.table):
        return
    column = context.column(operation.table, operation.column)
    if column is not None and not column.not_null and context.table(operation.table).complete:  # type: ignore[union-attr]
        return
    yield Hazard(
        f"running code that reads {operation.column} has never met a null there",
        "Deploy a release whose readers accept a null first; writers of nulls come after it.",
        str(operation.table),
    )


RULE = Rule(
    id="pg-drop-not-null",
    summary="DROP NOT NULL lets nulls reach code that does not expect them",
    why="The lock is short; it is the deployed readers that break when the first null arrives.",
    catalogue="B1.30",
    severity="info",
    lock="ACCESS EXCLUSIVE",
    on=(ops.DropNotNull,),
    check=check,
    bad=(Example("ALTER TABLE users ALTER COLUMN active DROP NOT NULL;"),),
    good=(
        Example("ALTER TABLE users ALTER COLUMN name DROP NOT NULL;"),
        Example("CREATE TABLE tags (a int NOT NULL); ALTER TABLE tags ALTER COLUMN a DROP NOT NULL;"),
    ),
)
