"""How long a PostgreSQL migration waits for its locks, as statements in front of it.

Who waits for a strong lock makes everybody else queue behind. Where two tables are locked, a second danger joins: a
transaction of the application that holds one and queues for the other is in a deadlock with the migration, and after
`deadlock_timeout` (1 s by default) of ITS wait the server ends the application's transaction, not the migration
(measured on 15). Two waits have to be shorter than that together.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

ONE_TABLE = "2s"
SEVERAL_TABLES = "400ms"


def local(tables: int) -> str:
    """Return the statement that limits the waits of a transaction which locks so many tables."""
    return f"SET LOCAL lock_timeout = '{SEVERAL_TABLES if tables > 1 else ONE_TABLE}'"


def in_transaction(tables: Sequence[str]) -> tuple[str, ...]:
    """Return the statements that limit the waits of a transaction; `tables` are quoted names.

    A short wait never outlasts an autovacuum, which gives way only after `deadlock_timeout`; a lock that blocks no
    reader and no writer waits for it first.
    """
    if len(tables) < 2:
        return (local(1),)
    return (local(1), f"LOCK TABLE {', '.join(tables)} IN SHARE UPDATE EXCLUSIVE MODE", local(len(tables)))
