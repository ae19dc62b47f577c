"""Sequences that several transformations share: NOT NULL, validated constraints, unique constraints, backfills."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import lock_waits
from senior_backend.migrate.rewrites.model import Step
from senior_backend.migrate.rewrites.sql import ident, in_schema, made, names, rename_column, table_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from senior_backend.migrate.catalog import Domain
    from senior_backend.migrate.operations import Name, Type
    from senior_backend.migrate.rewrites.model import Context

BATCH = 1000


def key_of(table: Name, context: Context) -> tuple[str, ...]:
    """Return the columns by which a backfill walks through a table; `id` is assumed where nothing is known."""
    known = context.table(table)
    if known is not None:
        if known.primary_key:
            return known.primary_key
        for index in known.indexes.values():
            columns = tuple(column for column in index.columns if column is not None)
            if (
                index.unique and index.valid and index.where is None and len(columns) == len(index.columns)
                and all(column in known.columns and known.columns[column].not_null for column in columns)
            ):  # fmt: skip
                return columns
    context.assumptions.append(f"{table} has the unique key id, by which the backfill walks")
    return ("id",)


def backfill(table: Name, assignments: str, where: str, context: Context, purpose: str) -> Step:
    """Return the step that updates the rows for which `where` holds, batch by batch."""
    key = ",".join(key_of(table, context))
    update = f"UPDATE {table_name(table)} SET {assignments} WHERE {where}"  # noqa: S608 - quoted names
    return backfill_text(table, update, key, purpose)


def backfill_text(table: Name, update: str, key: str, purpose: str) -> Step:
    """Return the step that runs an UPDATE in batches."""
    directive = f"-- db_migrate: backfill table={_argument(str(table))} key={_argument(key)} batch={BATCH}"
    return Step("backfill", purpose, (f"{directive}\n{update}",), transaction=False)


def _argument(text: str) -> str:
    """Return the argument of a directive, in quotes where it holds a space."""
    return f'"{text}"' if any(character.isspace() for character in text) else text


def not_null(table: Name, column: str, *, down: Sequence[str] | None = None) -> Step:
    """Return the step that makes a filled column NOT NULL without a scan under a strong lock.

    SET NOT NULL reads no row where a valid CHECK says the same (PostgreSQL 12 and later).
    """
    name, t, c = ident(made(table.name, column, "not_null")), table_name(table), ident(column)
    undo = lock_waits.alone(
        f"ALTER TABLE {t} DROP CONSTRAINT IF EXISTS {name}", f"ALTER TABLE {t} ALTER COLUMN {c} DROP NOT NULL"
    )
    return Step(
        "validate",
        f"make {table}.{column} NOT NULL: a CHECK is added unchecked, validated beside the application, and proves it",
        (
            *lock_waits.alone(f"ALTER TABLE {t} ADD CONSTRAINT {name} CHECK ({c} IS NOT NULL) NOT VALID"),
            f"ALTER TABLE {t} VALIDATE CONSTRAINT {name}",
            *lock_waits.alone(
                f"ALTER TABLE {t} ALTER COLUMN {c} SET NOT NULL",
                f"ALTER TABLE {t} DROP CONSTRAINT {name}",
            ),
        ),
        undo if down is None else tuple(down),
        transaction=False,
        tables=frozenset({str(table)}),
    )


def validated(table: Name, name: str, definition: str, what: str, parent: Name | None = None) -> Step:
    """Return the step that adds a CHECK or FOREIGN KEY unchecked and validates it in a transaction of its own."""
    t, n = table_name(table), ident(name)
    locked = list(dict.fromkeys((t, *([table_name(parent)] if parent else []))))
    return Step(
        "validate",
        f"add {what} to {table}: new rows are checked at once, existing ones beside the application",
        (
            *lock_waits.alone(f"ALTER TABLE {t} ADD CONSTRAINT {n} {definition} NOT VALID", tables=locked),
            f"ALTER TABLE {t} VALIDATE CONSTRAINT {n}",
        ),
        lock_waits.alone(f"ALTER TABLE {t} DROP CONSTRAINT IF EXISTS {n}", tables=locked),
        transaction=False,
        tables=frozenset({str(table), *([str(parent)] if parent else [])}),
    )


def instead_of_domain(table: Name, column: str, type_: Type, domain: Domain) -> str:
    """Return what has to be said where a column gets the base type of a domain."""
    return (
        f"{table}.{column} gets {domain.base} and the rules of {type_} as its own: of the domain itself it would write "
        "the table anew. What the domain demands later has to be added here too"
    )


def domain_checks(table: Name, column: str, domain: Domain) -> list[Step]:
    """Return the steps that demand of a column of the base type what a domain demands of its values."""
    c, steps = ident(column), []
    for name, condition in domain.checks.items():
        own = made(table.name, column, name)
        definition = f"CHECK ({rename_column(condition, 'value', column)})"
        steps.append(validated(table, own, definition, f"the check {name} of the domain, on {c} itself,"))
    return steps


def index(table: Name, name: str, columns: Sequence[str], *, unique: bool = False) -> Step:
    """Return the step that builds an index beside the application."""
    kind = "UNIQUE INDEX" if unique else "INDEX"
    return Step(
        "validate",
        f"build the index {name} beside the application",
        (f"CREATE {kind} CONCURRENTLY {ident(name)} ON {table_name(table)} ({names(columns)})",),
        (f"DROP INDEX CONCURRENTLY IF EXISTS {in_schema(table, name)}",),
        transaction=False,
        tables=frozenset({str(table)}),
    )


def unique(table: Name, name: str, columns: Sequence[str], *, kind: str = "UNIQUE", tail: str = "") -> Step:
    """Return the step that builds a unique index beside the application and makes it a constraint."""
    t, n = table_name(table), ident(name)
    return Step(
        "validate",
        f"add the {kind.lower()} constraint {name}: its index is built beside the application, then adopted",
        (
            f"CREATE UNIQUE INDEX CONCURRENTLY {n} ON {t} ({names(columns)})",
            *lock_waits.alone(f"ALTER TABLE {t} ADD CONSTRAINT {n} {kind} USING INDEX {n}{tail}"),
        ),
        (
            *lock_waits.alone(f"ALTER TABLE {t} DROP CONSTRAINT IF EXISTS {n}"),
            f"DROP INDEX CONCURRENTLY IF EXISTS {in_schema(table, name)}",
        ),
        transaction=False,
        tables=frozenset({str(table)}),
    )
