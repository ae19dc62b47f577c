"""ALTER COLUMN ... TYPE of a column with a CHECK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate import postgres_types
from senior_backend.migrate.hazards import postgresql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AlterColumnType, context: Context) -> Iterator[Hazard]:
    """Report CHECK constraints that a change of type checks again, where the table itself stays."""
    table, column = context.table(operation.table), context.column(operation.table, operation.column)
    if table is None or column is None or column.type == operation.type or context.is_new(operation.table):
        return
    if postgres_types.type_change(column.type, operation.type, context.catalog) != "free":
        return  # the rewrite is another rule's
    for name, constraint in sorted(table.constraints.items()):
        expression = constraint.expression
        if constraint.kind != "check" or expression is None or operation.column not in expression.columns:
            continue
        if not constraint.valid:
            continue
        relation, attribute = text.name(operation.table), text.identifier(operation.column)
        yield Hazard(
            f"the table stays, but the CHECK {name} reads all rows{context.rows(operation.table)} again "
            "while nobody can read or write it",
            f"In one transaction:\nALTER TABLE {relation} DROP CONSTRAINT {text.identifier(name)};\n"
            f"ALTER TABLE {relation} ALTER COLUMN {attribute} TYPE {operation.type};\n"
            + fixes.validate_later(operation.table, name, f"CHECK ({expression.sql})"),
            str(operation.table),
        )


RULE = Rule(
    id="pg-change-type-rechecks-constraint",
    summary="Changing the type of a column with a CHECK checks every row again",
    why="The constraint is made anew for the new type, and validated under ACCESS EXCLUSIVE.",
    catalogue="B1.25",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="scan",
    on=(ops.AlterColumnType,),
    check=check,
    bad=(
        Example(
            "ALTER TABLE users ALTER COLUMN email TYPE text;",
            setup="ALTER TABLE users ADD CONSTRAINT mail CHECK (email <> '');",
        ),
    ),
    good=(
        Example("ALTER TABLE users ALTER COLUMN email TYPE text;"),
        Example(
            "ALTER TABLE users ALTER COLUMN email TYPE text;",
            setup="ALTER TABLE users ADD CONSTRAINT aged CHECK (age > -1);",
        ),
    ),
)
