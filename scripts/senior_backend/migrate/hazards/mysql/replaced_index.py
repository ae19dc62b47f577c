"""DROP INDEX in one statement, and the index that takes its place in a later one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import replaced_index, text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.DropIndex, context: Context) -> Iterator[Hazard]:
    """Report queries that are left without an index until its successor is built."""
    found = replaced_index.replacement(operation, context)
    if found is None:
        return
    dropped, successor = found
    name = successor.name or "the new one"
    yield Hazard(
        f"from here until {name} is built, queries that used {dropped.name} read all of {successor.table}; where the "
        "build fails, they go on doing so",
        f"Do both in one statement:\nALTER TABLE {text.mysql_name(successor.table)} "
        f"DROP INDEX {text.backticked(dropped.name)}, ADD INDEX {text.backticked(name)} (…), "
        "ALGORITHM=INPLACE, LOCK=NONE;",
        str(successor.table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-index-dropped-before-replacement",
    summary="An index is dropped before the one that replaces it is built",
    why="Building takes as long as reading the table; meanwhile every query that relied on the old one is a scan.",
    catalogue="B2.13",
    severity="warning",
    on=(ops.DropIndex,),
    check=check,
    bad=(
        Example("DROP INDEX users_email ON users; CREATE INDEX users_email_name ON users (email, name);"),
        Example("ALTER TABLE users DROP KEY users_email; ALTER TABLE users ADD UNIQUE KEY users_email (email);"),
    ),
    good=(
        Example("ALTER TABLE users DROP KEY users_email, ADD UNIQUE KEY users_email (email);"),
        Example("CREATE INDEX users_email_name ON users (email, name); DROP INDEX users_email ON users;"),
    ),
)
