"""Fixes that several MySQL and MariaDB rules share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate.hazards import text

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Name

COPY_LOCK = "SHARED"


def online_copy(table: Name, change: str) -> str:
    """Return the commands that make a change by a copy that follows the binary log."""
    quoted = change.replace('"', '\\"')
    return (
        f'gh-ost --database=… --table={table.name} --alter="{quoted}" --execute\n'
        f'or: pt-online-schema-change --alter "{quoted}" D=…,t={table.name} --execute'
    )


def backfill(table: Name, column: str, value: str) -> str:
    """Return a batched update."""
    relation, attribute = text.mysql_name(table), text.backticked(column)
    return (
        f"-- in batches, each its own transaction:\n"
        f"UPDATE {relation} SET {attribute} = {value} WHERE {attribute} IS NULL AND id BETWEEN … AND …;"
    )
