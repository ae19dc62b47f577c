"""Sequences that several transformations share: NOT NULL, validated constraints, unique constraints, backfills."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate.rewrites.model import Step
from senior_backend.migrate.rewrites.sql import ident, in_schema, made, names, rename_column, table_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

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


def not_null(table: Name, column: str, *, back: bool = True) -> tuple[Step, ...]:
    """Return the steps that make a filled column NOT NULL without a scan under a strong lock.

    SET NOT NULL reads no row where a valid CHECK says the same (PostgreSQL 12 and later). The last step validates once
    more, which takes no time unless its own way back has put the CHECK there again unchecked. Without `back` there is
    no way back, for columns that go as a whole.
    """
    name, t, c = ident(made(table.name, column, "not_null")), table_name(table), ident(column)
    locked = frozenset({str(table)})
    add = f"ALTER TABLE {t} ADD CONSTRAINT {name} CHECK ({c} IS NOT NULL) NOT VALID"
    drop = f"ALTER TABLE {t} DROP CONSTRAINT IF EXISTS {name}"
    validate = f"ALTER TABLE {t} VALIDATE CONSTRAINT {name}"
    return (
        Step(
            "validate",
            f"refuse NULL in {table}.{column} from here on; the rows that are there are not read",
            (add,), (drop,) if back else (), tables=locked, alone=True,
        ),
        Step("validate", f"check the rows of {table} beside the application", (validate,), alone=True),
        Step(
            "validate",
            f"make {table}.{column} NOT NULL: the valid CHECK proves it, so nothing is read",
            (validate, f"ALTER TABLE {t} ALTER COLUMN {c} SET NOT NULL", f"ALTER TABLE {t} DROP CONSTRAINT {name}"),
            (drop, add, f"ALTER TABLE {t} ALTER COLUMN {c} DROP NOT NULL") if back else (),
            tables=locked, alone=True,
        ),
    )  # fmt: skip


def not_null_again(table: Name, column: str) -> tuple[tuple[Step, ...], str]:
    """Return the steps behind one that drops NOT NULL, whose way back then sets it without a scan; and their CHECK.

    The way back runs from the last step to the first: refuse NULL, check the rows, and both commit before SET NOT NULL.
    The CHECK, named as a quoted identifier, is dropped with it.
    """
    name, t = ident(made(table.name, column, "not_null")), table_name(table)
    return (
        Step(
            "validate",
            f"nothing yet: the way back checks here that no row of {table} has NULL in {column}",
            ("SELECT 1",),
            (f"ALTER TABLE {t} VALIDATE CONSTRAINT {name}",),
            alone=True,
        ),
        Step(
            "validate",
            f"let {table}.{column} be NULL; the way back refuses that first, so that SET NOT NULL reads no row",
            (f"ALTER TABLE {t} DROP CONSTRAINT IF EXISTS {name}",),
            (f"ALTER TABLE {t} ADD CONSTRAINT {name} CHECK ({ident(column)} IS NOT NULL) NOT VALID",),
            tables=frozenset({str(table)}),
            alone=True,
        ),
    ), name


def validated(table: Name, name: str, definition: str, what: str, parent: Name | None = None) -> tuple[Step, ...]:
    """Return the steps that add a CHECK or FOREIGN KEY unchecked, and validate it in a transaction of its own.

    In one transaction the lock of the first statement would be held through the scan of the second.
    """
    t, n = table_name(table), ident(name)
    return (
        Step(
            "validate",
            f"add {what} to {table}: new rows are checked at once, existing ones are not read",
            (f"ALTER TABLE {t} ADD CONSTRAINT {n} {definition} NOT VALID",),
            (f"ALTER TABLE {t} DROP CONSTRAINT IF EXISTS {n}",),
            tables=frozenset({str(table), *([str(parent)] if parent else [])}),
            alone=True,
        ),
        Step(
            "validate",
            f"check the rows of {table} beside the application",
            (f"ALTER TABLE {t} VALIDATE CONSTRAINT {n}",),
            alone=True,
        ),
    )


def instead_of_domain(table: Name, column: str, type_: Type, domain: Domain) -> str:
    """Return what has to be said where a column gets the base type of a domain."""
    return (
        f"{table}.{column} gets {domain.base} and the rules of {type_} as its own: of the domain itself it would write "
        "the table anew. What the domain demands later has to be added here too"
    )


def domain_checks(table: Name, column: str, domain: Domain) -> list[Step]:
    """Return the steps that demand of a column of the base type what a domain demands of its values."""
    c = ident(column)
    steps: list[Step] = []
    for name, condition in domain.checks.items():
        own = made(table.name, column, name)
        definition = f"CHECK ({rename_column(condition, 'value', column)})"
        steps.extend(validated(table, own, definition, f"the check {name} of the domain, on {c} itself,"))
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


def unique(table: Name, name: str, columns: Sequence[str], *, kind: str = "UNIQUE", tail: str = "") -> tuple[Step, ...]:
    """Return the steps that build a unique index beside the application and make it a constraint."""
    t, n = table_name(table), ident(name)
    return (
        index(table, name, columns, unique=True),
        Step(
            "validate",
            f"make the index {name} a {kind.lower()} constraint; the way back drops both",
            (f"ALTER TABLE {t} ADD CONSTRAINT {n} {kind} USING INDEX {n}{tail}",),
            (f"ALTER TABLE {t} DROP CONSTRAINT IF EXISTS {n}",),
            tables=frozenset({str(table)}),
            alone=True,
        ),
    )


def validations(statements: Iterable[str], what: str) -> tuple[Step, ...]:
    """Return the steps that validate constraints, each in a transaction of its own."""
    return tuple(Step("validate", what, (statement,), alone=True) for statement in statements)
