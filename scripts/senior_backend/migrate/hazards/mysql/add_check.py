"""ADD CHECK, and CHECKs that MySQL enforces again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import mysql_fixes as fixes
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.operations import Constraint, Name


def check(operation: ops.AddConstraint | ops.AddColumn | ops.AlterTable, context: Context) -> Iterator[Hazard]:
    """Report a CHECK that copies the table."""
    if isinstance(operation, ops.AlterTable):
        if operation.action == "enforce-check" and context.catalog.engine == "mysql":
            yield from _copied(operation.table, f"ALTER CHECK {operation.detail} ENFORCED", context)
        return
    constraints: tuple[Constraint, ...]
    if isinstance(operation, ops.AddConstraint):
        constraints = (operation.constraint,)
    elif context.catalog.engine == "mysql":
        constraints = operation.column.constraints
    else:
        return  # MariaDB adds a column with its CHECK instantly
    for constraint in constraints:
        if constraint.kind == "check" and constraint.enforced:
            expression = constraint.expression.sql if constraint.expression is not None else "…"
            yield from _copied(
                operation.table, f"ADD CONSTRAINT {constraint.name or '…'} CHECK ({expression})", context
            )


def _copied(table: Name, change: str, context: Context) -> Iterator[Hazard]:
    if context.is_new(table):
        return
    yield Hazard(
        f"the table{context.rows(table)} is copied while nobody can write to it",
        "Check in the application, or in triggers that SIGNAL; else:\n" + fixes.online_copy(table, change),
        str(table),
    )


_SUSPENDED = "ALTER TABLE users ADD CONSTRAINT aged CHECK (age >= 0) NOT ENFORCED;"
RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-add-check-copies",
    summary="ADD CHECK, or ENFORCED, copies the table while nobody can write to it",
    why="There is no NOT VALID; the server copies every row and checks it.",
    catalogue="B2.16",
    severity="error",
    lock="SHARED",
    effect="rewrite",
    on=(ops.AddConstraint, ops.AddColumn, ops.AlterTable),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD CONSTRAINT aged CHECK (age >= 0);"),
        Example("ALTER TABLE users ADD COLUMN height INT CHECK (height > 0);", engine="mysql"),
        Example("ALTER TABLE users ALTER CHECK aged ENFORCED;", setup=_SUSPENDED, engine="mysql"),
        Example("ALTER TABLE users ALTER CONSTRAINT `aged` ENFORCED;", setup=_SUSPENDED, engine="mysql"),
    ),
    good=(
        Example("ALTER TABLE users ALTER CHECK aged NOT ENFORCED;", setup=_SUSPENDED, engine="mysql"),
        Example("ALTER TABLE users ADD CONSTRAINT aged CHECK (age >= 0) NOT ENFORCED;", engine="mysql"),
        Example("ALTER TABLE users ADD COLUMN height INT CHECK (height > 0);", engine="mariadb"),
        Example("CREATE TABLE tags (a INT); ALTER TABLE tags ADD CONSTRAINT c CHECK (a > 0);"),
    ),
)
