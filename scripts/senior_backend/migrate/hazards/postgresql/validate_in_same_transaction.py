"""NOT VALID and VALIDATE in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.ValidateConstraint, context: Context) -> Iterator[Hazard]:
    """Report a validation that runs while an earlier statement of its transaction holds a blocking lock."""
    if context.is_new(operation.table) or context.in_transaction is False:
        return
    earlier = (
        [step for step, _ in context.transaction.operations]
        if context.in_transaction
        else [step for parsed in context.statements for step in parsed.operations]
    )
    key = context.catalog.key(operation.table)
    for step in earlier:
        if (
            isinstance(step, ops.AddConstraint)
            and context.catalog.key(step.table) == key
            and not step.constraint.valid
            and (step.constraint.name or operation.name) == operation.name
        ):
            break
    else:
        return
    held = "SHARE ROW EXCLUSIVE" if step.constraint.kind == "foreign-key" else "ACCESS EXCLUSIVE"
    where = "" if context.in_transaction else " where the runner wraps the file in one transaction"
    yield Hazard(
        f"the {held} lock of ADD CONSTRAINT {operation.name} is held while VALIDATE reads the whole table"
        f"{context.rows(operation.table)}{where}",
        f"Put this into the next migration, in a transaction of its own:\n"
        f"ALTER TABLE {text.name(operation.table)} VALIDATE CONSTRAINT {text.identifier(operation.name)};",
        str(operation.table),
        severity=None if context.in_transaction else "warning",
        lock=held,
    )


RULE = Rule(
    id="pg-validate-in-same-transaction",
    summary="NOT VALID and VALIDATE CONSTRAINT in one transaction keep the first lock through the scan",
    why="Locks are held to the end of the transaction, so that the split into two statements gains nothing.",
    catalogue="B1.17",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="scan",
    on=(ops.ValidateConstraint,),
    check=check,
    bad=(
        Example(
            "ALTER TABLE users ADD CONSTRAINT adult CHECK (age >= 0) NOT VALID;"
            "ALTER TABLE users VALIDATE CONSTRAINT adult;"
        ),
        Example(
            "BEGIN; ALTER TABLE users ADD CONSTRAINT o FOREIGN KEY (org_id) REFERENCES orgs NOT VALID;"
            "ALTER TABLE users VALIDATE CONSTRAINT o; COMMIT;",
            transaction=False,
            runs=False,
        ),
    ),
    good=(
        Example(
            "ALTER TABLE users VALIDATE CONSTRAINT adult;",
            setup="ALTER TABLE users ADD CONSTRAINT adult CHECK (age >= 0) NOT VALID;",
        ),
        Example(
            "ALTER TABLE users ADD CONSTRAINT adult CHECK (age >= 0) NOT VALID;"
            "ALTER TABLE users VALIDATE CONSTRAINT adult;",
            transaction=False,
        ),
    ),
)
