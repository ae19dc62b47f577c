"""Which changes of data take as long as a table in use is large: they must not run while a lock is held."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from senior_backend.migrate import operations as ops

if TYPE_CHECKING:
    from senior_backend.migrate.catalog import Table
    from senior_backend.migrate.operations import Name, Operation


class Schema(Protocol):
    """What linter and rewriter know of the tables."""

    def is_new(self, table: Name, /) -> bool:
        """Whether nobody can use the table yet."""

    def table(self, name: Name, /) -> Table | None:
        """Return the table, None where it is not known."""


def take_time(operation: Operation, schema: Schema) -> bool:
    """Whether it changes rows of a table in use, or copies rows out of one into a new table."""
    if isinstance(operation, (ops.Update, ops.Delete)):
        return not schema.is_new(operation.table)
    if not isinstance(operation, ops.Insert) or not operation.from_query:
        return False
    if not schema.is_new(operation.table):
        return True
    return any(schema.table(source) and not schema.is_new(source) for source in operation.reads)
