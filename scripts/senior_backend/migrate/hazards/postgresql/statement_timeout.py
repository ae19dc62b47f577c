"""A migration without statement_timeout."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.TableOperation, context: Context) -> Iterator[Hazard]:
    """Report the first statement that may run for ever; once a migration is enough."""
    if context.unit.timeouts or context.notes.get(RULE.id) or context.is_new(operation.table):
        return
    if context.setting("statement_timeout") not in (None, "0"):
        return
    context.notes[RULE.id] = True
    yield Hazard(
        f"nothing bounds how long the statement may hold its lock on {operation.table}",
        "At the top of the migration:\nSET statement_timeout = '5s';\n"
        "Lift it (SET statement_timeout = 0) for CREATE INDEX CONCURRENTLY and VALIDATE CONSTRAINT.",
        str(operation.table),
    )


RULE = Rule(
    id="pg-missing-statement-timeout",
    summary="A statement that locks a table in use runs without statement_timeout",
    why="A statement that turns out to scan gives its lock back when the timeout ends it.",
    catalogue="B1.48",
    severity="warning",
    group="style",
    on=(ops.AddColumn, ops.AddConstraint, ops.AlterColumnType, ops.SetNotNull, ops.CreateIndex),
    check=check,
    bad=(Example("ALTER TABLE users ADD COLUMN n int;"),),
    good=(Example("SET statement_timeout = '5s'; ALTER TABLE users ADD COLUMN n int;"),),
)
