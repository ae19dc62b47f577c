"""ADD CONSTRAINT ... EXCLUDE."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddConstraint, context: Context) -> Iterator[Hazard]:
    """Report an exclusion constraint on a table in use."""
    if operation.constraint.kind != "exclude" or context.is_new(operation.table):
        return
    yield Hazard(
        f"building the exclusion constraint reads the whole table{context.rows(operation.table)} "
        "while nobody can read or write it, and it has no online form",
        "db_migrate.py rewrite lets a side table hold it: created empty with the constraint, written by a trigger, "
        "filled in batches. One of equal columns alone is a UNIQUE constraint. A small table: behind SET lock_timeout.",
        str(operation.table),
    )


RULE = Rule(
    id="pg-add-exclusion-constraint",
    summary="ADD CONSTRAINT ... EXCLUDE builds an index under ACCESS EXCLUSIVE and has no online form",
    why="There is neither NOT VALID nor USING INDEX for exclusion constraints.",
    catalogue="B1.20",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="scan",
    on=(ops.AddConstraint,),
    check=check,
    bad=(Example("ALTER TABLE users ADD CONSTRAINT one_id EXCLUDE USING btree (id WITH =);"),),
    good=(Example("CREATE TABLE rooms (id int); ALTER TABLE rooms ADD CONSTRAINT r EXCLUDE USING btree (id WITH =);"),),
)
