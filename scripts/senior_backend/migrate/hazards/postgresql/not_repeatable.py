"""Statements that fail when they run twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.Operation, context: Context) -> Iterator[Hazard]:
    """Report a statement without IF [NOT] EXISTS, outside a transaction that would undo it."""
    if context.in_transaction is True:
        return
    if isinstance(operation, (ops.CreateTable, ops.AddColumn)):
        robust, words = operation.if_not_exists, "IF NOT EXISTS"
    elif isinstance(operation, (ops.DropTable, ops.DropColumn, ops.DropIndex, ops.DropConstraint)):
        robust, words = operation.if_exists, "IF EXISTS"
    else:
        return
    if not robust:
        yield Hazard(
            f"after a failure further down, running the file again stops here: it has no {words}",
            f"Add {words}; it hides an object of another shape, so compare the schemas as well.",
        )


RULE = Rule(
    id="pg-not-repeatable",
    summary="A statement without IF [NOT] EXISTS outside a transaction cannot run again",
    why="Without a transaction a failure leaves the first statements done.",
    catalogue="B1.52",
    severity="warning",
    group="style",
    on=(ops.CreateTable, ops.AddColumn, ops.DropTable, ops.DropColumn, ops.DropIndex, ops.DropConstraint),
    check=check,
    bad=(Example("CREATE TABLE t (a int);", transaction=False), Example("DROP TABLE logs;", transaction=False)),
    good=(
        Example("CREATE TABLE IF NOT EXISTS t (a int);", transaction=False),
        Example("CREATE TABLE t (a int);"),
    ),
)
