"""ALTER COLUMN ... TYPE that keeps the table and builds indexes anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate import postgres_types
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.postgresql import change_type
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _rebuilt(operation: ops.AlterColumnType, context: Context) -> list[str]:
    table, column = context.table(operation.table), context.column(operation.table, operation.column)
    if table is None or column is None or column.type is None:
        return []
    collation = operation.collation is not None and operation.collation != column.collation
    citext = "citext" in (column.type.name, operation.type.name) and column.type.name != operation.type.name
    same = column.type == operation.type
    zone = {column.type.name, operation.type.name} == {"timestamp", "timestamptz"}
    return sorted(
        index.name
        for index in table.indexes_on(operation.column)
        if collation or citext or zone or (not same and (None in index.columns or index.where is not None))
    )


def check(operation: ops.AlterColumnType, context: Context) -> Iterator[Hazard]:
    """Report indexes that a change of type or collation builds anew, where the table itself stays."""
    if context.is_new(operation.table):
        return
    column = context.column(operation.table, operation.column)
    change = postgres_types.type_change(column.type if column else None, operation.type, context.catalog)
    if change != "free" and not (change == "utc" and change_type.is_utc(context)):
        return  # the rewrite is another rule's
    rebuilt = _rebuilt(operation, context)
    if not rebuilt:
        return
    table, attribute = text.name(operation.table), text.identifier(operation.column)
    yield Hazard(
        f"the table stays, but {', '.join(rebuilt)} is built anew over all rows{context.rows(operation.table)} "
        "while nobody can read it",
        "Drop the index concurrently first, change the type, and build it again:\n"
        + "\n".join(f"DROP INDEX CONCURRENTLY {text.identifier(index)};" for index in rebuilt)
        + f"\nALTER TABLE {table} ALTER COLUMN {attribute} TYPE {operation.type};\n"
        "CREATE INDEX CONCURRENTLY …;\n"
        "Where queries need the index all the time, add a new column with the new type, index it, and swap.",
        str(operation.table),
    )


RULE = Rule(
    id="pg-change-type-rebuilds-index",
    summary="A change of collation, or of a type under an expression or partial index, builds indexes anew",
    why="Only plain indexes whose operator class stays the same are kept; the others are built under ACCESS EXCLUSIVE.",
    catalogue="B1.24",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="rewrite",
    on=(ops.AlterColumnType,),
    check=check,
    bad=(
        Example('ALTER TABLE users ALTER COLUMN email TYPE varchar(50) COLLATE "C";'),
        Example(
            "ALTER TABLE users ALTER COLUMN email TYPE text;",
            setup="CREATE INDEX users_lower ON users (lower(email));",
        ),
        Example(
            "SET LOCAL timezone = 'UTC'; ALTER TABLE users ALTER COLUMN born TYPE timestamptz USING born;",
            setup="CREATE INDEX users_born ON users (born);",
        ),
    ),
    good=(
        Example("ALTER TABLE users ALTER COLUMN email TYPE text;"),
        Example('ALTER TABLE users ALTER COLUMN note TYPE text COLLATE "C";'),
        Example("SET LOCAL timezone = 'UTC'; ALTER TABLE users ALTER COLUMN born TYPE timestamptz;"),
    ),
)
