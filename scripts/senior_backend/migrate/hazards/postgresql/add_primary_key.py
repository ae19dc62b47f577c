"""ADD PRIMARY KEY."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import postgresql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddConstraint, context: Context) -> Iterator[Hazard]:
    """Report a primary key whose index is built, or whose columns are checked for nulls, at once."""
    constraint = operation.constraint
    if constraint.kind != "primary-key" or context.is_new(operation.table):
        return
    table = context.table(operation.table)
    columns = constraint.columns
    if constraint.using_index is not None:
        index = table.indexes.get(constraint.using_index) if table else None
        columns = tuple(column for column in index.columns if column is not None) if index else ()
        if not columns or table is None:
            return
    nullable = [
        column for column in columns if (known := context.column(operation.table, column)) is None or not known.not_null
    ]
    if constraint.using_index is not None and not any(
        context.column(operation.table, column) is not None for column in nullable
    ):
        return
    name = constraint.name or constraint.using_index or text.shortened(operation.table.name, "_pkey")
    steps = "".join(
        f"{fixes.not_null_steps(operation.table, column, server=context.version)}\n"
        for column in nullable
        if context.column(operation.table, column) is not None
    )
    what = (
        f"making {', '.join(nullable)} NOT NULL"
        if constraint.using_index is not None
        else "building the index of the primary key"
    )
    yield Hazard(
        f"{what} reads the whole table{context.rows(operation.table)} while nobody can read or write it",
        steps + fixes.unique_by_index(operation.table, name, columns, "PRIMARY KEY"),
        str(operation.table),
    )


RULE = Rule(
    id="pg-add-primary-key",
    summary="ADD PRIMARY KEY builds an index, and checks for nulls, under ACCESS EXCLUSIVE",
    why="The unique index can be built concurrently first; a column that is NOT NULL already needs no check.",
    catalogue="B1.19",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="scan",
    on=(ops.AddConstraint,),
    check=check,
    bad=(
        Example("ALTER TABLE logs ADD PRIMARY KEY (id);"),
        Example(
            "ALTER TABLE logs ADD CONSTRAINT logs_pk PRIMARY KEY USING INDEX logs_pk;",
            setup="CREATE UNIQUE INDEX logs_pk ON logs (id);",
        ),
    ),
    good=(
        Example(
            "ALTER TABLE logs ADD CONSTRAINT logs_pk PRIMARY KEY USING INDEX logs_pk;",
            setup="ALTER TABLE logs ALTER COLUMN id SET NOT NULL; CREATE UNIQUE INDEX logs_pk ON logs (id);",
        ),
        Example("CREATE TABLE tags (id int); ALTER TABLE tags ADD PRIMARY KEY (id);"),
    ),
)
