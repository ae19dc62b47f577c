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
    return duplicate_index.hazards(context, "statement")


_FOREIGN_KEY = "ALTER TABLE users ADD CONSTRAINT users_org FOREIGN KEY (org_id) REFERENCES orgs (id);"
RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-duplicate-index",
    summary="An index exists already under another name",
    why="The server says so in a note that no runner shows (1831), and makes it; each costs space and time of writes.",
    catalogue="B2 (duplicate index)",
    severity="warning",
    on=(ops.CreateIndex, ops.AddConstraint),
    check=duplicate_index.check,
    finish=finish,
    bad=(
        Example("CREATE INDEX again ON users (email);"),
        Example("ALTER TABLE users ADD KEY again (`EMAIL` ASC);"),
        Example("ALTER TABLE users ADD KEY again (age), ADD KEY and_again (age);"),
        Example("CREATE INDEX again ON users (name(10));", setup="CREATE INDEX users_name ON users (name(10));"),
    ),
    good=(
        Example("CREATE UNIQUE INDEX users_email_key ON users (email);"),
        Example("CREATE INDEX users_email_start ON users (email(10));"),
        Example("CREATE INDEX users_email_age ON users (email, age);"),
        Example("ALTER TABLE users ADD UNIQUE KEY users_id (id);"),
        Example("CREATE FULLTEXT INDEX users_email_words ON users (email);"),
        Example("CREATE INDEX users_email_down ON users (email DESC);"),
        Example("ALTER TABLE users ADD KEY users_mail (email), DROP KEY users_email;"),
        Example("CREATE INDEX users_org_id ON users (org_id);", setup=_FOREIGN_KEY),
    ),
)
