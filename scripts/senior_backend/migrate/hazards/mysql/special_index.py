"""FULLTEXT and SPATIAL indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import mysql_fixes as fixes
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.CreateIndex, context: Context) -> Iterator[Hazard]:
    """Report an index whose build stops writers."""
    if operation.kind is None or context.is_new(operation.table):
        return
    yield Hazard(
        f"building a {operation.kind.upper()} index{context.rows(operation.table)} stops all writers until it is done",
        "Do it in a maintenance window, or:\n"
        + fixes.online_copy(operation.table, f"ADD {operation.kind.upper()} INDEX {operation.name or ''} (…)"),
        str(operation.table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-fulltext-or-spatial-index",
    summary="A FULLTEXT or SPATIAL index stops writers while it is built",
    why="The server refuses LOCK=NONE for them.",
    catalogue="B2.14",
    severity="error",
    lock="SHARED",
    effect="scan",
    on=(ops.CreateIndex,),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD FULLTEXT INDEX users_bio (bio);"),
        Example("CREATE FULLTEXT INDEX users_bio ON users (bio);"),
        Example("ALTER TABLE users ADD SPATIAL INDEX users_place (place);"),
    ),
    good=(Example("ALTER TABLE users ADD INDEX users_age (age), ADD UNIQUE KEY n (name);"),),
)
