"""SET (autovacuum_enabled = false)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_PARAMETERS = ("autovacuum_enabled", "toast.autovacuum_enabled")
_OFF = ("false", "off", "no", "0", "f", "n")


def check(operation: ops.AlterTable, context: Context) -> Iterator[Hazard]:
    """Report a table that is left without vacuum, also one that is new."""
    if operation.action != "set-parameters":
        return
    for parameter in _PARAMETERS:
        if _switches_off(operation, parameter) and not _switched_on_again(operation, parameter, context):
            yield Hazard(
                f"from now on nothing removes dead rows of {operation.table} or keeps its statistics: it grows and its "
                "queries get slower, until a vacuum against wraparound comes at a time of its own choosing",
                "Make autovacuum cheaper or more frequent instead:\n"
                f"ALTER TABLE {text.name(operation.table)} SET (autovacuum_vacuum_scale_factor = 0.02, "
                "autovacuum_vacuum_cost_delay = 2);\n"
                f"For one bulk load, put ALTER TABLE {text.name(operation.table)} RESET ({parameter}); behind it.",
                str(operation.table),
            )


def _switches_off(operation: ops.AlterTable, parameter: str) -> bool:
    return any(f"{parameter}={value}" in (operation.detail or "").split() for value in _OFF)


def _switched_on_again(operation: ops.AlterTable, parameter: str, context: Context) -> bool:
    return any(
        isinstance(step, ops.AlterTable)
        and step.table == operation.table
        and (step.action == "reset-parameters" or f"{parameter}=" in (step.detail or ""))
        and not _switches_off(step, parameter)
        for parsed in context.statements[context.position + 1 :]
        for step in parsed.operations
    )


RULE = Rule(
    id="pg-autovacuum-disabled",
    summary="autovacuum_enabled = false lets a table bloat, and its statistics age",
    why="Dead rows stay, plans go by old statistics, and the vacuum against wraparound runs all the same, over all of "
    "it at once.",
    catalogue="B1 (autovacuum)",
    severity="warning",
    on=(ops.AlterTable,),
    check=check,
    bad=(
        Example("ALTER TABLE users SET (autovacuum_enabled = false);"),
        Example("ALTER TABLE users SET (fillfactor = 70, toast.autovacuum_enabled = off);"),
    ),
    good=(
        Example("ALTER TABLE users SET (autovacuum_enabled = true, autovacuum_vacuum_scale_factor = 0);"),
        Example("ALTER TABLE users SET (fillfactor = 70, autovacuum_analyze_scale_factor = 0.05);"),
        Example(
            "ALTER TABLE logs SET (autovacuum_enabled = false); INSERT INTO logs VALUES (1, 'a');"
            "ALTER TABLE logs RESET (autovacuum_enabled);"
        ),
    ),
)
