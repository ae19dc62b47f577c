"""REPLICA IDENTITY NOTHING."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AlterTable, context: Context) -> Iterator[Hazard]:
    """Report a table whose changed rows logical replication can no longer name."""
    if operation.action != "replica-identity" or operation.detail != "nothing" or context.is_new(operation.table):
        return
    table = text.name(operation.table)
    yield Hazard(
        f"while a publication has {operation.table}, every UPDATE and DELETE of it fails from now on (error 55000)",
        f"Leave it at the primary key, or name a unique index over NOT NULL columns:\n"
        f"ALTER TABLE {table} REPLICA IDENTITY DEFAULT;\nALTER TABLE {table} REPLICA IDENTITY USING INDEX …;",
        str(operation.table),
    )


RULE = Rule(
    id="pg-replica-identity-nothing",
    summary="REPLICA IDENTITY NOTHING makes updates of a published table fail",
    why="Logical replication tells subscribers by the replica identity which row has changed.",
    catalogue="B1.46",
    severity="warning",
    lock="ACCESS EXCLUSIVE",
    on=(ops.AlterTable,),
    check=check,
    bad=(Example("ALTER TABLE users REPLICA IDENTITY NOTHING;"),),
    good=(
        Example("ALTER TABLE users REPLICA IDENTITY FULL;"),
        Example("ALTER TABLE users REPLICA IDENTITY DEFAULT;"),
    ),
)
