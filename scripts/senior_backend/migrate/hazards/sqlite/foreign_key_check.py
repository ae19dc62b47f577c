"""A rebuild without a check of the foreign keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def finish(context: Context) -> Iterator[Hazard]:
    """Report foreign keys that are switched off and never checked."""
    off = None
    for parsed in context.statements:
        for operation in parsed.operations:
            if not isinstance(operation, ops.SetVariable):
                continue
            if operation.name == "foreign_keys" and operation.value in ("off", "0", "false", "no"):
                off = parsed
            elif operation.name == "foreign_key_check":
                off = None
    if off is not None:
        yield Hazard(
            "foreign keys are off, and nothing checks afterwards that all rows still find their parents",
            "Before COMMIT, and look at its rows:\nPRAGMA foreign_key_check;",
            statement=off,
        )


RULE = Rule(
    engines=("sqlite",),
    id="sqlite-foreign-key-check-missing",
    summary="PRAGMA foreign_keys = OFF without PRAGMA foreign_key_check",
    why="Switching enforcement on again checks nothing that is there already.",
    catalogue="B3",
    severity="warning",
    finish=finish,
    bad=(
        Example(
            "PRAGMA foreign_keys = OFF; DELETE FROM users WHERE id = 1; PRAGMA foreign_keys = ON;", transaction=False
        ),
    ),
    good=(Example("PRAGMA foreign_keys = OFF; SELECT 1; PRAGMA foreign_key_check;", transaction=False),),
)
