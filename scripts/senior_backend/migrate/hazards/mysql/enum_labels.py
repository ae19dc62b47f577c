"""ENUM and SET labels changed other than at the end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import mysql_types
from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.ModifyColumn, context: Context) -> Iterator[Hazard]:
    """Report labels that move or go."""
    table = context.table(operation.table)
    old, new = context.column(operation.table, operation.column), operation.definition
    if old is None or old.type is None or new.type is None or context.is_new(operation.table):
        return
    if mysql_types.copy_reason(old, new, table, context.catalog.engine) != "labels":
        return
    gone = [str(label) for label in old.type.modifiers if label not in new.type.modifiers]
    loss = f", and rows that hold {', '.join(gone)} fail or are emptied" if gone else ""
    yield Hazard(
        f"labels are numbered: the table{context.rows(operation.table)} is copied while nobody can write to it{loss}",
        f"Append new labels at the end, and leave old ones where they are:\n"
        f"ALTER TABLE {text.mysql_name(operation.table)} MODIFY {text.backticked(operation.column)} {old.type} …, "
        "ALGORITHM=INSTANT;",
        str(operation.table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-enum-labels-move",
    summary="An ENUM or SET label that is inserted, moved or removed copies the table",
    why="Rows hold the number of the label; only appending keeps all numbers.",
    catalogue="B2.12",
    severity="error",
    lock="SHARED",
    effect="rewrite",
    on=(ops.ModifyColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users MODIFY state ENUM('active', 'new') NOT NULL DEFAULT 'new';"),
        Example("ALTER TABLE users MODIFY state ENUM('new') NOT NULL DEFAULT 'new';"),
    ),
    good=(Example("ALTER TABLE users MODIFY state ENUM('new', 'active', 'gone') NOT NULL DEFAULT 'new';"),),
)
