"""DROP CONSTRAINT of a primary key or unique constraint."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.DropConstraint, context: Context) -> Iterator[Hazard]:
    """Report a key that statements of running code may name, and that nothing keeps any more."""
    if context.is_new(operation.table) or operation.name is None:
        return
    table = context.table(operation.table)
    constraint = table.constraints.get(operation.name) if table else None
    if constraint is not None and constraint.kind not in ("primary-key", "unique"):
        return
    if constraint is None and not operation.name.endswith(("_pkey", "_key", "_pk", "_unique")):
        return
    if context.replaces_key(operation.table):
        return
    yield Hazard(
        f"INSERT ... ON CONFLICT on the columns of {operation.name} fails from now on, duplicates get in, and its "
        "index is gone for reads",
        f"Make sure that no release in use relies on it; where another key takes its place, add that one in the same "
        f"transaction:\nALTER TABLE {text.name(operation.table)} DROP CONSTRAINT "
        f"{text.identifier(operation.name)}, ADD … USING INDEX …;",
        str(operation.table),
    )


RULE = Rule(
    id="pg-drop-key-constraint",
    summary="Dropping a primary key or unique constraint breaks ON CONFLICT and lets duplicates in",
    why="The lock is short; what goes is the guarantee and the index behind it.",
    catalogue="B1.30",
    severity="warning",
    lock="ACCESS EXCLUSIVE",
    on=(ops.DropConstraint,),
    check=check,
    bad=(Example("ALTER TABLE orgs DROP CONSTRAINT orgs_pkey;"),),
    good=(
        Example(
            "ALTER TABLE orgs DROP CONSTRAINT orgs_pkey, ADD CONSTRAINT orgs_pk2 PRIMARY KEY USING INDEX orgs_id2;",
            setup="CREATE UNIQUE INDEX orgs_id2 ON orgs (id);",
        ),
        Example("ALTER TABLE orders DROP CONSTRAINT orders_user_fk;"),
    ),
)
