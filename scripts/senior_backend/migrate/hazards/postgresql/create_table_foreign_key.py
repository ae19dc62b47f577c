"""CREATE TABLE ... REFERENCES a table in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.CreateTable, context: Context) -> Iterator[Hazard]:
    """Report the lock on the parent of a new table's foreign key."""
    if operation.temporary or context.has_lock_timeout() or context.notes.get(RULE.id):
        return
    constraints = [*operation.constraints, *(item for column in operation.columns for item in column.constraints)]
    parents = sorted(
        {
            str(constraint.references)
            for constraint in constraints
            if constraint.references is not None
            and context.table(constraint.references) is not None
            and not context.is_new(constraint.references)
            and context.catalog.key(constraint.references) != context.catalog.key(operation.table)
        }
    )
    if not parents:
        return
    context.notes[RULE.id] = True
    yield Hazard(
        f"the foreign key locks {', '.join(parents)} against writes, and nothing bounds the wait for that lock",
        "At the top of the migration:\nSET lock_timeout = '2s';",
        parents[0],
    )


RULE = Rule(
    id="pg-create-table-foreign-key",
    summary="CREATE TABLE ... REFERENCES locks the parent against writes, without a lock_timeout",
    why="SHARE ROW EXCLUSIVE on the parent waits for its running writers, and all later writers wait behind it.",
    catalogue="B1.47",
    severity="info",
    lock="SHARE ROW EXCLUSIVE",
    on=(ops.CreateTable,),
    check=check,
    bad=(Example("CREATE TABLE pets (id bigint PRIMARY KEY, owner bigint REFERENCES users (id));"),),
    good=(
        Example(
            "SET LOCAL lock_timeout = '2s';"
            "CREATE TABLE pets (id bigint PRIMARY KEY, owner bigint REFERENCES users (id));"
        ),
        Example("CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a int REFERENCES a (id));"),
    ),
)
