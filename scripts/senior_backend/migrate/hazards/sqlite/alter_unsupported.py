"""ALTER TABLE in a form that SQLite does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_UNKNOWN = (ops.ModifyColumn, ops.AddConstraint, ops.DropConstraint, ops.SetDefault, ops.DropDefault, ops.AlterTable)


def check(operation: ops.TableOperation, context: Context) -> Iterator[Hazard]:
    """Report what SQLite's parser does not know."""
    if context.notes.get(RULE.id) is context.statement:
        return
    if isinstance(operation, ops.CreateIndex) and not context.statement.statement.text.upper().startswith("ALTER"):
        return
    if isinstance(operation, (*_UNKNOWN, ops.CreateIndex)):
        reason = "ALTER TABLE knows RENAME TO, RENAME COLUMN, ADD COLUMN and DROP COLUMN only"
    elif len(context.statement.operations) > 1:
        reason = "ALTER TABLE takes one action only"
    elif (isinstance(operation, ops.AddColumn) and operation.if_not_exists) or (
        isinstance(operation, ops.DropColumn) and operation.if_exists
    ):
        reason = "there is no IF [NOT] EXISTS in ALTER TABLE"
    else:
        return
    context.notes[RULE.id] = context.statement
    yield Hazard(
        f"SQLite does not know this: {reason}",
        "Write one statement for each action; for the others rebuild the table (`db_migrate.py rewrite` writes the "
        f"steps for {text.name(operation.table)}).",
        str(operation.table),
    )


RULE = Rule(
    engines=("sqlite",),
    id="sqlite-alter-unsupported",
    summary="ALTER COLUMN, ADD or DROP CONSTRAINT, IF EXISTS or several actions in one ALTER TABLE",
    why="SQLite's ALTER TABLE is small; a change of type, nullability or constraint needs a new table.",
    catalogue="B3",
    severity="error",
    effect="fails",
    on=(*_UNKNOWN, ops.CreateIndex, ops.AddColumn, ops.DropColumn, ops.RenameColumn, ops.RenameTable),
    check=check,
    bad=(
        Example("ALTER TABLE users ALTER COLUMN age SET DEFAULT 5;", fails=True),
        Example("ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0);", fails=True),
        Example("ALTER TABLE users ADD COLUMN a TEXT, ADD COLUMN b TEXT;", fails=True),
        Example("ALTER TABLE users ADD COLUMN IF NOT EXISTS a TEXT;", fails=True),
        Example("ALTER TABLE users ALTER COLUMN age TYPE TEXT;", fails=True),
    ),
    good=(
        Example("ALTER TABLE users ADD COLUMN a TEXT; ALTER TABLE users ADD b TEXT;"),
        Example("CREATE INDEX users_name ON users (name);"),
    ),
)
