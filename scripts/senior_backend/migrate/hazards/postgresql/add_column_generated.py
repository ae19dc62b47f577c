"""ADD COLUMN ... GENERATED ALWAYS AS ... STORED."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import postgresql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddColumn, context: Context) -> Iterator[Hazard]:
    """Report a stored generated column."""
    column = operation.column
    if column.generated != "stored" or context.is_new(operation.table):
        return
    table, attribute = text.name(operation.table), text.identifier(column.name)
    expression = column.generation.sql if column.generation is not None else "…"
    virtual = (
        f"Where no index needs it (PostgreSQL 18): ALTER TABLE {table} ADD COLUMN {attribute} {column.type} "
        f"GENERATED ALWAYS AS ({expression}) VIRTUAL;\nElse:\n"
        if context.at_least(18)
        else ""
    )
    yield Hazard(
        f"computing {column.name} rewrites the whole table{context.rows(operation.table)} while nobody can read it",
        f"{virtual}ALTER TABLE {table} ADD COLUMN {attribute} {column.type};\n"
        f"a BEFORE INSERT OR UPDATE trigger that sets NEW.{attribute} := {expression};\n"
        f"{fixes.backfill(operation.table, column.name, expression)}",
        str(operation.table),
    )


RULE = Rule(
    id="pg-add-column-stored-generated",
    summary="ADD COLUMN ... GENERATED ... STORED rewrites the table",
    why="The value of every row is computed and written under ACCESS EXCLUSIVE, and all indexes are built anew.",
    catalogue="B1.9",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="rewrite",
    on=(ops.AddColumn,),
    check=check,
    bad=(Example("ALTER TABLE users ADD COLUMN older int GENERATED ALWAYS AS (age + 1) STORED;"),),
    good=(
        Example("ALTER TABLE users ADD COLUMN older int;"),
        Example(
            "ALTER TABLE users ADD COLUMN older int GENERATED ALWAYS AS (age + 1) VIRTUAL;", version=(18, 0), runs=False
        ),
        Example("CREATE TABLE tags (a int); ALTER TABLE tags ADD b int GENERATED ALWAYS AS (a + 1) STORED;"),
    ),
)
