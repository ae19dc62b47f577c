"""SET UNLOGGED, LOGGED, TABLESPACE, ACCESS METHOD."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_ACTIONS = {
    "set-unlogged": "SET UNLOGGED",
    "set-logged": "SET LOGGED",
    "set-tablespace": "SET TABLESPACE",
    "set-access-method": "SET ACCESS METHOD",
}


def check(operation: ops.AlterTable, context: Context) -> Iterator[Hazard]:
    """Report a table that moves."""
    words = _ACTIONS.get(operation.action)
    if words is None or context.is_new(operation.table):
        return
    yield Hazard(
        f"{words} writes the whole table{context.rows(operation.table)} anew while nobody can read it",
        "Create a new table that has the wanted storage, copy the rows into it in batches while a trigger keeps it up "
        "to date, and swap the names (pg_repack moves a table to another tablespace online).",
        str(operation.table),
    )


RULE = Rule(
    id="pg-set-storage-rewrites",
    summary="SET UNLOGGED, LOGGED, TABLESPACE or ACCESS METHOD writes the table anew under ACCESS EXCLUSIVE",
    why="The files of the table and its indexes are copied.",
    catalogue="B1.39",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="rewrite",
    on=(ops.AlterTable,),
    check=check,
    bad=(
        Example("ALTER TABLE logs SET UNLOGGED;"),
        Example("ALTER TABLE logs SET TABLESPACE fast;", runs=False),
        Example("ALTER TABLE logs SET ACCESS METHOD columnar;", runs=False),
    ),
    good=(
        Example("ALTER TABLE logs SET (fillfactor = 70);"),
        Example("CREATE TABLE tags (a int); ALTER TABLE tags SET UNLOGGED;"),
    ),
)
