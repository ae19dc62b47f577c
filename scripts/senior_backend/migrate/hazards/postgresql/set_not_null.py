"""ALTER COLUMN ... SET NOT NULL, and ADD CONSTRAINT ... NOT NULL of PostgreSQL 18."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import postgresql_fixes as fixes
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.SetNotNull | ops.AddConstraint, context: Context) -> Iterator[Hazard]:
    """Report a check for nulls that nothing spares."""
    if isinstance(operation, ops.AddConstraint):
        constraint = operation.constraint
        if constraint.kind != "not-null" or not constraint.valid or not constraint.columns:
            return
        operation = ops.SetNotNull(operation.table, constraint.columns[0])
    if context.is_new(operation.table):
        return
    table, column = context.table(operation.table), context.column(operation.table, operation.column)
    if column is not None and column.not_null:
        return
    if table is not None and table.proves_not_null(operation.column) and context.at_least(12):
        return
    if (table is None or not table.complete) and context.at_least(12) and _last_steps(operation, context):
        return
    yield Hazard(
        f"looking for nulls reads the whole table{context.rows(operation.table)} while nobody can read or write it",
        fixes.not_null_steps(operation.table, operation.column, server=context.version),
        str(operation.table),
    )


def _last_steps(operation: ops.SetNotNull, context: Context) -> bool:
    """Whether a constraint not known here, which is validated before or dropped behind, is named like a proof."""
    table = context.table(operation.table)
    return any(
        isinstance(step, (ops.ValidateConstraint, ops.DropConstraint))
        and step.table == operation.table
        and step.name is not None
        and "null" in step.name.lower()
        and (table is None or getattr(table.constraints.get(step.name), "expression", None) is None)
        and (position < context.position) is isinstance(step, ops.ValidateConstraint)
        for position, parsed in enumerate(context.statements)
        for step in parsed.operations
    )


RULE = Rule(
    id="pg-set-not-null-scans",
    summary="SET NOT NULL reads the whole table under ACCESS EXCLUSIVE",
    why="A valid CHECK (column IS NOT NULL) spares the scan from PostgreSQL 12 on; from 18 on, NOT NULL itself can be "
    "added as NOT VALID.",
    catalogue="B1.21",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="scan",
    on=(ops.SetNotNull, ops.AddConstraint),
    check=check,
    bad=(
        Example("ALTER TABLE users ALTER COLUMN name SET NOT NULL;"),
        Example("ALTER TABLE elsewhere ALTER a SET NOT NULL;", runs=False),
        Example("ALTER TABLE users ADD CONSTRAINT named NOT NULL name;", version=(18,), runs=False),
        Example(
            "ALTER TABLE users ALTER COLUMN name SET NOT NULL;",
            setup="ALTER TABLE users ADD CONSTRAINT named CHECK (name IS NOT NULL) NOT VALID;",
        ),
        Example(
            "ALTER TABLE users ALTER COLUMN name SET NOT NULL;",
            setup="ALTER TABLE users ADD CONSTRAINT named CHECK (name IS NOT NULL OR age > 3);",
        ),
    ),
    good=(
        Example("ALTER TABLE users ADD CONSTRAINT named NOT NULL name NOT VALID;", version=(18,), runs=False),
        Example(
            "ALTER TABLE users ALTER COLUMN name SET NOT NULL;",
            setup="ALTER TABLE users ADD CONSTRAINT named CHECK (name IS NOT NULL) NOT VALID;"
            "ALTER TABLE users VALIDATE CONSTRAINT named;",
        ),
        Example("ALTER TABLE users ALTER COLUMN active SET NOT NULL;"),
        Example(
            "ALTER TABLE elsewhere VALIDATE CONSTRAINT a_not_null; ALTER TABLE elsewhere ALTER a SET NOT NULL;",
            runs=False,
        ),
        Example(
            "ALTER TABLE elsewhere ALTER a SET NOT NULL; ALTER TABLE elsewhere DROP CONSTRAINT a_not_null;", runs=False
        ),
        Example("CREATE TABLE tags (label text); ALTER TABLE tags ALTER COLUMN label SET NOT NULL;"),
    ),
)
