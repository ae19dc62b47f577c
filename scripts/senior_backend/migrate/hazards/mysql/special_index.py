"""FULLTEXT, SPATIAL and functional indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import mysql_fixes as fixes
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.CreateIndex, context: Context) -> Iterator[Hazard]:
    """Report an index whose build stops writers."""
    kind = operation.kind or ("functional" if any(key.expression for key in operation.columns) else None)
    if kind is None or context.is_new(operation.table):
        return
    shown = kind if kind == "functional" else kind.upper()
    unique = "UNIQUE " if operation.unique else ""
    yield Hazard(
        f"building a {shown} index{context.rows(operation.table)} stops all writers until it is done",
        "Do it in a maintenance window, or:\n"
        + fixes.online_copy(
            operation.table,
            f"ADD {unique if kind == 'functional' else kind.upper() + ' '}INDEX {operation.name or ''} (…)",
        ),
        str(operation.table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-fulltext-or-spatial-index",
    summary="A FULLTEXT, SPATIAL or functional index stops writers while it is built",
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
        Example("ALTER TABLE users ADD INDEX users_next ((age + 1));", engine="mysql"),
        Example("CREATE UNIQUE INDEX users_next ON orders (id, (user_id * 2));", engine="mysql"),
    ),
    good=(
        Example("ALTER TABLE users ADD INDEX users_age (age), ADD UNIQUE KEY n (name);"),
        Example("CREATE INDEX users_bio ON users (bio(20), age DESC);"),
    ),
)
