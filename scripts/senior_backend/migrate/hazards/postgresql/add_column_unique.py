"""ADD COLUMN ... UNIQUE or PRIMARY KEY."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import postgresql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddColumn, context: Context) -> Iterator[Hazard]:
    """Report an index that is built beside a new column."""
    column = operation.column
    for constraint in column.constraints:
        if constraint.kind not in ("unique", "primary-key") or context.is_new(operation.table):
            continue
        primary = constraint.kind == "primary-key"
        table, attribute = text.name(operation.table), text.identifier(column.name)
        name = constraint.name or text.shortened(
            operation.table.name if primary else f"{operation.table.name}_{column.name}", "_pkey" if primary else "_key"
        )
        kind = "PRIMARY KEY" if primary else "UNIQUE"
        yield Hazard(
            f"building the index of {kind} reads the whole table{context.rows(operation.table)} "
            "while nobody can read or write it",
            f"ALTER TABLE {table} ADD COLUMN {attribute} {column.type};\n"
            + fixes.unique_by_index(operation.table, name, (column.name,), kind),
            str(operation.table),
        )


RULE = Rule(
    id="pg-add-column-unique",
    summary="ADD COLUMN ... UNIQUE or PRIMARY KEY builds an index under ACCESS EXCLUSIVE",
    why="The index of the constraint is built at once, over all rows, under the lock of ALTER TABLE.",
    catalogue="B1.12",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="scan",
    on=(ops.AddColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD COLUMN handle text UNIQUE;"),
        Example("ALTER TABLE logs ADD COLUMN key bigserial PRIMARY KEY;"),
    ),
    good=(
        Example("ALTER TABLE users ADD COLUMN handle text;"),
        Example("CREATE TABLE tags (id int); ALTER TABLE tags ADD COLUMN label text UNIQUE;"),
    ),
)
