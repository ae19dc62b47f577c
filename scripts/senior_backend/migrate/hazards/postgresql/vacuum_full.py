"""VACUUM FULL and CLUSTER."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.Vacuum, context: Context) -> Iterator[Hazard]:
    """Report a table that is written anew under a lock."""
    if not operation.rewrites or (operation.table is not None and context.is_new(operation.table)):
        return
    table = text.name(operation.table) if operation.table else "every table"
    word = "VACUUM FULL" if operation.command == "vacuum" else "CLUSTER"
    rows = context.rows(operation.table) if operation.table else ""
    newer = "REPACK (CONCURRENTLY), of PostgreSQL 19, or " if context.at_least(19) else ""
    yield Hazard(
        f"{word} writes {table}{rows} anew while nobody can read it",
        f"Use {newer}pg_repack, or leave it to plain VACUUM, which stops nobody:\nVACUUM (ANALYZE) {table};"
        if operation.table
        else f"Use {newer}pg_repack table by table.",
        str(operation.table) if operation.table else None,
    )


RULE = Rule(
    id="pg-vacuum-full-or-cluster",
    summary="VACUUM FULL and CLUSTER write the table anew under ACCESS EXCLUSIVE",
    why="Nobody can read or write until the copy and all its indexes are done.",
    catalogue="B1.38",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="rewrite",
    on=(ops.Vacuum,),
    check=check,
    bad=(
        Example("CLUSTER users USING users_email;"),
        Example("VACUUM FULL users;", transaction=False, runs=False),
        Example("VACUUM (FULL, ANALYZE) users;", transaction=False, runs=False),
    ),
    good=(
        Example("VACUUM (ANALYZE) users;", transaction=False),
        Example("VACUUM (FULL false) users;", transaction=False),
        Example("ANALYZE users;"),
    ),
)
