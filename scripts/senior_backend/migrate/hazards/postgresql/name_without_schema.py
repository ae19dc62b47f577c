"""Tables named without their schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.TableOperation, context: Context) -> Iterator[Hazard]:
    """Report a table that the search path decides."""
    if operation.table.schema is not None or context.catalog.search_path != ("public",):
        return
    yield Hazard(
        f"which {operation.table} is meant depends on the search_path of the role that runs the migration",
        f"Write {text.identifier('public')}.{text.identifier(operation.table.name)}.",
        str(operation.table),
    )


RULE = Rule(
    id="pg-name-without-schema",
    summary="A table is named without its schema",
    why="Another search_path makes the migration change, or create, another table.",
    catalogue="B1.52",
    severity="warning",
    group="style",
    on=(ops.CreateTable, ops.DropTable, ops.AddColumn, ops.DropColumn, ops.AlterColumnType),
    check=check,
    bad=(Example("CREATE TABLE t (a int);"),),
    good=(Example("CREATE TABLE public.t (a int);"),),
)
