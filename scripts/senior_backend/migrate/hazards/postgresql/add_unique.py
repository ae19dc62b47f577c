"""ADD CONSTRAINT ... UNIQUE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import postgresql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddConstraint, context: Context) -> Iterator[Hazard]:
    """Report a unique constraint whose index is built at once."""
    constraint = operation.constraint
    if constraint.kind != "unique" or constraint.using_index is not None or context.is_new(operation.table):
        return
    name = constraint.name or text.shortened("_".join((operation.table.name, *constraint.columns)), "_key")
    yield Hazard(
        f"building the index reads the whole table{context.rows(operation.table)} while nobody can read or write it",
        fixes.unique_by_index(operation.table, name, constraint.columns),
        str(operation.table),
    )


RULE = Rule(
    id="pg-add-unique-constraint",
    summary="ADD CONSTRAINT ... UNIQUE builds an index under ACCESS EXCLUSIVE",
    why="The index can be built concurrently first and then become the constraint, which takes no time.",
    catalogue="B1.18",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="scan",
    on=(ops.AddConstraint,),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD CONSTRAINT users_code_key UNIQUE (code);"),
        Example("ALTER TABLE users ADD UNIQUE (org_id, name);"),
    ),
    good=(
        Example(
            "ALTER TABLE users ADD CONSTRAINT users_code_key UNIQUE USING INDEX users_code_key;",
            setup="CREATE UNIQUE INDEX users_code_key ON users (code);",
        ),
        Example("CREATE TABLE tags (label text); ALTER TABLE tags ADD UNIQUE (label);"),
    ),
)
