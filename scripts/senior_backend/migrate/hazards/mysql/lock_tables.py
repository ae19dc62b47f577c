"""LOCK TABLES."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.LockTable, context: Context) -> Iterator[Hazard]:
    """Report a lock that stops others until UNLOCK TABLES; a dump locks tables that it has just made."""
    if context.is_new(operation.table):
        return
    blocked = "reads and writes" if operation.mode == "WRITE" else "writes"
    yield Hazard(
        f"blocks all {blocked} of {operation.table} until UNLOCK TABLES or the end of the session, and commits what "
        "the transaction before it did",
        "Leave it out: DDL takes the locks it needs, and SELECT ... FOR UPDATE locks the rows that a change needs.",
        str(operation.table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-lock-tables",
    summary="LOCK TABLES stops readers or writers until UNLOCK TABLES",
    why="The next ALTER TABLE of another table fails, and an error in between leaves the lock to the session's end.",
    catalogue="B2 (LOCK TABLES)",
    severity="error",
    on=(ops.LockTable,),
    check=check,
    bad=(
        Example("LOCK TABLES users WRITE; UNLOCK TABLES;"),
        Example("LOCK TABLES users READ; UNLOCK TABLES;"),
    ),
    good=(Example("CREATE TABLE tags (a INT); LOCK TABLES tags WRITE; INSERT INTO tags VALUES (1); UNLOCK TABLES;"),),
)
