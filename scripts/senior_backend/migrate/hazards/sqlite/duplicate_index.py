"""An index that exists already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import duplicate_index
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.CreateIndex, context: Context) -> Iterator[Hazard]:
    """Note what is made; the end of the migration tells whether it is a double."""
    duplicate_index.note(operation, context, RULE.id)
    yield from ()


def finish(context: Context) -> Iterator[Hazard]:
    """Report an index that differs from an older one in its name only."""
    for operation, statement, found in duplicate_index.twins(context, RULE.id):
        yield Hazard(
            f"{operation.table} has this index already, as {found.name}: every write keeps both and no query needs the "
            "second",
            f"Leave it out. Where it is to take the place of {found.name}, drop that one in this migration.",
            str(operation.table),
            statement=statement,
        )


RULE = Rule(
    engines=("sqlite",),
    id="sqlite-duplicate-index",
    summary="An index exists already under another name",
    why="SQLite makes both without a word; each costs space and time of every write.",
    catalogue="B3 (duplicate index)",
    severity="warning",
    on=(ops.CreateIndex,),
    check=check,
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
