"""DDL that may wait for a day."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.Operation, context: Context) -> Iterator[Hazard]:
    """Report the first statement that may wait for its metadata lock; once a migration is enough."""
    table = getattr(operation, "table", None)
    if table is None or context.unit.timeouts or context.notes.get(RULE.id) or context.is_new(table):
        return
    if isinstance(operation, ops.DropTable) and context.table(table) is None and context.created_here("table", table):
        return  # a dump that clears the way for its own tables
    value = context.setting("lock_wait_timeout")
    if value is not None and value.isdigit() and int(value) < 3600:
        return
    context.notes[RULE.id] = True
    yield Hazard(
        f"the metadata lock on {table} may have to wait for a long transaction, and every query on {table} waits "
        "behind it: lock_wait_timeout is a day by default",
        "At the top of the migration, with a runner that tries again (`db_migrate.py up` does both itself):\n"
        "SET SESSION lock_wait_timeout = 5;",
        str(table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-missing-lock-wait-timeout",
    summary="DDL on a table in use runs without lock_wait_timeout",
    why="The default is 86,400 seconds; while DDL waits, all new queries on the table wait as well.",
    catalogue="B2.22",
    severity="warning",
    on=(
        ops.AddColumn,
        ops.DropColumn,
        ops.ModifyColumn,
        ops.RenameColumn,
        ops.RenameTable,
        ops.AddConstraint,
        ops.DropConstraint,
        ops.CreateIndex,
        ops.DropIndex,
        ops.SetDefault,
        ops.DropDefault,
        ops.AlterTable,
        ops.DropTable,
        ops.Truncate,
    ),
    check=check,
    bad=(Example("ALTER TABLE users ADD COLUMN a INT;"),),
    good=(
        Example("SET SESSION lock_wait_timeout = 5; ALTER TABLE users ADD COLUMN a INT;"),
        Example("CREATE TABLE tags (a INT); ALTER TABLE tags ADD COLUMN b INT;"),
    ),
)
