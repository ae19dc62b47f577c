"""Columns of type varchar(n)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.operations import Type


def _columns(operation: ops.CreateTable | ops.AddColumn | ops.AlterColumnType) -> Iterator[tuple[str, Type]]:
    if isinstance(operation, ops.AlterColumnType):
        yield operation.column, operation.type
        return
    for column in operation.columns if isinstance(operation, ops.CreateTable) else (operation.column,):
        if column.type is not None:
            yield column.name, column.type


def check(operation: ops.CreateTable | ops.AddColumn | ops.AlterColumnType, context: Context) -> Iterator[Hazard]:
    """Report columns of the type."""
    del context
    for name, type_ in _columns(operation):
        if type_.name == "varchar" and type_.modifiers:
            yield Hazard(
                f"the limit of {name} is part of its type: a lower one later rewrites the table",
                "Use text with a CHECK on char_length, which can be changed with NOT VALID and VALIDATE.",
                str(operation.table),
            )


RULE = Rule(
    id="pg-varchar-limit",
    summary="varchar(n) ties a limit to the type",
    why="A CHECK can be changed without touching the rows.",
    catalogue="B1.52",
    severity="warning",
    group="style",
    on=(ops.CreateTable, ops.AddColumn, ops.AlterColumnType),
    check=check,
    bad=(Example("CREATE TABLE t (a varchar(10));"),),
    good=(Example("CREATE TABLE t (a text CHECK (char_length(a) <= 10));"),),
)
