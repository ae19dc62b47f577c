"""ALTER TYPE ... ADD VALUE inside a transaction."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


_LITERAL = re.compile(r"'(?:[^']|'')*'")


def check(operation: ops.CreateEnum | ops.AddEnumValue, context: Context) -> Iterator[Hazard]:
    """Report a new value on a server where it cannot be added, and remember it for `finish`."""
    if isinstance(operation, ops.CreateEnum):
        context.transaction.notes.setdefault(RULE.id, set()).add(operation.name.name)
        return
    if context.in_transaction is not True:
        return
    if context.version is not None and context.version < (12,):
        yield Hazard(
            "before PostgreSQL 12, ALTER TYPE ... ADD VALUE is refused inside a transaction",
            "Put it into a migration of its own that runs without a transaction.",
            str(operation.name),
        )
        return
    if operation.name.name in context.transaction.notes.get(RULE.id, ()):
        return  # the type is of the same transaction, and so are its values
    context.notes.setdefault(RULE.id, {})[context.position] = f"'{operation.value}'"


def finish(context: Context) -> Iterator[Hazard]:
    """Report statements that use a value before the transaction that adds it is committed."""
    added: dict[int, str] = context.notes.get(RULE.id, {})
    waiting: set[str] = set()
    for position in range(min(added, default=len(context.statements)), len(context.statements)):
        parsed = context.statements[position]
        if any(isinstance(step, ops.Transaction) and step.kind == "commit" for step in parsed.operations):
            waiting.clear()
        elif position in added:
            waiting.add(added[position])
        elif waiting and not any(isinstance(step, ops.Other) for step in parsed.operations):
            used = waiting.intersection(_LITERAL.findall(parsed.statement.text))
            for literal in sorted(used):
                waiting.discard(literal)
                yield Hazard(
                    f"the new value {literal} is used in the same transaction, which PostgreSQL refuses (error 55P04)",
                    "Commit the new value first: put what uses it into the next migration.",
                    statement=parsed,
                )


RULE = Rule(
    id="pg-enum-value-in-transaction",
    summary="A new enum value cannot be used in the transaction that adds it",
    why="Other sessions could meet a value that is then rolled back. Before 12 the statement itself is refused.",
    catalogue="B1.34",
    severity="error",
    effect="fails",
    on=(ops.CreateEnum, ops.AddEnumValue),
    check=check,
    finish=finish,
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
