"""ADD CONSTRAINT ... CHECK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import postgresql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddConstraint, context: Context) -> Iterator[Hazard]:
    """Report a CHECK that is validated at once."""
    constraint = operation.constraint
    if constraint.kind != "check" or not constraint.valid or not constraint.enforced or context.is_new(operation.table):
        return
    expression = constraint.expression
    columns = "_".join(sorted(expression.columns)[:1]) if expression is not None else ""
    name = constraint.name or text.shortened("_".join(filter(None, (operation.table.name, columns))), "_check")
    yield Hazard(
        f"the CHECK reads the whole table{context.rows(operation.table)} while nobody can read or write it",
        fixes.validate_later(operation.table, name, f"CHECK ({expression.sql if expression is not None else '…'})"),
        str(operation.table),
    )


RULE = Rule(
    id="pg-add-check-scans",
    summary="ADD CONSTRAINT ... CHECK reads the whole table under ACCESS EXCLUSIVE",
    why="With NOT VALID the constraint holds for new rows at once; VALIDATE CONSTRAINT then reads the old ones under "
    "a lock that stops nobody.",
    catalogue="B1.15",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="scan",
    on=(ops.AddConstraint,),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD CONSTRAINT adult CHECK (age >= 0);"),
        Example("ALTER TABLE users ADD CHECK (age >= 0);"),
    ),
    good=(
        Example("ALTER TABLE users ADD CONSTRAINT adult CHECK (age >= 0) NOT VALID;"),
        Example("CREATE TABLE tags (n int); ALTER TABLE tags ADD CONSTRAINT c CHECK (n > 0);"),
        Example("ALTER TABLE users ADD CONSTRAINT adult CHECK (age > 0) NOT ENFORCED;", version=(18, 0), runs=False),
    ),
)
