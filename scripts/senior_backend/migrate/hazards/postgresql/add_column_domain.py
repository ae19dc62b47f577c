"""ADD COLUMN of a domain with constraints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import postgresql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddColumn, context: Context) -> Iterator[Hazard]:
    """Report a column whose type is a constrained domain."""
    column = operation.column
    if column.type is None or not context.catalog.is_constrained(column.type) or context.is_new(operation.table):
        return
    base = context.catalog.domains[column.type.name].base
    table, attribute = text.name(operation.table), text.identifier(column.name)
    yield Hazard(
        f"{column.type} is a domain with a constraint: adding it rewrites the whole table"
        f"{context.rows(operation.table)} while nobody can read it, even with no default",
        f"ALTER TABLE {table} ADD COLUMN {attribute} {base};\n"
        + fixes.validate_later(
            operation.table,
            text.shortened(f"{operation.table.name}_{column.name}", "_check"),
            f"CHECK (… the domain's condition on {attribute} …)",
        ),
        str(operation.table),
    )


RULE = Rule(
    id="pg-add-column-constrained-domain",
    summary="ADD COLUMN of a domain with a constraint rewrites the table",
    why="The constraint has to be checked for every row, for which PostgreSQL writes the table anew.",
    catalogue="B1.14",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="rewrite",
    on=(ops.AddColumn,),
    check=check,
    bad=(
        Example(
            "ALTER TABLE users ADD COLUMN score positive;",
            setup="CREATE DOMAIN positive AS int CHECK (VALUE > 0);",
        ),
    ),
    good=(
        Example("ALTER TABLE users ADD COLUMN tag label;"),
        Example(
            "ALTER TABLE users ADD COLUMN score int;",
            setup="CREATE DOMAIN positive AS int CHECK (VALUE > 0);",
        ),
    ),
)
