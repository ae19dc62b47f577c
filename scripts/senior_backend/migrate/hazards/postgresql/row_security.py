"""ENABLE ROW LEVEL SECURITY before there is a policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AlterTable, context: Context) -> Iterator[Hazard]:
    """Report a table whose rows vanish for everybody but its owner."""
    if operation.action != "enable-rls" or context.is_new(operation.table):
        return
    table = context.table(operation.table)
    if table is not None and table.row_security:
        return
    policies: dict[tuple[str, str], int] | None = context.notes.get(RULE.id)
    if policies is None:
        policies = context.notes[RULE.id] = dict(_policies(context))
    first = policies.get(context.catalog.key(operation.table))
    if first is not None and (context.in_transaction is True or first < context.position):
        return
    relation = text.name(operation.table)
    yield Hazard(
        f"from this moment on every role but the owner sees no row of {operation.table}, and can write none",
        f"Create the policies first, in the same transaction:\n"
        f"CREATE POLICY … ON {relation} …;\nALTER TABLE {relation} ENABLE ROW LEVEL SECURITY;",
        str(operation.table),
    )


def _policies(context: Context) -> Iterator[tuple[tuple[str, str], int]]:
    """Yield the tables that get a policy here, with the place of the first one last."""
    for position in range(len(context.statements) - 1, -1, -1):
        for step in context.statements[position].operations:
            if isinstance(step, ops.CreateObject) and step.kind == "policy" and step.table is not None:
                yield context.catalog.key(step.table), position


RULE = Rule(
    id="pg-row-security-without-policy",
    summary="ENABLE ROW LEVEL SECURITY without a policy hides every row",
    why="With row security on and no policy, the default is to deny.",
    catalogue="B1.46",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    on=(ops.AlterTable,),
    check=check,
    bad=(Example("ALTER TABLE users ENABLE ROW LEVEL SECURITY;"),),
    good=(
        Example("CREATE POLICY own ON users USING (true); ALTER TABLE users ENABLE ROW LEVEL SECURITY;"),
        Example(
            "ALTER TABLE users ENABLE ROW LEVEL SECURITY;",
            setup="CREATE POLICY own ON users USING (true); ALTER TABLE users ENABLE ROW LEVEL SECURITY;",
        ),
        Example("CREATE TABLE tags (a int); ALTER TABLE tags ENABLE ROW LEVEL SECURITY;"),
    ),
)
