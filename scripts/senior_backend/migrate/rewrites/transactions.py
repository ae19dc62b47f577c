"""BEGIN and COMMIT inside a migration: the runner owns transactions, so they go."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.rewrites.model import Context, Rewrite, Unknown

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Operation

OPERATIONS = (ops.Transaction,)


def rewrite(operation: Operation, context: Context) -> Rewrite | Unknown | None:
    """Return no step at all: every file is one transaction, or says that it is none."""
    del context
    assert isinstance(operation, ops.Transaction)
    if operation.kind in ("begin", "commit"):
        return Rewrite(())
    return Unknown(
        f"{operation.kind} inside a migration", "Leave transactions to the runner: one file, one transaction."
    )
