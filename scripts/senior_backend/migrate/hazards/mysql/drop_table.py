"""DROP TABLE, DROP DATABASE and TRUNCATE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


_LOSING = ("drop-partition", "truncate-partition", "discard-tablespace")


def check(
    operation: ops.DropTable | ops.DropObject | ops.Truncate | ops.AlterTable, context: Context
) -> Iterator[Hazard]:
    """Report data that is dropped."""
    if isinstance(operation, ops.DropObject):
        if operation.kind in ("database", "schema"):
            yield Hazard(f"the database {operation.name} is gone for good", "Take it out of the migration.")
        return
    if context.is_new(operation.table) or (isinstance(operation, ops.AlterTable) and operation.action not in _LOSING):
        return
    if isinstance(operation, ops.DropTable) and operation.if_exists and _made_after(operation, context):
        return
    target = text.backticked(text.shortened(operation.table.name, "_deprecated", 64))
    yield Hazard(
        f"rows of {operation.table}{context.rows(operation.table)} are gone for good; DDL cannot be rolled back",
        f"Hide it first, and drop it when nothing has missed it for a while, with a backup at hand:\n"
        f"RENAME TABLE {text.mysql_name(operation.table)} TO {target};",
        str(operation.table),
    )


def _made_after(operation: ops.DropTable, context: Context) -> bool:
    """Whether DROP TABLE IF EXISTS stands before the CREATE of a table that is not known: a dump."""
    return context.table(operation.table) is None and context.created_here("table", operation.table)


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-drop-table",
    summary="DROP TABLE, DROP DATABASE, TRUNCATE, DROP PARTITION and DISCARD TABLESPACE lose data",
    why="They commit at once and cannot be undone.",
    catalogue="B2 (data loss)",
    severity="error",
    on=(ops.DropTable, ops.DropObject, ops.Truncate, ops.AlterTable),
    check=check,
    bad=(
        Example("DROP TABLE orders;"),
        Example("TRUNCATE TABLE orders;"),
        Example("DROP DATABASE app;", runs=False),
        Example("ALTER TABLE orders DISCARD TABLESPACE;"),
    ),
    good=(
        Example("CREATE TABLE tags (a INT); DROP TABLE tags;"),
        Example("DROP TABLE IF EXISTS tags; CREATE TABLE tags (a INT);"),
    ),
)
