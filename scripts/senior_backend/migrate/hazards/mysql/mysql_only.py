"""Forms that MySQL has and MariaDB refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.operations import Constraint

_ENFORCEMENT = ("enforce-check", "suspend-check")


def check(
    operation: ops.AlterTable | ops.AddConstraint | ops.AddColumn | ops.CreateTable, context: Context
) -> Iterator[Hazard]:
    """Report a CHECK that MariaDB's parser refuses."""
    del context
    if isinstance(operation, ops.AlterTable):
        refused = operation.action in _ENFORCEMENT
    else:
        refused = not all(constraint.enforced for constraint in _constraints(operation))
    if refused:
        yield Hazard(
            "MariaDB refuses [NOT] ENFORCED as a syntax error; only MySQL knows it",
            "Add the constraint when all rows keep it, and take it away with DROP CONSTRAINT; on MySQL say "
            "--engine mysql.",
            str(operation.table),
        )


def _constraints(operation: ops.AddConstraint | ops.AddColumn | ops.CreateTable) -> Iterator[Constraint]:
    if isinstance(operation, ops.AddConstraint):
        yield operation.constraint
    elif isinstance(operation, ops.AddColumn):
        yield from operation.column.constraints
    else:
        yield from operation.constraints
        for column in operation.columns:
            yield from column.constraints


RULE = Rule(
    engines=("mariadb",),
    id="my-mysql-only-syntax",
    summary="ENFORCED and NOT ENFORCED are syntax errors on MariaDB",
    why="MariaDB has constraints that are not enforced only by the session's check_constraint_checks.",
    catalogue="B2 (dialects)",
    severity="error",
    effect="fails",
    on=(ops.AlterTable, ops.AddConstraint, ops.AddColumn, ops.CreateTable),
    check=check,
    bad=(
        Example(
            "ALTER TABLE users ALTER CHECK aged ENFORCED;",
            setup="ALTER TABLE users ADD CONSTRAINT aged CHECK (age >= 0);",
            fails=True,
        ),
        Example(
            "ALTER TABLE users ALTER CONSTRAINT aged NOT ENFORCED;",
            setup="ALTER TABLE users ADD CONSTRAINT aged CHECK (age >= 0);",
            fails=True,
        ),
        Example("ALTER TABLE users ADD CONSTRAINT aged CHECK (age >= 0) NOT ENFORCED;", fails=True),
        Example("ALTER TABLE users ADD COLUMN height INT CHECK (height > 0) NOT ENFORCED;", fails=True),
        Example("CREATE TABLE tags (a INT, CHECK (a > 0) NOT ENFORCED);", fails=True),
    ),
    good=(
        Example("ALTER TABLE users ADD CONSTRAINT aged CHECK (age >= 0);"),
        Example("CREATE TABLE tags (a INT CHECK (a > 0)); ALTER TABLE tags ALTER a SET DEFAULT 1;"),
    ),
)
