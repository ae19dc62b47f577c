"""ADD COLUMN on MySQL servers that cannot do it instantly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import mysql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddColumn, context: Context) -> Iterator[Hazard]:
    """Report a new column that rebuilds the table on the server's version."""
    if context.catalog.engine != "mysql" or context.version is None or context.is_new(operation.table):
        return
    if context.version >= (8, 0, 29) or (context.version >= (8, 0, 12) and operation.position is None):
        return
    place = "in a place other than the last " if context.version >= (8, 0, 12) else ""
    yield Hazard(
        f"MySQL {'.'.join(map(str, context.version))} adds a column {place}by building the table"
        f"{context.rows(operation.table)} anew; writers go on, but replicas wait for it",
        "Add it at the end (from 8.0.12 on), or:\n"
        + fixes.online_copy(operation.table, f"ADD COLUMN {text.backticked(operation.column.name)} …"),
        str(operation.table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-add-column-rebuilds",
    summary="ADD COLUMN rebuilds the table before MySQL 8.0.12, and before 8.0.29 where it is not the last",
    why="INSTANT came with 8.0.12 for the last column and with 8.0.29 for any.",
    catalogue="B2.1",
    severity="warning",
    effect="rewrite",
    on=(ops.AddColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD COLUMN a INT;", version=(5, 7), engine="mysql", runs=False),
        Example("ALTER TABLE users ADD COLUMN a INT FIRST;", version=(8, 0, 20), engine="mysql", runs=False),
    ),
    good=(
        Example("ALTER TABLE users ADD COLUMN a INT FIRST;", version=(8, 0, 29), engine="mysql", runs=False),
        Example("ALTER TABLE users ADD COLUMN a INT NOT NULL DEFAULT 5, ADD COLUMN b INT FIRST;"),
    ),
)
