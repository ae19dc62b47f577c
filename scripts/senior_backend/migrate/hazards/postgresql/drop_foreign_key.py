"""DROP CONSTRAINT of a foreign key."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.DropConstraint, context: Context) -> Iterator[Hazard]:
    """Report the lock on the parent of a dropped foreign key."""
    if context.is_new(operation.table) or operation.name is None:
        return
    table = context.table(operation.table)
    constraint = table.constraints.get(operation.name) if table else None
    if constraint is not None and constraint.references is None:
        return
    if constraint is None and not (operation.name.endswith("_fkey") or operation.name.startswith(("fk_", "fk-"))):
        return
    parent = str(constraint.references) if constraint is not None else "its parent table"
    if constraint is not None and constraint.references is not None and context.is_new(constraint.references):
        return
    yield Hazard(
        f"locks {operation.table} and {parent} against reads and writes at the same time",
        f"Alone in its transaction, with a timeout and retries:\nSET LOCAL lock_timeout = '2s';\n"
        f"ALTER TABLE {text.name(operation.table)} DROP CONSTRAINT {text.identifier(operation.name)};",
        str(operation.table),
        severity="info" if context.has_lock_timeout() else None,
    )


RULE = Rule(
    id="pg-drop-foreign-key-locks-parent",
    summary="Dropping a foreign key locks both tables against reads and writes",
    why="ACCESS EXCLUSIVE is taken on the parent as well, which the statement does not even name.",
    catalogue="B1.29",
    severity="warning",
    lock="ACCESS EXCLUSIVE",
    on=(ops.DropConstraint,),
    check=check,
    bad=(Example("ALTER TABLE orders DROP CONSTRAINT orders_user_fk;"),),
    good=(
        Example(
            "ALTER TABLE users DROP CONSTRAINT aged;",
            setup="ALTER TABLE users ADD CONSTRAINT aged CHECK (age > -1);",
        ),
        Example(
            "CREATE TABLE tags (u bigint CONSTRAINT tags_u REFERENCES users); ALTER TABLE tags DROP CONSTRAINT tags_u;"
        ),
    ),
)
