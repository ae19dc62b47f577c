"""LOCK TABLES and FLUSH TABLES WITH READ LOCK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


_FIX = "Leave it out: DDL takes the locks it needs, and SELECT ... FOR UPDATE locks the rows that a change needs."


def check(operation: ops.LockTable | ops.LockServer, context: Context) -> Iterator[Hazard]:
    """Report a lock that stops others until UNLOCK TABLES; a dump locks tables that it has just made."""
    if isinstance(operation, ops.LockServer):
        yield Hazard(
            "waits for every running statement of the server, then blocks every write to every table of every database "
            "until UNLOCK TABLES or the end of the session, and commits what the transaction before it did",
            _FIX,
        )
        return
    if context.is_new(operation.table):
        return
    blocked = "reads and writes" if operation.mode == "WRITE" else "writes"
    yield Hazard(
        f"blocks all {blocked} of {operation.table} until UNLOCK TABLES or the end of the session, and commits what "
        "the transaction before it did",
        _FIX,
        str(operation.table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-lock-tables",
    summary="LOCK TABLES and FLUSH TABLES WITH READ LOCK stop readers or writers until UNLOCK TABLES",
    why="The next ALTER TABLE of another table fails, and an error in between leaves the lock to the session's end.",
    catalogue="B2 (LOCK TABLES)",
    severity="error",
    on=(ops.LockTable, ops.LockServer),
    check=check,
    bad=(
        Example("LOCK TABLES users WRITE; UNLOCK TABLES;"),
        Example("LOCK TABLES users READ; UNLOCK TABLES;"),
        Example("FLUSH TABLES users, orgs WITH READ LOCK; UNLOCK TABLES;"),
        Example("FLUSH TABLES users FOR EXPORT; UNLOCK TABLES;"),
        Example("FLUSH LOCAL TABLES WITH READ LOCK; UNLOCK TABLES;", runs=False),  # it would stop other tests
    ),
    good=(
        Example("CREATE TABLE tags (a INT); LOCK TABLES tags WRITE; INSERT INTO tags VALUES (1); UNLOCK TABLES;"),
        Example("FLUSH TABLES users; FLUSH STATUS;"),
    ),
)
