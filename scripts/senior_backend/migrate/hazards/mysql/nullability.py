"""NULL to NOT NULL and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import mysql_types
from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.ModifyColumn, context: Context) -> Iterator[Hazard]:
    """Report a change that builds the table anew and nothing else."""
    old, new = context.column(operation.table, operation.column), operation.definition
    if old is None or context.is_new(operation.table):
        return
    cost = mysql_types.modify_cost(old, new, context.table(operation.table), context.catalog.engine)
    if cost != "rebuild":
        return
    nulls = "; rows with a null make it fail, or become 0 or '' where sql_mode is not strict" if new.not_null else ""
    yield Hazard(
        f"the table{context.rows(operation.table)} is built anew; writers go on, but replicas wait for it{nulls}",
        "Fill the nulls in batches first, then:\n"
        f"ALTER TABLE {text.mysql_name(operation.table)} MODIFY {text.backticked(operation.column)} {new.type} "
        f"{'NOT NULL' if new.not_null else 'NULL'}, ALGORITHM=INPLACE, LOCK=NONE;",
        str(operation.table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-change-nullability-rebuilds",
    summary="NULL to NOT NULL, and back, builds the table anew",
    why="Each row holds a bit for each column that may be null.",
    catalogue="B2.10",
    severity="warning",
    effect="rewrite",
    on=(ops.ModifyColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users MODIFY age INT NOT NULL;"),
        Example("ALTER TABLE orgs MODIFY name VARCHAR(100) NULL;"),
    ),
    good=(Example("ALTER TABLE users MODIFY age INT NULL;"),),
)
