"""Columns of type timestamp without time zone."""

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
        if type_.name == "timestamp":
            yield Hazard(
                f"{name} holds a time of no known zone: what it means depends on who reads it",
                "Use timestamptz.",
                str(operation.table),
            )


RULE = Rule(
    id="pg-timestamp-without-time-zone",
    summary="timestamp without time zone is ambiguous",
    why="timestamptz takes no more room and names one moment.",
    catalogue="B1.52",
    severity="warning",
    group="style",
    on=(ops.CreateTable, ops.AddColumn, ops.AlterColumnType),
    check=check,
    bad=(Example("CREATE TABLE t (a timestamp);"),),
    good=(Example("CREATE TABLE t (a timestamptz);"),),
)
