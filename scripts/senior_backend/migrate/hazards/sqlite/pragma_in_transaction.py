"""PRAGMA foreign_keys inside a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.SetVariable, context: Context) -> Iterator[Hazard]:
    """Report a pragma that does nothing where it stands."""
    if operation.name != "foreign_keys" or operation.value is None or context.in_transaction is not True:
        return
    yield Hazard(
        "PRAGMA foreign_keys inside a transaction does nothing, without a word",
        "Put it in front of BEGIN; a migration that needs it runs without the runner's transaction "
        "(`-- migrate:up transaction:false`).",
    )


RULE = Rule(
    engines=("sqlite",),
    id="sqlite-foreign-keys-pragma-in-transaction",
    summary="PRAGMA foreign_keys inside a transaction is ignored",
    why="Enforcement can only change while no transaction is open; a rebuild then runs with foreign keys on.",
    catalogue="B3",
    severity="error",
    on=(ops.SetVariable,),
    check=check,
    bad=(
        Example("PRAGMA foreign_keys = OFF; SELECT 1; PRAGMA foreign_key_check;"),
        Example("BEGIN; PRAGMA foreign_keys(0); PRAGMA foreign_key_check; COMMIT;", transaction=False),
    ),
    good=(Example("PRAGMA foreign_keys = OFF; BEGIN; SELECT 1; COMMIT; PRAGMA foreign_key_check;", transaction=False),),
)
