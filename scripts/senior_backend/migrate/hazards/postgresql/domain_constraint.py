"""ALTER DOMAIN ... ADD CONSTRAINT."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AlterDomain, context: Context) -> Iterator[Hazard]:
    """Report a constraint that is checked in all tables that use the domain."""
    domain = text.name(operation.name)
    if context.created_here("type", operation.name):
        return
    if operation.action == "add" and operation.constraint is not None and operation.constraint.valid:
        constraint = operation.constraint
        name = text.identifier(constraint.name or f"{operation.name.name}_check")
        expression = constraint.expression.sql if constraint.expression is not None else "…"
        fix = (
            f"ALTER DOMAIN {domain} ADD CONSTRAINT {name} CHECK ({expression}) NOT VALID;\n"
            f"-- in the next migration:\nALTER DOMAIN {domain} VALIDATE CONSTRAINT {name};"
        )
    elif operation.action == "set-not-null":
        fix = (
            f"ALTER DOMAIN {domain} ADD CONSTRAINT {text.identifier(operation.name.name + '_not_null')} "
            f"CHECK (VALUE IS NOT NULL) NOT VALID;\n-- in the next migration: VALIDATE CONSTRAINT"
        )
    else:
        return
    yield Hazard(
        f"every table with a column of {operation.name} is read whole, while nobody can write to it",
        fix,
        str(operation.name),
    )


RULE = Rule(
    id="pg-domain-constraint-scans",
    summary="A new constraint of a domain reads every table that uses the domain under a SHARE lock",
    why="With NOT VALID new values are checked at once; VALIDATE CONSTRAINT then reads the old ones.",
    catalogue="B1.35",
    severity="error",
    lock="SHARE",
    effect="scan",
    on=(ops.AlterDomain,),
    check=check,
    bad=(
        Example(
            "ALTER DOMAIN label ADD CONSTRAINT filled CHECK (VALUE <> '');",
            setup="CREATE TABLE tags (l label); INSERT INTO tags SELECT 'x' FROM generate_series(1, 2000);",
        ),
        Example(
            "ALTER DOMAIN label SET NOT NULL;",
            setup="CREATE TABLE tags (l label); INSERT INTO tags SELECT 'x' FROM generate_series(1, 2000);",
        ),
    ),
    good=(
        Example(
            "ALTER DOMAIN label ADD CONSTRAINT filled CHECK (VALUE <> '') NOT VALID;",
            setup="CREATE TABLE tags (l label);",
        ),
        Example("CREATE DOMAIN amount AS int; ALTER DOMAIN amount ADD CHECK (VALUE > 0);"),
    ),
)
