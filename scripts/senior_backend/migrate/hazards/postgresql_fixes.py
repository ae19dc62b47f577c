"""Fixes that several PostgreSQL rules share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate.hazards import text

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Name


def not_null_steps(table: Name, column: str, *, server: tuple[int, ...] | None = None) -> str:
    """Return the steps that make a filled column NOT NULL without a scan under a lock."""
    relation, attribute = text.name(table), text.identifier(column)
    constraint = text.identifier(text.shortened(f"{table.name}_{column}", "_not_null"))
    if server is not None and server >= (18,):
        return (
            f"ALTER TABLE {relation} ADD CONSTRAINT {constraint} NOT NULL {attribute} NOT VALID;\n"
            f"-- in the next migration:\n"
            f"ALTER TABLE {relation} VALIDATE CONSTRAINT {constraint};"
        )
    return (
        f"ALTER TABLE {relation} ADD CONSTRAINT {constraint} CHECK ({attribute} IS NOT NULL) NOT VALID;\n"
        f"-- in the next migration:\n"
        f"ALTER TABLE {relation} VALIDATE CONSTRAINT {constraint};\n"
        f"-- in the one after it:\n"
        f"ALTER TABLE {relation} ALTER COLUMN {attribute} SET NOT NULL;\n"
        f"ALTER TABLE {relation} DROP CONSTRAINT {constraint};"
    )


def backfill(table: Name, column: str, value: str, key: str = "id") -> str:
    """Return a batched update as a comment and its statement."""
    relation, attribute = text.name(table), text.identifier(column)
    return (
        f"-- in batches, each its own transaction:\n"
        f"UPDATE {relation} SET {attribute} = {value} WHERE {attribute} IS NULL AND {key} BETWEEN … AND …;"
    )


def validate_later(table: Name, constraint: str, definition: str) -> str:
    """Return a constraint added without a scan and validated in a migration of its own."""
    relation, name = text.name(table), text.identifier(constraint)
    return (
        f"ALTER TABLE {relation} ADD CONSTRAINT {name} {definition} NOT VALID;\n"
        f"-- in the next migration:\n"
        f"ALTER TABLE {relation} VALIDATE CONSTRAINT {name};"
    )


def unique_by_index(table: Name, constraint: str, columns: tuple[str, ...], kind: str = "UNIQUE") -> str:
    """Return a unique constraint that is built on an index made concurrently."""
    relation, name = text.name(table), text.identifier(constraint)
    return (
        f"-- in a migration without a transaction:\n"
        f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {relation} ({text.columns(columns)});\n"
        f"-- in the next one:\n"
        f"ALTER TABLE {relation} ADD CONSTRAINT {name} {kind} USING INDEX {name};"
    )


def references(parent: Name | None, columns: tuple[str, ...], on_delete: str | None, on_update: str | None) -> str:
    """Return the REFERENCES clause of a foreign key."""
    target = text.name(parent) if parent else "?"
    keys = f" ({text.columns(columns)})" if columns else ""
    delete = f" ON DELETE {on_delete.upper()}" if on_delete else ""
    update = f" ON UPDATE {on_update.upper()}" if on_update else ""
    return f"REFERENCES {target}{keys}{delete}{update}"
