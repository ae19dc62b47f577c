"""REFERENCES beside a column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddColumn | ops.CreateTable, context: Context) -> Iterator[Hazard]:
    """Report a foreign key that MySQL does not make."""
    columns = operation.columns if isinstance(operation, ops.CreateTable) else (operation.column,)
    honoured = context.catalog.engine == "mariadb" or context.at_least(9)
    for column in columns:
        for constraint in column.constraints:
            if constraint.references is None or (honoured and isinstance(operation, ops.CreateTable)):
                continue
            if honoured and context.is_new(operation.table):
                continue
            parent = text.mysql_name(constraint.references)
            keys = ", ".join(map(text.backticked, constraint.reference_columns)) or "id"
            yield Hazard(
                "the server makes the foreign key and copies the table while nobody can write to it"
                if honoured
                else "MySQL before 9.0 reads REFERENCES beside a column and makes no foreign key, without a word",
                f"ALTER TABLE {text.mysql_name(operation.table)} ADD CONSTRAINT … FOREIGN KEY "
                f"({text.backticked(column.name)}) REFERENCES {parent} ({keys});",
                str(operation.table),
            )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-inline-references",
    summary="REFERENCES beside a column is ignored by MySQL before 9.0",
    why="Only FOREIGN KEY clauses of their own count there; MariaDB and MySQL 9.0 (WL#16130) honour both.",
    catalogue="B2.6",
    severity="error",
    on=(ops.AddColumn, ops.CreateTable),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD COLUMN home BIGINT REFERENCES orgs (id);", engine="mysql", runs=False),
        Example("CREATE TABLE pets (owner INT REFERENCES users (id));", engine="mysql", runs=False),
        Example("ALTER TABLE users ADD COLUMN home BIGINT REFERENCES orgs (id);"),
    ),
    good=(
        Example("CREATE TABLE pets (owner INT, FOREIGN KEY (owner) REFERENCES users (id));"),
        Example("CREATE TABLE pets (owner INT REFERENCES users (id));", engine="mysql", version=(9,), runs=False),
    ),
)
