"""ADD COLUMN ... CHECK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import postgresql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddColumn, context: Context) -> Iterator[Hazard]:
    """Report a check of every row beside a new column."""
    column = operation.column
    for constraint in column.constraints:
        if constraint.kind != "check" or not constraint.enforced or context.is_new(operation.table):
            continue
        table = text.name(operation.table)
        name = constraint.name or text.shortened(f"{operation.table.name}_{column.name}", "_check")
        expression = constraint.expression.sql if constraint.expression is not None else "…"
        default = f" DEFAULT {column.default.sql}" if column.default is not None else ""
        not_null = " NOT NULL" if column.not_null else ""
        yield Hazard(
            f"the CHECK reads the whole table{context.rows(operation.table)} while nobody can read or write it, "
            "even where the column is empty",
            f"ALTER TABLE {table} ADD COLUMN {text.identifier(column.name)} {column.type}{default}{not_null};\n"
            + fixes.validate_later(operation.table, name, f"CHECK ({expression})"),
            str(operation.table),
        )


RULE = Rule(
    id="pg-add-column-check",
    summary="ADD COLUMN ... CHECK reads the whole table under ACCESS EXCLUSIVE",
    why="PostgreSQL checks every row, although all hold the same null or default.",
    catalogue="B1.13",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="scan",
    on=(ops.AddColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD COLUMN height int CHECK (height > 0);"),
        Example("ALTER TABLE users ADD COLUMN height int NOT NULL DEFAULT 5 CONSTRAINT tall CHECK (height > 0);"),
    ),
    good=(
        Example("CREATE TABLE tags (id int); ALTER TABLE tags ADD COLUMN n int CHECK (n > 0);"),
        Example(
            "ALTER TABLE users ADD COLUMN height int;"
            "ALTER TABLE users ADD CONSTRAINT users_height CHECK (height > 0) NOT VALID;"
        ),
    ),
)
