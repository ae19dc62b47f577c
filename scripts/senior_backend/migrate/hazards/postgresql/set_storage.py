"""SET UNLOGGED, LOGGED, TABLESPACE, ACCESS METHOD, of a table, an index or all of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate import postgres_locks
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.operations import Name

_ACTIONS = {
    "set-unlogged": "SET UNLOGGED",
    "set-logged": "SET LOGGED",
    "set-tablespace": "SET TABLESPACE",
    "set-access-method": "SET ACCESS METHOD",
}
_REINDEX = "REINDEX (TABLESPACE {}, CONCURRENTLY) INDEX {};"


def check(operation: ops.AlterTable | ops.AlterObject, context: Context) -> Iterator[Hazard]:
    """Report a table, a materialized view or an index that moves."""
    if isinstance(operation, ops.AlterTable):
        yield from _relation(operation.table, operation.action, context)
    elif operation.name is None:
        return
    elif operation.action == "move-all":
        yield Hazard(
            f"every {operation.kind.replace('-', ' ')} of this database in the tablespace {operation.name} is locked "
            "and written anew, all of them in one transaction: nobody can read any of them until the last one is done",
            f"One at a time: {_REINDEX.format('…', '…')}\npg_repack moves tables online.",
        )
    elif operation.kind == "materialized-view":
        yield from _relation(operation.name, operation.action, context)
    elif (operation.kind, operation.action) == ("index", "set-tablespace"):
        yield from _index(operation, operation.name, context)


def _relation(table: Name, action: str, context: Context) -> Iterator[Hazard]:
    words = _ACTIONS.get(action)
    if words is None or context.is_new(table):
        return
    found = context.table(table)
    if found is not None and found.kind == "partitioned":
        return  # it has no rows of its own: only what later partitions get
    yield Hazard(
        f"{words} writes the whole table{context.rows(table)} anew while nobody can read it",
        "Create a new table that has the wanted storage, copy the rows into it in batches while a trigger keeps it up "
        "to date, and swap the names (pg_repack moves a table to another tablespace online).",
        str(table),
    )


def _index(operation: ops.AlterObject, index: Name, context: Context) -> Iterator[Hazard]:
    table = postgres_locks.moved_index(operation, context.catalog)
    if table is not None and (table.kind == "partitioned" or context.is_new(table.name)):
        return
    users = f"query of {table.name}" if table is not None else "query of its table"
    yield Hazard(
        f"SET TABLESPACE writes the index {index} anew under ACCESS EXCLUSIVE: no {users} can be planned "
        "meanwhile, not even one that does not need the index",
        f"Outside a transaction, PostgreSQL 14 and newer: {_REINDEX.format('…', text.name(index))}",
        str(table.name) if table is not None else None,
    )


RULE = Rule(
    id="pg-set-storage-rewrites",
    summary="SET UNLOGGED, LOGGED, TABLESPACE or ACCESS METHOD writes a table or index anew under ACCESS EXCLUSIVE",
    why="The files of the table and its indexes are copied; a query needs all indexes of its tables to be planned.",
    catalogue="B1.39",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="rewrite",
    on=(ops.AlterTable, ops.AlterObject),
    check=check,
    bad=(
        Example("ALTER TABLE logs SET UNLOGGED;"),
        Example("ALTER TABLE logs SET TABLESPACE fast;", runs=False),
        Example("ALTER TABLE logs SET ACCESS METHOD columnar;", runs=False),
        Example("ALTER INDEX users_email SET TABLESPACE fast;", runs=False),
        Example("ALTER INDEX unheard_of SET TABLESPACE fast;", runs=False),
        Example("ALTER MATERIALIZED VIEW user_names SET TABLESPACE fast;", runs=False),
        Example("ALTER INDEX ALL IN TABLESPACE pg_default SET TABLESPACE fast;", runs=False),
        Example("ALTER TABLE ALL IN TABLESPACE pg_default OWNED BY app SET TABLESPACE fast NOWAIT;", runs=False),
        Example("ALTER MATERIALIZED VIEW ALL IN TABLESPACE pg_default SET TABLESPACE fast;", runs=False),
    ),
    good=(
        Example("ALTER TABLE logs SET (fillfactor = 70);"),
        Example("CREATE TABLE tags (a int); ALTER TABLE tags SET UNLOGGED;"),
        Example("ALTER TABLE events SET TABLESPACE fast;", runs=False),
        Example(
            "ALTER INDEX events_at SET TABLESPACE fast;", setup="CREATE INDEX events_at ON events (at);", runs=False
        ),
        Example("ALTER INDEX users_email SET (fillfactor = 70);"),
        Example(
            "CREATE TABLE tags (a int); CREATE INDEX tags_a ON tags (a); ALTER INDEX tags_a SET TABLESPACE fast;",
            runs=False,
        ),
    ),
)
