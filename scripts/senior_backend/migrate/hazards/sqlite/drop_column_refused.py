"""DROP COLUMN in a form that SQLite refuses."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.DropColumn, context: Context) -> Iterator[Hazard]:
    """Report a column that something else stands on."""
    table = context.table(operation.table)
    column = context.catalog.fold(operation.column)
    reasons = []
    if context.version is not None and context.version < (3, 35):
        reasons.append("DROP COLUMN came with SQLite 3.35")
    if table is not None:
        if column in table.primary_key:
            reasons.append("it belongs to the primary key")
        reasons += [
            f"the index {index.name} uses it" if index.backs is None else "it is UNIQUE"
            for index in table.indexes_on(column)
            if index.backs != "primary-key"
        ]
        for other in table.columns.values():
            if other.generation is not None and column in other.generation.columns and other.name != operation.column:
                reasons.append(f"{other.name} is computed from it")
        for constraint in table.constraints.values():
            # What is written beside the column goes with it; only what spans columns stays behind.
            if constraint.kind == "foreign-key" and column in constraint.columns and len(constraint.columns) > 1:
                reasons.append("it belongs to a foreign key")
            elif constraint.expression is not None and {column} < constraint.expression.columns:
                reasons.append("a CHECK names it")
    if reasons:
        yield Hazard(
            f"SQLite refuses to drop {operation.column}: {'; '.join(dict.fromkeys(reasons))}",
            "Drop what stands on it first where that is an index; else rebuild the table (`db_migrate.py rewrite` "
            f"writes the steps) without {text.identifier(operation.column)}.",
            str(operation.table),
        )


RULE = Rule(
    engines=("sqlite",),
    id="sqlite-drop-column-refused",
    summary="DROP COLUMN of a key, UNIQUE, indexed, referring, checked or generated-from column",
    why="SQLite checks the remaining schema and gives up where something names the column.",
    catalogue="B3",
    severity="error",
    effect="fails",
    on=(ops.DropColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users DROP COLUMN id;", fails=True),
        Example("ALTER TABLE users DROP COLUMN email;", fails=True),
        Example("ALTER TABLE users DROP COLUMN age;", fails=True),
        Example("ALTER TABLE users DROP COLUMN name;", fails=True),
        Example(
            "ALTER TABLE spans DROP COLUMN b;",
            setup="CREATE TABLE spans (a INTEGER, b INTEGER, CHECK (a < b));",
            fails=True,
        ),
    ),
    good=(
        Example("ALTER TABLE orders DROP COLUMN total;"),
        Example("ALTER TABLE users DROP COLUMN org_id;"),
        Example("DROP TRIGGER orders_touch; DROP INDEX users_age; ALTER TABLE users DROP COLUMN age;"),
    ),
)
