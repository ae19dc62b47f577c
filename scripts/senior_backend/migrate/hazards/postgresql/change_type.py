"""ALTER COLUMN ... TYPE that writes the table anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate import postgres_types
from senior_backend.migrate.hazards import postgresql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def is_utc(context: Context) -> bool:
    """Whether the session is known to run in UTC, where times with and without a zone are stored alike."""
    zone = context.setting("timezone") or ""
    return zone.upper() in ("UTC", "ETC/UTC", "GMT", "ZULU", "UCT", "ETC/UCT")


def _plain(operation: ops.AlterColumnType) -> bool:
    """Whether USING is missing, or is the column itself, cast or not."""
    return operation.using is None or getattr(operation.using, "cast_of", None) == operation.column


def check(operation: ops.AlterColumnType, context: Context) -> Iterator[Hazard]:
    """Report a change of type that is more than a change of the catalogue."""
    if context.is_new(operation.table):
        return
    column = context.column(operation.table, operation.column)
    old = column.type if column is not None else None
    change = postgres_types.type_change(old, operation.type, context.catalog) if _plain(operation) else "rewrite"
    if change == "free" or (change == "utc" and is_utc(context)):
        return
    table, attribute = text.name(operation.table), text.identifier(operation.column)
    new = text.identifier(text.shortened(operation.column, "_new"))
    value = operation.using.sql if operation.using is not None else f"{attribute}::{operation.type}"
    steps = (
        f"ALTER TABLE {table} ADD COLUMN {new} {operation.type};\n"
        f"a BEFORE INSERT OR UPDATE trigger that sets NEW.{new} := {value} (of NEW);\n"
        f"{fixes.backfill(operation.table, new, value)}\n"
        f"-- after the deploy that reads {new}: drop the trigger and {attribute}, or swap the two names"
    )
    rewrite = f"rewrites the whole table{context.rows(operation.table)} and its indexes while nobody can read it"
    if change == "unknown":
        yield Hazard(
            f"the type that {operation.column} has now is not known here; unless it is stored the same way as "
            f"{operation.type}, this {rewrite}",
            "Show the linter the schema (--database-url, --schema, or the earlier migrations). If it does rewrite:\n"
            f"{steps}",
            str(operation.table),
        )
    elif change == "utc":
        yield Hazard(
            f"from {old} to {operation.type} this {rewrite}, unless the session's time zone is UTC",
            f"Where the stored times are UTC, say so first; then only the catalogue changes:\n"
            f"SET LOCAL timezone = 'UTC';\nElse:\n{steps}",
            str(operation.table),
        )
    else:
        yield Hazard(
            f"from {old or 'its type'} to {operation.type} this {rewrite}",
            steps,
            str(operation.table),
        )


RULE = Rule(
    id="pg-change-type-rewrites",
    summary="ALTER COLUMN ... TYPE rewrites the table where the stored form changes",
    why="Only a few changes touch the catalogue alone: a longer varchar, varchar to text, a numeric with more digits "
    "and the same scale, cidr to inet, more fractional digits of a time. All others write every row and index anew.",
    catalogue="B1.22, B1.23",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="rewrite",
    on=(ops.AlterColumnType,),
    check=check,
    bad=(
        Example("ALTER TABLE users ALTER COLUMN age TYPE bigint;"),
        Example("ALTER TABLE users ALTER COLUMN email TYPE varchar(40);"),
        Example("ALTER TABLE users ALTER COLUMN note TYPE varchar(200);"),
        Example("ALTER TABLE users ALTER COLUMN balance TYPE numeric(12, 4);"),
        Example("ALTER TABLE users ALTER COLUMN code TYPE text;"),
        Example("ALTER TABLE users ALTER COLUMN email TYPE text USING lower(email);"),
        Example("ALTER TABLE users ALTER COLUMN born TYPE timestamptz;", runs=False),
        Example(
            "ALTER TYPE mood RENAME TO old_mood; CREATE TYPE mood AS ENUM ('sad', 'glad');"
            "ALTER TABLE moods ALTER COLUMN m TYPE mood USING m::text::mood;",
            setup="CREATE TABLE moods (id bigint PRIMARY KEY, m mood);",
        ),
    ),
    good=(
        Example("ALTER TABLE users ALTER COLUMN email TYPE varchar(100);"),
        Example("ALTER TABLE users ALTER COLUMN email TYPE text;"),
        Example("ALTER TABLE users ALTER COLUMN email SET DATA TYPE character varying;"),
        Example("ALTER TABLE users ALTER COLUMN email TYPE text USING email::text;"),
        Example("ALTER TABLE users ALTER COLUMN balance TYPE numeric(12, 2);"),
        Example("ALTER TABLE users ALTER COLUMN balance TYPE numeric;"),
        Example("SET LOCAL timezone = 'UTC'; ALTER TABLE users ALTER COLUMN born TYPE timestamptz;"),
        Example("CREATE TABLE tags (n int); ALTER TABLE tags ALTER COLUMN n TYPE bigint;"),
    ),
)
