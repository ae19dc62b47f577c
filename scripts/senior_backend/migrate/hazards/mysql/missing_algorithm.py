"""ALTER TABLE without ALGORITHM and LOCK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_ACTIONS = (ops.AddColumn, ops.CreateIndex, ops.ModifyColumn, ops.DropColumn, ops.DropIndex)


def check(operation: ops.Operation, context: Context) -> Iterator[Hazard]:
    """Report a change that the server may do in a worse way than was meant."""
    table = operation.table  # type: ignore[attr-defined]
    if table is None or context.statement.clauses or context.is_new(table):
        return
    if context.notes.get(RULE.id) is context.statement:
        return
    context.notes[RULE.id] = context.statement
    instant = isinstance(operation, ops.AddColumn)
    clause = "ALGORITHM=INSTANT" if instant else "ALGORITHM=INPLACE, LOCK=NONE"
    joint = " " if context.statement.statement.text.upper().startswith(("CREATE", "DROP")) else ", "
    yield Hazard(
        "without ALGORITHM and LOCK the server silently falls back to a copy that stops all writers",
        f"Add at the end:{joint}{clause.replace(', ', joint)};",
        str(table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-missing-algorithm",
    summary="DDL without ALGORITHM and LOCK may fall back to a copy",
    why="With the clause the server refuses instead.",
    catalogue="B2.1, B2.13",
    severity="warning",
    group="style",
    on=_ACTIONS,
    check=check,
    bad=(
        Example("ALTER TABLE users ADD COLUMN a INT;"),
        Example("CREATE INDEX users_name ON users (name);"),
    ),
    good=(
        Example("ALTER TABLE users ADD COLUMN a INT, ALGORITHM=INSTANT;"),
        Example("CREATE INDEX users_name ON users (name) ALGORITHM=INPLACE LOCK=NONE;"),
    ),
)
