"""DROP INDEX before the CREATE INDEX that takes its place."""

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
    same = successor.name == dropped.name
    first = text.identifier(text.shortened(name, "_new") if same else name)
    yield Hazard(
        f"from here until {name} is built, which may take hours, queries that used {dropped.name} read all of "
        f"{successor.table}; where the build fails, they go on doing so",
        f"Build first, drop afterwards:\nCREATE INDEX CONCURRENTLY {first} ON {text.name(successor.table)} (…);\n"
        f"DROP INDEX CONCURRENTLY {text.identifier(dropped.name)};"
        + (f"\nALTER INDEX {first} RENAME TO {text.identifier(name)};" if same else ""),
        str(successor.table),
    )


RULE = Rule(
    id="pg-index-dropped-before-replacement",
    summary="An index is dropped before the one that replaces it is built",
    why="Building takes as long as reading the table; meanwhile every query that relied on the old one is a scan.",
    catalogue="B1.2",
    severity="warning",
    on=(ops.DropIndex,),
    check=check,
    bad=(
        Example(
            "DROP INDEX CONCURRENTLY users_email; CREATE INDEX CONCURRENTLY users_email ON users (email, id);",
            transaction=False,
        ),
        Example("DROP INDEX users_email; CREATE UNIQUE INDEX users_email_key ON users (email);"),
    ),
    good=(
        Example(
            "CREATE INDEX CONCURRENTLY users_email_id ON users (email, id); DROP INDEX CONCURRENTLY users_email;",
            transaction=False,
        ),
        Example(
            "DROP INDEX CONCURRENTLY users_email; CREATE INDEX CONCURRENTLY users_age ON users (age);",
            transaction=False,
        ),
        Example(
            "DROP INDEX CONCURRENTLY users_email; CREATE INDEX CONCURRENTLY again ON users (email);",
            setup="CREATE INDEX users_email_name ON users (email, name);",
            transaction=False,
        ),
    ),
)
