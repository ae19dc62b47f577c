"""ADD CONSTRAINT ... FOREIGN KEY."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import postgresql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddConstraint, context: Context) -> Iterator[Hazard]:
    """Report a foreign key that is validated at once."""
    constraint = operation.constraint
    if constraint.kind != "foreign-key" or not constraint.valid or not constraint.enforced:
        return
    if context.is_new(operation.table):
        return  # the lock on the parent is another rule's
    table = context.table(operation.table)
    if table is not None and table.kind == "partitioned" and not context.at_least(18):
        return  # NOT VALID is not accepted there before 18
    columns = ", ".join(map(text.identifier, constraint.columns))
    name = constraint.name or text.shortened("_".join((operation.table.name, *constraint.columns)), "_fkey")
    clause = fixes.references(
        constraint.references, constraint.reference_columns, constraint.on_delete, constraint.on_update
    )
    yield Hazard(
        f"checking every row{context.rows(operation.table)} blocks writes to {operation.table} and to "
        f"{constraint.references} until it is done",
        fixes.validate_later(operation.table, name, f"FOREIGN KEY ({columns}) {clause}"),
        str(operation.table),
    )


RULE = Rule(
    id="pg-add-foreign-key-scans",
    summary="ADD CONSTRAINT ... FOREIGN KEY blocks writes to both tables while it checks every row",
    why="SHARE ROW EXCLUSIVE is held on the table and on its parent. With NOT VALID new rows are checked at once; "
    "VALIDATE CONSTRAINT then checks the old ones under locks that stop nobody.",
    catalogue="B1.16",
    severity="error",
    lock="SHARE ROW EXCLUSIVE",
    effect="scan",
    on=(ops.AddConstraint,),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD CONSTRAINT users_org FOREIGN KEY (org_id) REFERENCES orgs (id);"),
        Example("ALTER TABLE users ADD FOREIGN KEY (org_id) REFERENCES orgs ON DELETE CASCADE;"),
    ),
    good=(
        Example("ALTER TABLE users ADD CONSTRAINT users_org FOREIGN KEY (org_id) REFERENCES orgs (id) NOT VALID;"),
        Example(
            "CREATE TABLE tags (org_id bigint);"
            "ALTER TABLE tags ADD CONSTRAINT tags_org FOREIGN KEY (org_id) REFERENCES orgs (id);"
        ),
    ),
)
