"""Changes of the system catalogues themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule
from senior_backend.migrate.postgres_system import is_catalogue

if TYPE_CHECKING:
    from collections.abc import Iterator

_FIX = "Leave the catalogue to the statements that keep it in order: ALTER, COMMENT, GRANT, REINDEX, DROP … CASCADE."


def check(operation: ops.TableOperation | ops.SetVariable, context: Context) -> Iterator[Hazard]:
    """Report rows of a catalogue that are written, and the switch that lets statements change its tables."""
    del context
    if isinstance(operation, ops.SetVariable):
        if operation.name == "allow_system_table_mods" and operation.value in ("on", "true", "yes", "1"):
            yield Hazard("allow_system_table_mods lets statements change the system catalogues' own tables", _FIX)
    elif is_catalogue(operation.table):
        yield Hazard(
            f"writes the system catalogue {operation.table} past every check: no lock is taken on what the row is "
            "about, other sessions go on with the definition they have cached, and a wrong row can make a table, or "
            "the whole database, unreadable",
            _FIX,
            str(operation.table),
        )


RULE = Rule(
    id="pg-system-catalogue-written",
    summary="INSERT, UPDATE or DELETE of rows of a system catalogue",
    why="The server trusts its catalogue: dependencies, caches and files on disk are not changed with the row.",
    catalogue="B1 (system catalogues)",
    severity="error",
    on=(ops.Insert, ops.Update, ops.Delete, ops.Truncate, ops.SetVariable),
    check=check,
    rollback=True,
    bad=(
        Example("UPDATE pg_attribute SET attnotnull = false WHERE attrelid = 'users'::regclass AND attname = 'name';"),
        Example("DELETE FROM pg_catalog.pg_enum WHERE enumlabel = 'angry';"),
        Example("INSERT INTO pg_description VALUES ('users'::regclass, 'pg_class'::regclass, 0, 'people');"),
        Example("SET allow_system_table_mods = on;"),
        Example(
            "DO $$ BEGIN UPDATE pg_index SET indisvalid = true WHERE indexrelid = 'users_email'::regclass; END $$;"
        ),
    ),
    good=(
        Example("SELECT relname FROM pg_catalog.pg_class; SET allow_system_table_mods = off;"),
        Example("UPDATE pg_settings SET setting = '1s' WHERE name = 'lock_timeout';"),
        Example("CREATE TABLE pg_search_documents (a int); INSERT INTO pg_search_documents VALUES (1);"),
        Example("CREATE TABLE class (a int); DELETE FROM class WHERE a = 1;"),
    ),
)
