"""A foreign key whose column has another type than the key that it refers to."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.postgresql.foreign_key_index import foreign_keys
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.operations import Constraint, Name

_SERIAL = {"smallserial": "int2", "serial": "int4", "bigserial": "int8"}
_BYTES = {"int2": 2, "int4": 4, "int8": 8}
_KINDS = {
    **dict.fromkeys(_BYTES, "number"),
    **dict.fromkeys(("text", "varchar", "bpchar"), "text"),
    "uuid": "uuid",
}


def finish(context: Context) -> Iterator[Hazard]:
    """Report keys that cannot hold all values of their parent, or that PostgreSQL refuses."""
    for parsed, table, constraint in foreign_keys(context):
        for hazard in _judge(table, constraint, context):
            yield replace(hazard, statement=parsed)


def _judge(table: Name, constraint: Constraint, context: Context) -> Iterator[Hazard]:
    parent = constraint.references
    if parent is None:
        return
    known = context.table(parent)
    keys = constraint.reference_columns or (known.primary_key if known else ())
    for column, key in zip(constraint.columns, keys, strict=False):
        here, there = _type(table, column, context), _type(parent, key, context)
        if here is None or there is None:
            continue
        differ = f"{column} is {here}, and {key} of {parent} is {there}"
        if _KINDS[here] != _KINDS[there]:
            yield Hazard(
                f"PostgreSQL refuses it: {differ} (error 42804)",
                f"Give {column} the type {there}, in a column of its own that is filled in batches where the table "
                "has rows.",
                str(table),
                severity="error",
                effect="fails",
            )
        elif _KINDS[here] == "number" and _BYTES[here] < _BYTES[there]:
            most = 2 ** (8 * _BYTES[here] - 1) - 1
            yield Hazard(
                f"{differ}: once {parent} passes {most:,}, nothing can refer to its new rows (error 22003)",
                f"Give {text.identifier(column)} of {text.name(table)} the type {there} now, while the table is small.",
                str(table),
            )


def _type(table: Name, column: str, context: Context) -> str | None:
    """Return the name of a type that is known here, None for all others."""
    found = context.column(table, column)
    if found is None or found.type is None or found.type.array or found.type.schema not in (None, "pg_catalog"):
        return None
    name = _SERIAL.get(found.type.name, found.type.name)
    return name if name in _KINDS and name not in context.catalog.domains else None


RULE = Rule(
    id="pg-foreign-key-type-differs",
    summary="A foreign key has another type than the key that it refers to",
    why="A narrower integer works until the parent's numbers outgrow it; types that cannot be compared are refused.",
    catalogue="B1 (FK type)",
    severity="warning",
    finish=finish,
    bad=(
        Example("ALTER TABLE users ADD CONSTRAINT o FOREIGN KEY (age) REFERENCES orgs (id) NOT VALID;"),
        Example("CREATE TABLE pets (id bigint PRIMARY KEY, owner int REFERENCES users);"),
        Example("ALTER TABLE orders ADD COLUMN org int REFERENCES orgs;"),
        Example("CREATE TABLE pets (id bigint PRIMARY KEY, owner uuid REFERENCES users (id));", fails=True),
        Example("ALTER TABLE users ADD FOREIGN KEY (note) REFERENCES orgs (id) NOT VALID;", fails=True),
    ),
    good=(
        Example("CREATE TABLE pets (id bigint PRIMARY KEY, owner bigint REFERENCES users);"),
        Example(
            "CREATE TABLE pets (id serial PRIMARY KEY);"
            "CREATE TABLE toys (pet int REFERENCES pets, again bigint REFERENCES pets (id));"
        ),
        Example(
            "CREATE TABLE words (word varchar(20) PRIMARY KEY);CREATE TABLE uses (word text REFERENCES words (word));"
        ),
    ),
)
