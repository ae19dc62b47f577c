"""ADD COLUMN ... REFERENCES."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import postgresql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddColumn, context: Context) -> Iterator[Hazard]:
    """Report the foreign key beside a new column."""
    column = operation.column
    for constraint in column.constraints:
        if constraint.kind != "foreign-key" or context.is_new(operation.table):
            continue
        filled = column.default is not None  # even DEFAULT NULL has the rows checked
        table, attribute = text.name(operation.table), text.identifier(column.name)
        name = constraint.name or text.shortened(f"{operation.table.name}_{column.name}", "_fkey")
        clause = fixes.references(
            constraint.references, constraint.reference_columns, constraint.on_delete, constraint.on_update
        )
        effect = f", and every row{context.rows(operation.table)} is checked under these locks" if filled else ""
        yield Hazard(
            f"locks {operation.table} against reads and writes and {constraint.references} against writes "
            f"at the same time{effect}",
            f"ALTER TABLE {table} ADD COLUMN {attribute} {column.type};\n"
            + fixes.validate_later(operation.table, name, f"FOREIGN KEY ({attribute}) {clause}"),
            str(operation.table),
            severity="error" if filled else None,
            effect="scan" if filled else None,
        )


RULE = Rule(
    id="pg-add-column-foreign-key",
    summary="ADD COLUMN ... REFERENCES locks two tables at once",
    why="ACCESS EXCLUSIVE on the table and SHARE ROW EXCLUSIVE on the parent are held together: both queue behind "
    "running queries, and with a default the rows are checked as well.",
    catalogue="B1.11",
    severity="warning",
    lock="ACCESS EXCLUSIVE",
    on=(ops.AddColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD COLUMN home_id bigint REFERENCES orgs (id);"),
        Example(
            "ALTER TABLE users ADD COLUMN home_id bigint DEFAULT 1 REFERENCES orgs ON DELETE CASCADE;", effect="scan"
        ),
        Example("ALTER TABLE users ADD COLUMN home_id bigint REFERENCES orgs DEFAULT NULL;", effect="scan"),
    ),
    good=(
        Example("CREATE TABLE tags (id int); ALTER TABLE tags ADD COLUMN org_id bigint REFERENCES orgs (id);"),
        Example(
            "ALTER TABLE users ADD COLUMN home_id bigint;"
            "ALTER TABLE users ADD CONSTRAINT users_home FOREIGN KEY (home_id) REFERENCES orgs (id) NOT VALID;"
        ),
    ),
)
