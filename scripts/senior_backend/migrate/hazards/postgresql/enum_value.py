"""ALTER TYPE ... ADD VALUE inside a transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddEnumValue, context: Context) -> Iterator[Hazard]:
    """Report a new value on a server, or in a place, where it cannot be used."""
    if context.in_transaction is not True:
        return
    if context.version is not None and context.version < (12,):
        yield Hazard(
            "before PostgreSQL 12, ALTER TYPE ... ADD VALUE is refused inside a transaction",
            "Put it into a migration of its own that runs without a transaction.",
            str(operation.name),
        )
        return
    if any(
        isinstance(step, ops.CreateEnum) and step.name.name == operation.name.name
        for step, _ in context.transaction.operations
    ):
        return  # the type is of the same transaction, and so are its values
    literal = f"'{operation.value}'"
    for parsed in context.statements[context.statements.index(context.statement) + 1 :]:
        if any(isinstance(step, ops.Transaction) and step.kind == "commit" for step in parsed.operations):
            return
        if any(isinstance(step, (ops.AddEnumValue, ops.Other)) for step in parsed.operations):
            continue
        if literal in parsed.statement.text:
            yield Hazard(
                f"the new value {literal} is used in the same transaction, which PostgreSQL refuses (error 55P04)",
                "Commit the new value first: put what uses it into the next migration.",
                str(operation.name),
                statement=parsed,
            )
            return


RULE = Rule(
    id="pg-enum-value-in-transaction",
    summary="A new enum value cannot be used in the transaction that adds it",
    why="Other sessions could meet a value that is then rolled back. Before 12 the statement itself is refused.",
    catalogue="B1.34",
    severity="error",
    effect="fails",
    on=(ops.AddEnumValue,),
    check=check,
    bad=(
        Example(
            "ALTER TYPE mood ADD VALUE 'great'; ALTER TABLE moods ALTER COLUMN m SET DEFAULT 'great';"
            "INSERT INTO moods DEFAULT VALUES;",
            setup="CREATE TABLE moods (m mood);",
            fails=True,
        ),
        Example("ALTER TYPE mood ADD VALUE 'great';", version=(11, 0), runs=False),
    ),
    good=(
        Example("ALTER TYPE mood ADD VALUE 'great' BEFORE 'ok';"),
        Example(
            "ALTER TYPE mood ADD VALUE 'great'; INSERT INTO moods VALUES ('great');",
            setup="CREATE TABLE moods (m mood);",
            transaction=False,
        ),
    ),
)
