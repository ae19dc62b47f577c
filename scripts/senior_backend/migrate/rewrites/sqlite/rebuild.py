"""What ALTER TABLE of SQLite refuses: a new table, the rows, the old name, and all that hung on the old one.

The order is the one of "Making Other Kinds Of Table Schema Changes" in SQLite's manual on ALTER TABLE: the new table is
made first and renamed last. Renaming the old one first would take foreign keys and views along.
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import replace
from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate import sqlite_rebuild
from senior_backend.migrate.rewrites.model import Context, Rewrite, Step, Unknown
from senior_backend.migrate.rewrites.sqlite import definition

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Name, Operation

OPERATIONS = (
    ops.AddColumn, ops.DropColumn, ops.AlterColumnType, ops.SetNotNull, ops.DropNotNull, ops.SetDefault,
    ops.DropDefault, ops.AddConstraint, ops.DropConstraint, ops.ModifyColumn, ops.AlterTable,
)  # fmt: skip
_ALTER_COLUMN = re.compile(
    r"\bALTER\s+(?:COLUMN\s+)?(?P<column>\"[^\"]+\"|\w+)\s+(?:(?P<null>SET|DROP)\s+NOT\s+NULL|(?:SET\s+DATA\s+)?TYPE\s+"
    r"(?P<type>[\w ]+(?:\([\d, ]+\))?))\s*$",
    re.IGNORECASE,
)
_MODIFY = re.compile(r"\bMODIFY\s+(?:COLUMN\s+)?(?P<definition>.*)$", re.IGNORECASE | re.DOTALL)
_ADDED = re.compile(r"\bADD\s+(?:COLUMN\s+)?(?P<definition>.*)$", re.IGNORECASE | re.DOTALL)


def rewrite(operation: Operation, context: Context) -> Rewrite | Unknown | None:
    """Return a rebuild of the table where SQLite itself refuses the statement."""
    assert isinstance(operation, ops.TableOperation)
    database = context.memory.sqlite
    operation = _foreign(operation, context.text)
    if database is None:
        return None
    if not _needs_rows(operation) and _accepted(database, context.text):
        return _drop_later(operation, context, database) if isinstance(operation, ops.DropColumn) else None
    if isinstance(operation, ops.AddColumn) and operation.column.not_null and operation.column.default is None:
        return Unknown(
            f"{operation.table}.{operation.column.name} is NOT NULL without a default, and existing rows need a value",
            "Say the DEFAULT, or add it without NOT NULL and fill it first.",
        )
    found = database.execute(
        "SELECT name, sql FROM sqlite_master WHERE type = 'table' AND lower(name) = ?", (operation.table.name.lower(),)
    ).fetchone()
    if found is None:
        return Unknown(
            f"the table {operation.table} is not known",
            "Name the database with --database-url, the schema with --schema, or keep the file beside those before it.",
        )
    name, old = found
    new = _edited(old, operation, context.text)
    if new is None:
        return Unknown(
            f"{context.text.split()[-1]} is not found in the definition of {operation.table}",
            "Rebuild the table by hand.",
        )
    steps = _steps(database, operation.table, name, old, new)
    if isinstance(operation, ops.DropColumn):
        steps = replace(steps, stage="contract", after_deploy=True)
    try:
        _apply(database, steps.up)
    except sqlite3.Error as error:
        return Unknown(f"the rebuilt table would not stand: {error}", "Drop what depends on the column first.")
    return Rewrite((steps,), undone_by=_undone(operation))


def _drop_later(operation: ops.DropColumn, context: Context, database: sqlite3.Connection) -> Rewrite:
    """SQLite can drop the column itself; running code that names it cannot know."""
    follow(database, context.text)
    step = Step(
        "contract",
        f"drop {operation.table}.{operation.column}, once no running version of the application names it",
        (context.text,),
        after_deploy=True,
        irreversible=f"the values of {operation.table}.{operation.column} are gone",
    )
    return Rewrite((step,), undone_by=_undone(operation))


def _foreign(operation: ops.TableOperation, text: str) -> ops.TableOperation:
    """Return what ALTER COLUMN of other engines means; SQLite's reader does not know it."""
    match = _ALTER_COLUMN.search(text)
    if not isinstance(operation, ops.AlterTable) or match is None:
        return operation
    column = definition.bare(match["column"])
    if match["null"]:
        kind = ops.SetNotNull if match["null"].upper() == "SET" else ops.DropNotNull
        return kind(operation.table, column)
    return ops.AlterColumnType(operation.table, column, ops.Type(match["type"].strip()))


def _needs_rows(operation: Operation) -> bool:
    """Whether SQLite takes the statement on an empty table only."""
    if not isinstance(operation, ops.AddColumn):
        return False
    column = operation.column
    if column.default is None:
        return column.not_null
    moving = column.default.sql.strip("() ").upper() in ("CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME")
    return moving or bool(column.default.functions) or any(one.kind == "foreign-key" for one in column.constraints)


