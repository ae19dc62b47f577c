"""DDL inside a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.Operation, context: Context) -> Iterator[Hazard]:
    """Report DDL that commits the data changes before it."""
    if context.in_transaction is not True or context.notes.get(RULE.id):
        return
    table = getattr(operation, "table", None)
    before = context.transaction.data
    if before is None and not context.transaction.explicit:
        return
    context.notes[RULE.id] = True
    what = f"the change of data in line {before.statement.line}" if before else "the transaction that BEGIN opened"
    yield Hazard(
        f"DDL commits {what}: a failure further down leaves it in place, and ROLLBACK undoes nothing",
        "Keep DDL and changes of data in migrations of their own.",
        str(table) if table is not None else None,
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-ddl-commits-transaction",
    summary="DDL commits the transaction around it",
    why="MySQL and MariaDB commit before and after every DDL statement.",
    catalogue="B2 (DDL always commits)",
    severity="warning",
    on=(
        ops.CreateTable,
        ops.AddColumn,
        ops.DropColumn,
        ops.ModifyColumn,
        ops.AddConstraint,
        ops.CreateIndex,
        ops.DropTable,
        ops.AlterTable,
        ops.Truncate,
    ),
    check=check,
    bad=(
        Example("INSERT INTO orgs VALUES (1, 'a'); ALTER TABLE users ADD COLUMN a INT;"),
        Example("START TRANSACTION; ALTER TABLE users ADD COLUMN a INT; COMMIT;", transaction=False),
    ),
    good=(
        Example("ALTER TABLE users ADD COLUMN a INT; INSERT INTO orgs VALUES (1, 'a');"),
        Example("INSERT INTO orgs VALUES (1, 'a'); ALTER TABLE users ADD COLUMN a INT;", transaction=False),
    ),
)
