"""CREATE, DROP, ENABLE and DISABLE TRIGGER."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.CreateTrigger | ops.DropObject | ops.AlterTable, context: Context) -> Iterator[Hazard]:
    """Report the lock of a change of triggers, and the checks that DISABLE switches off."""
    if isinstance(operation, ops.CreateTrigger):
        what, table, lock = f"creating the trigger {operation.name}", operation.table, "SHARE ROW EXCLUSIVE"
    elif isinstance(operation, ops.DropObject):
        if operation.kind != "trigger" or operation.table is None:
            return
        if context.created_here("trigger", operation.name):
            return  # replaced
        what, table, lock = f"dropping the trigger {operation.name.name}", operation.table, "ACCESS EXCLUSIVE"
    elif operation.action in ("disable-trigger", "enable-trigger"):
        what, table, lock = operation.action.replace("-", " "), operation.table, "SHARE ROW EXCLUSIVE"
    else:
        return
    if context.is_new(table):
        return
    if context.has_lock_timeout() and what != "disable trigger":
        return
    blocked = "reads and writes" if lock == "ACCESS EXCLUSIVE" else "writes"
    off = "; while it is off, foreign keys and audit rules are not kept" if what == "disable trigger" else ""
    yield Hazard(
        f"{what} locks {table} against {blocked}, and waits for running transactions first{off}",
        "With a timeout and retries, so that nobody queues behind the wait:\nSET LOCAL lock_timeout = '2s';",
        str(table),
        lock=lock,
    )


RULE = Rule(
    id="pg-trigger-locks-table",
    summary="CREATE, DROP, ENABLE and DISABLE TRIGGER lock the table",
    why="CREATE, ENABLE and DISABLE take SHARE ROW EXCLUSIVE, DROP takes ACCESS EXCLUSIVE.",
    catalogue="B1.45",
    severity="warning",
    lock="SHARE ROW EXCLUSIVE",
    on=(ops.CreateTrigger, ops.DropObject, ops.AlterTable),
    check=check,
    bad=(
        Example("CREATE TRIGGER t BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();"),
        Example("DROP TRIGGER users_touch ON users;", lock="ACCESS EXCLUSIVE"),
        Example("ALTER TABLE users DISABLE TRIGGER users_touch;"),
    ),
    good=(
        Example(
            "SET LOCAL lock_timeout = '2s';"
            "CREATE TRIGGER t BEFORE UPDATE ON orders FOR EACH ROW EXECUTE FUNCTION touch();"
        ),
        Example(
            "CREATE TABLE tags (a int); CREATE TRIGGER t BEFORE UPDATE ON tags FOR EACH ROW EXECUTE FUNCTION touch();"
        ),
    ),
)
