"""A changed primary key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import mysql_fixes as fixes
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddConstraint | ops.DropConstraint | ops.DropColumn, context: Context) -> Iterator[Hazard]:
    """Report a table that is built anew around another key."""
    if (
        not _changes_key(operation, context)
        or context.is_new(operation.table)
        or context.notes.get(RULE.id) is context.statement
    ):
        return
    context.notes[RULE.id] = context.statement
    steps = context.statement.operations
    alone = not any(isinstance(step, ops.AddConstraint) and step.constraint.kind == "primary-key" for step in steps)
    yield Hazard(
        f"the table{context.rows(operation.table)} is built anew around its key"
        + (
            ": without another key in the same statement by a copy that stops all writers"
            if alone
            else "; writers go on, but replicas wait for it"
        ),
        fixes.online_copy(operation.table, "DROP PRIMARY KEY, ADD PRIMARY KEY (…)"),
        str(operation.table),
        severity="error" if alone else None,
        lock="SHARED" if alone else None,
    )


def _changes_key(operation: ops.AddConstraint | ops.DropConstraint | ops.DropColumn, context: Context) -> bool:
    if isinstance(operation, ops.AddConstraint):
        return operation.constraint.kind == "primary-key"
    if isinstance(operation, ops.DropConstraint):
        return operation.kind == "primary-key"
    table = context.table(operation.table)
    return table is not None and context.catalog.fold(operation.column) in table.primary_key


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-primary-key-rebuilds",
    summary="A changed primary key builds the table anew",
    why="InnoDB keeps the rows in the order of the primary key, and names them by it in all other indexes.",
    catalogue="B2.17",
    severity="warning",
    effect="rewrite",
    on=(ops.AddConstraint, ops.DropConstraint, ops.DropColumn),
    check=check,
    bad=(
        Example("ALTER TABLE orders DROP PRIMARY KEY, ADD PRIMARY KEY (id, user_id);"),
        Example("ALTER TABLE orders DROP PRIMARY KEY;", lock="SHARED"),
        Example("ALTER TABLE orders DROP COLUMN id;", lock="SHARED"),
    ),
    good=(Example("CREATE TABLE tags (a INT NOT NULL); ALTER TABLE tags ADD PRIMARY KEY (a);"),),
)
