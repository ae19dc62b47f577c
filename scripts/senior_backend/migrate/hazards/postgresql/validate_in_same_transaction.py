"""NOT VALID and VALIDATE in one transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.hazards.rule import TransactionState


def check(operation: ops.AddConstraint | ops.ValidateConstraint, context: Context) -> Iterator[Hazard]:
    """Report a validation that runs while an earlier statement of its transaction holds a blocking lock."""
    added: dict[tuple[tuple[str, str], str | None], tuple[str, TransactionState]] = context.notes.setdefault(
        RULE.id, {}
    )
    key = context.catalog.key(operation.table)
    if isinstance(operation, ops.AddConstraint):
        if not operation.constraint.valid:
            added[key, operation.constraint.name] = (operation.constraint.kind, context.transaction)
        return
    if context.is_new(operation.table) or context.in_transaction is False:
        return
    kind, transaction = added.get((key, operation.name)) or added.get((key, None)) or (None, None)
    if kind is None or (context.in_transaction and transaction is not context.transaction):
        return
    held = "SHARE ROW EXCLUSIVE" if kind == "foreign-key" else "ACCESS EXCLUSIVE"
    where = "" if context.in_transaction else ", where the runner wraps the file in one transaction"
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
    on=(ops.AddConstraint, ops.ValidateConstraint),
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
