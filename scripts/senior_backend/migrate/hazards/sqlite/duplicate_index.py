"""An index that exists already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import duplicate_index
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def finish(context: Context) -> Iterator[Hazard]:
    """Report an index that differs from an older one in its name only."""
    return duplicate_index.hazards(context, "migration")


RULE = Rule(
    engines=("sqlite",),
    id="sqlite-duplicate-index",
    summary="An index exists already under another name",
    why="SQLite makes both without a word; each costs space and time of every write.",
    catalogue="B3 (duplicate index)",
    severity="warning",
    on=(ops.CreateIndex,),
    check=duplicate_index.check,
    finish=finish,
    bad=(
        Example("CREATE INDEX again ON users (age);"),
        Example("CREATE UNIQUE INDEX again ON users (Email);"),
        Example(
            "CREATE INDEX again ON users (name COLLATE NOCASE DESC) WHERE age > 3;",
            setup="CREATE INDEX users_name ON users (name COLLATE NOCASE DESC) WHERE age > 3;",
        ),
    ),
    good=(
        Example("CREATE INDEX IF NOT EXISTS users_age ON users (age);"),
        Example("CREATE INDEX users_email ON users (email);"),
        Example("CREATE INDEX users_age_down ON users (age DESC);"),
        Example("CREATE INDEX users_age_some ON users (age) WHERE age > 3;"),
        Example("CREATE INDEX users_age_new ON users (age); DROP INDEX users_age;"),
        Example("CREATE INDEX users_name ON users (name COLLATE NOCASE);", setup="CREATE INDEX u ON users (name);"),
    ),
)
