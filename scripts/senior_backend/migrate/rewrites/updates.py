"""UPDATE of many rows in a migration: in batches, each its own transaction."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.postgres_system import is_catalogue
from senior_backend.migrate.rewrites import parts
from senior_backend.migrate.rewrites.model import Context, Rewrite, Unknown

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Operation

OPERATIONS = (ops.Update, ops.Delete)

_HARD = re.compile(r"\b(?:RETURNING|WITH|FROM)\b", re.IGNORECASE)
_SINGLE_ROW = re.compile(r"\bWHERE\s+[\w.\"]+\s*=\s*(?:'[^']*'|\d+)\s*$", re.IGNORECASE)


def rewrite(operation: Operation, context: Context) -> Rewrite | Unknown | None:
    """Return the update as a batched backfill."""
    assert isinstance(operation, (ops.Update, ops.Delete))
    if context.is_new(operation.table):
        return None
    if context.catalog.engine == "postgresql" and is_catalogue(operation.table):
        return Unknown(
            f"rows of the system catalogue {operation.table} are changed",
            "Use the statement that changes the object: ALTER, COMMENT, GRANT, DROP.",
        )
    if isinstance(operation, ops.Delete):
        if operation.filtered:
            return None
        return Unknown(
            f"DELETE of every row of {operation.table} in one statement",
            "Delete in batches by key from a script, or TRUNCATE when nobody uses the table.",
        )
    key = parts.key_of(operation.table, context)
    if _SINGLE_ROW.search(context.text) and any(word == key[0] for word in re.findall(r"\w+", context.text)[-4:]):
        return None
    if _HARD.search(context.text) or not context.text.lstrip().lower().startswith("update"):
        return Unknown(
            f"the UPDATE of {operation.table} joins tables or returns rows, so it is not cut into batches here",
            "Write it as UPDATE … SET … WHERE with sub-selects, or run it in batches by key.",
        )
    step = parts.backfill_text(
        operation.table, context.text, ",".join(key), f"update {operation.table} in batches, each its own transaction"
    )
    return Rewrite((step,))
