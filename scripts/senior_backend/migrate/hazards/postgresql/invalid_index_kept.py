"""CREATE INDEX CONCURRENTLY IF NOT EXISTS over an index that an earlier failure left invalid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.CreateIndex | ops.DropIndex, context: Context) -> Iterator[Hazard]:
    """Report a retry that would keep a broken index; a DROP before it, or a catalogue that knows better, is enough."""
    dropped: set[str] = context.notes.setdefault(RULE.id, set())
    if isinstance(operation, ops.DropIndex):
        dropped.add(operation.index.name)
        return
    if not (operation.concurrently and operation.if_not_exists) or operation.name is None:
        return
    if context.is_new(operation.table):
        return
    table = context.table(operation.table)
    existing = table.indexes.get(operation.name) if table else None
    index = text.identifier(operation.name)
    if existing is not None and not existing.valid:
        yield Hazard(
            f"the index {operation.name} exists and is INVALID: IF NOT EXISTS keeps it, and no query ever uses it",
            f"Drop it first, in a statement of its own:\nDROP INDEX CONCURRENTLY IF EXISTS {index};",
            str(operation.table),
            severity="error",
        )
        return
    if context.catalog.complete or operation.name in dropped:
        return
    yield Hazard(
        f"where an earlier attempt failed, IF NOT EXISTS silently keeps its INVALID index {operation.name}",
        f"Make the migration repeatable by dropping what a failure left:\nDROP INDEX CONCURRENTLY IF EXISTS {index};\n"
        "CREATE INDEX CONCURRENTLY without IF NOT EXISTS then tells the truth.",
        str(operation.table),
    )


RULE = Rule(
    id="pg-if-not-exists-keeps-invalid-index",
    summary="IF NOT EXISTS keeps an INVALID index that a failed CREATE INDEX CONCURRENTLY left behind",
    why="IF NOT EXISTS looks at the name only. The invalid index costs every write and serves no read.",
    catalogue="B1.6",
    severity="warning",
    on=(ops.CreateIndex, ops.DropIndex),
    check=check,
    bad=(Example("CREATE INDEX CONCURRENTLY IF NOT EXISTS users_name ON users (name);", transaction=False),),
    good=(
        Example(
            "DROP INDEX CONCURRENTLY IF EXISTS users_name;\n"
            "CREATE INDEX CONCURRENTLY IF NOT EXISTS users_name ON users (name);",
            transaction=False,
        ),
        Example("CREATE INDEX CONCURRENTLY users_name ON users (name);", transaction=False),
    ),
)
