"""TRUNCATE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.Truncate, context: Context) -> Iterator[Hazard]:
    """Report a table that is emptied, and those that CASCADE empties with it."""
    if context.is_new(operation.table):
        return
    children = sorted(child.name.name for child in context.catalog.children(operation.table))
    also = ""
    if operation.cascade:
        also = (
            f", and with it {', '.join(children)} and all that refer to them"
            if children
            else (", and with it every table that refers to it, and those that refer to these")
        )
    yield Hazard(
        f"all rows of {operation.table}{context.rows(operation.table)}{also} are gone for good, "
        "and nobody can read while it waits for its lock",
        f"With a backup at hand, in batches by key, each its own transaction:\n"
        f"DELETE … {text.name(operation.table)} … BETWEEN … AND …;",
        str(operation.table),
    )


RULE = Rule(
    id="pg-truncate",
    summary="TRUNCATE loses all rows, with CASCADE those of other tables as well",
    why="ACCESS EXCLUSIVE is taken on the table and, with CASCADE, on everything that refers to it.",
    catalogue="B1.36",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="rewrite",
    on=(ops.Truncate,),
    check=check,
    rollback=True,
    bad=(Example("TRUNCATE logs;"), Example("TRUNCATE TABLE users CASCADE;")),
    good=(Example("CREATE TABLE tags (a int); TRUNCATE tags;"), Example("DELETE FROM logs WHERE id BETWEEN 1 AND 5;")),
)
