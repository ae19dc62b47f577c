"""An index that exists already."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import duplicate_index, text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def finish(context: Context) -> Iterator[Hazard]:
    """Report an index that differs from an older one in its name only."""
    for operation, statement, found in duplicate_index.twins(context):
        fix = f"Leave it out. Where it is to take the place of {found.name}, drop that one in the same migration."
        if isinstance(operation, ops.AddConstraint) and found.backs is None:
            name = operation.constraint.name or found.name
            fix = (
                f"Make the constraint of the index that is there:\nALTER TABLE {text.name(operation.table)} "
                f"ADD CONSTRAINT {text.identifier(name)} UNIQUE USING INDEX {text.identifier(found.name)};"
            )
        yield Hazard(
            f"{operation.table} has this index already, as {found.name}: same keys, condition and uniqueness, so that "
            "every write keeps both and no query needs the second",
            fix,
            str(operation.table),
            statement=statement,
        )


RULE = Rule(
    id="pg-duplicate-index",
    summary="An index exists already under another name",
    why="PostgreSQL makes both without a word; each costs space, memory, and time of every INSERT and UPDATE.",
    catalogue="B1 (duplicate index)",
    severity="warning",
    on=(ops.CreateIndex, ops.AddConstraint),
    check=duplicate_index.check,
    finish=finish,
    bad=(
        Example("CREATE INDEX again ON users (email);"),
        Example("CREATE INDEX ON users USING btree (email ASC NULLS LAST);"),
        Example("CREATE UNIQUE INDEX again ON orgs (id);"),
        Example("ALTER TABLE orgs ADD CONSTRAINT again UNIQUE (id);"),
        Example("ALTER TABLE orgs ADD UNIQUE (name);", setup="CREATE UNIQUE INDEX orgs_name ON orgs (name);"),
        Example(
            "CREATE INDEX again ON users (lower(name) text_pattern_ops DESC) INCLUDE (age) WHERE age > 3;",
            setup="CREATE INDEX users_low ON users (lower(name) text_pattern_ops DESC) INCLUDE (age) WHERE age > 3;",
        ),
        Example(
            "CREATE INDEX again ON logs (entry);",
            setup="CREATE INDEX logs_line ON logs (line); ALTER TABLE logs RENAME line TO entry;",
        ),
        Example("CREATE INDEX ON users (age); CREATE INDEX ON users (age);"),
        Example("CREATE TABLE tags (a int UNIQUE); CREATE UNIQUE INDEX tags_again ON tags (a);"),
    ),
    good=(
        Example("CREATE INDEX IF NOT EXISTS users_email ON users (email);"),
        Example("CREATE UNIQUE INDEX users_email_key ON users (email);"),
        Example("CREATE INDEX users_email_like ON users (email varchar_pattern_ops);"),
        Example('CREATE INDEX users_email_c ON users (email COLLATE "C");'),
        Example("CREATE INDEX users_email_down ON users (email DESC NULLS LAST);"),
        Example("CREATE INDEX users_email_hash ON users USING hash (email);"),
        Example("CREATE INDEX users_email_some ON users (email) WHERE active;"),
        Example("CREATE INDEX users_email_id ON users (email) INCLUDE (id);"),
        Example("CREATE INDEX users_low ON users (lower(email));", setup="CREATE INDEX u ON users (upper(email));"),
        Example("ALTER TABLE orgs ADD UNIQUE (id) DEFERRABLE;"),
        Example(
            "CREATE INDEX CONCURRENTLY users_email_new ON users (email); DROP INDEX CONCURRENTLY users_email;"
            "ALTER INDEX users_email_new RENAME TO users_email;",
            transaction=False,
        ),
        Example(
            "CREATE UNIQUE INDEX CONCURRENTLY orgs_new ON orgs (name); ALTER TABLE orgs DROP CONSTRAINT orgs_name_key,"
            "ADD CONSTRAINT orgs_name_key UNIQUE USING INDEX orgs_new;",
            setup="ALTER TABLE orgs ADD UNIQUE (name);",
            transaction=False,
        ),
        Example("CREATE INDEX events_at ON ONLY events (at); CREATE INDEX events_1_at ON events_1 (at);"),
    ),
)