def _accepted(database: sqlite3.Connection, text: str) -> bool:
    """Whether SQLite accepts a statement; one that it accepts is done by the caller afterwards."""
    database.execute("SAVEPOINT trial")
    try:
        database.execute(text)
    except sqlite3.Error:
        return False
    finally:
        database.execute("ROLLBACK TO trial")
        database.execute("RELEASE trial")
    return True


def _edited(sql: str, operation: Operation, text: str) -> str | None:
    """Return the CREATE TABLE after the operation, None where it does not hold what the operation names."""
    span = definition.body(sql)
    if span is None or isinstance(operation, ops.AlterTable):
        return None
    items = definition.items(sql[slice(*span)])
    wanted = getattr(operation, "column", None)
    if isinstance(operation, (ops.AddColumn, ops.AddConstraint)):
        match = _ADDED.search(text)
        if match is None:
            return None
        place = len(items)
        if isinstance(operation, ops.AddColumn):
            place = next((i for i, item in enumerate(items) if definition.is_constraint(item)), place)
        items.insert(place, match["definition"].strip())
    elif isinstance(operation, ops.DropConstraint):
        kept = [one for one in items if not _is_named(one, operation.name or "")]
        if len(kept) == len(items):
            return None
        items = kept
    else:
        number = next(
            (
                i
                for i, item in enumerate(items)
                if not definition.is_constraint(item) and definition.column_name(item) == str(wanted).lower()
            ),
            None,
        )
        if number is None:
            return None
        modified = _MODIFY.search(text)
        changed = modified["definition"].strip() if modified else _changed(items[number], operation)
        items[number : number + 1] = [] if changed is None else [changed]
    return sql[: span[0]] + definition.joined(items) + sql[span[1] :]


def _changed(item: str, operation: Operation) -> str | None:
    if isinstance(operation, ops.AlterColumnType):
        return definition.with_type(item, str(operation.type))
    if isinstance(operation, (ops.SetNotNull, ops.DropNotNull)):
        return definition.with_not_null(item, on=isinstance(operation, ops.SetNotNull))
    if isinstance(operation, ops.SetDefault):
        return definition.with_default(item, operation.default.sql)
    if isinstance(operation, ops.DropDefault):
        return definition.with_default(item, None)
    return None


def _is_named(item: str, name: str) -> bool:
    parts = definition.words(item)
    return len(parts) > 1 and parts[0][0].upper() == "CONSTRAINT" and definition.bare(parts[1][0]) == name.lower()


def _steps(database: sqlite3.Connection, table: Name, name: str, old: str, new: str) -> Step:
    columns = database.execute(f"PRAGMA table_xinfo({_quote(name)})").fetchall()
    span = definition.body(new)
    assert span is not None
    defined = {
        definition.column_name(item): re.search(r"\bAS\s*\(", item, re.IGNORECASE) is not None
        for item in definition.items(new[slice(*span)])
        if not definition.is_constraint(item)
    }
    before = [row[1] for row in columns if row[6] == 0]
    shared = [(column, _quote(column)) for column in before if defined.get(column.lower()) is False]
    known = {row[1].lower() for row in columns}
    objects = tuple(
        sqlite_rebuild.SchemaObject(*row)
        for row in database.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid")
    )
    up = sqlite_rebuild.replaced(objects, name, new, shared, sorted(known - set(defined)))
    # The way back starts from the new table; what hangs on it is the same.
    down = sqlite_rebuild.replaced(objects, name, old, shared, sorted(set(defined) - known))
    lossless = len(shared) == len(before)
    return Step(
        "switch",
        f"rebuild {table}: new table, rows, old name; indexes, triggers, views and the counter come back as they were. "
        "Where another runner switches foreign keys on, run PRAGMA foreign_keys = OFF before its transaction",
        up,
        down if lossless else (),
        irreversible=None if lossless else "the values of the dropped column are gone",
        tables=frozenset({str(table)}),
    )


def _apply(database: sqlite3.Connection, statements: tuple[str, ...]) -> None:
    """Try the rebuild on the copy of the schema; the caller's copy changes with the operation itself."""
    database.execute("SAVEPOINT rebuild")
    try:
        for statement in statements:
            database.execute(statement)
    except sqlite3.Error:
        database.execute("ROLLBACK TO rebuild")
        raise
    finally:
        database.execute("RELEASE rebuild")


def _undone(operation: Operation) -> tuple[str, ...]:
    from senior_backend.migrate.rewrites.plan import subject

    return tuple(subject(operation))


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def schema_of(texts: list[str]) -> sqlite3.Connection:
    """Return a database in memory with the schema that scripts of SQL leave behind; what fails is left out."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    for text in texts:
        follow(database, text)
    return database


def follow(database: sqlite3.Connection, statement: str) -> None:
    """Run one statement on the copy of the schema, where it can run."""
    try:
        database.execute(statement)
    except (sqlite3.Error, sqlite3.Warning):
        if database.in_transaction:
            database.execute("ROLLBACK")
