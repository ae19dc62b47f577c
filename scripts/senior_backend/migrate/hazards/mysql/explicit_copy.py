"""ALGORITHM=COPY, LOCK=SHARED and LOCK=EXCLUSIVE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_BAD = frozenset((("ALGORITHM", "COPY"), ("LOCK", "SHARED"), ("LOCK", "EXCLUSIVE")))


def check(operation: ops.Operation, context: Context) -> Iterator[Hazard]:
    """Report a clause that asks for what should be avoided."""
    table = getattr(operation, "table", None)
    if table is None or context.is_new(table) or context.notes.get(RULE.id) is context.statement:
        return
    for name, value in context.statement.clauses:
        if (name, value) in _BAD:
            context.notes[RULE.id] = context.statement
            yield Hazard(
                f"{name}={value} stops all writers of {table}{context.rows(table)} until the statement is done",
                "ALGORITHM=INPLACE, LOCK=NONE; where the server refuses that, use gh-ost or pt-online-schema-change.",
                str(table),
            )
            return


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-explicit-copy-or-lock",
    summary="ALGORITHM=COPY, LOCK=SHARED and LOCK=EXCLUSIVE stop writers",
    why="The clause takes away what the server could have done online.",
    catalogue="B2.20",
    severity="error",
    on=(
        ops.AddColumn,
        ops.DropColumn,
        ops.ModifyColumn,
        ops.RenameColumn,
        ops.AddConstraint,
        ops.DropConstraint,
        ops.CreateIndex,
        ops.DropIndex,
        ops.SetDefault,
        ops.DropDefault,
        ops.AlterTable,
    ),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD COLUMN a INT, ALGORITHM=COPY;"),
        Example("CREATE INDEX users_name ON users (name) ALGORITHM=INPLACE LOCK=EXCLUSIVE;"),
    ),
    good=(Example("ALTER TABLE users ADD COLUMN a INT, ALGORITHM=INSTANT;"),),
)
