"""What SQLite's ALTER TABLE cannot do: a table made anew, in the one order that loses nothing.

The order is that of https://www.sqlite.org/lang_altertable.html#otheralter: foreign keys off (the runner's sessions
have them off), one transaction, new table, copy by column names, drop, rename, then everything that hung on the old
table. Renaming the old table first would carry its foreign keys along, and with foreign keys on the drop would delete
the rows of every child that cascades. Views and triggers that mention the table go first, because RENAME reads the
whole schema and fails on those whose table is gone; each view is read once at the end, so that one that no longer
works ends the transaction. The runner copies the file before it runs a rebuild, and compares the references that are
broken before and after.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING

from senior_backend.console.errors import InputError
from senior_backend.migrate.tokens import Token, tokens

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from senior_backend.migrate.databases.base import Database

_CONSTRAINTS = {"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"}


@dataclass(frozen=True, slots=True)
class SchemaObject:
    """A row of `sqlite_master`: a table, index, trigger or view with the SQL that made it (None for automatic ones)."""

    kind: str
    name: str
    table: str
    sql: str | None


@dataclass(frozen=True, slots=True)
class Drop:
    """A column goes, with the table constraints and indexes that name it."""

    column: str


@dataclass(frozen=True, slots=True)
class Define:
    """A column gets a new definition (type and constraints as SQL, without its name).

    `fill` is the SQL expression that its old value is replaced by; without it the value stays.
    """

    column: str
    definition: str
    fill: str | None = None


Change = Drop | Define


@dataclass(frozen=True, slots=True)
class _Part:
    """A column or a table constraint of CREATE TABLE; `column` is None for a constraint."""

    start: int
    end: int
    text: str
    tokens: tuple[Token, ...]
    column: str | None


def read_objects(database: Database) -> tuple[SchemaObject, ...]:
    """Return the schema in the order in which it was made."""
    rows = database.query("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY rowid")
    return tuple(SchemaObject(str(kind), str(name), str(table), sql) for kind, name, table, sql in rows)


def needed(objects: Sequence[SchemaObject], table: str, column: str) -> bool:
    """Return whether ALTER TABLE … DROP COLUMN would refuse: the column is a key, unique, indexed or mentioned."""
    made = _find(objects, table)
    for part in _parts(made.sql or ""):
        if part.column == column.lower():
            words = {token.value for token in part.tokens if token.kind == "word"}
            if words & {"PRIMARY", "UNIQUE", "REFERENCES"}:
                return True
        elif _mentions(part.tokens, column):
            return True
    return any(
        one.sql is not None
        and one.kind in ("index", "trigger", "view")
        and _mentions(tokens(one.sql, "sqlite"), column)
        for one in objects
        if one.table.lower() == table.lower() or one.kind == "view"
    )


def rebuild(objects: Sequence[SchemaObject], table: str, changes: Sequence[Change]) -> tuple[str, ...]:
    """Return the statements that make `table` anew with `changes`.

    Raises:
        InputError: there is no such table or column, the table is virtual, or its primary key would go.
    """
    sql, copied = _edited(_find(objects, table).sql or "", changes, table)
    return replaced(objects, table, sql, copied, [change.column for change in changes if isinstance(change, Drop)])


def replaced(
    objects: Sequence[SchemaObject], table: str, sql: str, copied: Sequence[tuple[str, str]], gone: Sequence[str]
) -> tuple[str, ...]:
    """Return the statements that give `table` the definition `sql` and keep its rows and all that hangs on it.

    `copied` are the columns that get rows, with the expression over the old table that each is filled from. Indexes
    that mention a column of `gone` go with it.
    """
    scratch = f"_rebuild_{table}"
    new = _renamed(sql, scratch)
    old_name, new_name = _quoted(table), _quoted(scratch)
    columns = ", ".join(_quoted(name) for name, _ in copied)
    values = ", ".join(expression for _, expression in copied)
    views = _views_on(objects, table)
    triggers = [one for one in objects if one.kind == "trigger" and one.sql and _concerns(one, table, views)]
    indexes = [
        one
        for one in objects
        if one.kind == "index" and one.sql and one.table.lower() == table.lower()
        if not any(_mentions(tokens(one.sql, "sqlite"), column) for column in gone)
    ]
    statements = [f"DROP TRIGGER {_quoted(one.name)}" for one in triggers]
    statements += [f"DROP VIEW {_quoted(one.name)}" for one in reversed(views)]
    statements += [new, f"INSERT INTO {new_name} ({columns})\nSELECT {values}\nFROM {old_name}"]
    if any(token.value == "AUTOINCREMENT" for token in tokens(sql, "sqlite")):
        # The highest key ever given outlives its row; an empty table has no entry to take it over.
        statements += [
            f"DELETE FROM sqlite_sequence WHERE name = {_text(scratch)}",  # noqa: S608 - quoted names
            (
                f"INSERT INTO sqlite_sequence (name, seq)\nSELECT {_text(scratch)}, seq FROM sqlite_sequence "
                f"WHERE name = {_text(table)}"
            ),
        ]
    statements += [f"DROP TABLE {old_name}", f"ALTER TABLE {new_name} RENAME TO {old_name}"]
    statements += [one.sql for one in (*indexes, *views, *triggers) if one.sql]
    statements += [f"SELECT * FROM {_quoted(one.name)} LIMIT 0" for one in views]  # noqa: S608
    return tuple(statements)


def after(objects: Sequence[SchemaObject], table: str, changes: Sequence[Change]) -> tuple[SchemaObject, ...]:
    """Return the schema as it is after a rebuild, so that the way back can be written."""
    gone = {change.column.lower() for change in changes if isinstance(change, Drop)}
    made = _find(objects, table)
    sql, _ = _edited(made.sql or "", changes, table)
    found = []
    for one in objects:
        if one is made:
            found.append(replace(one, sql=sql))
        elif one.kind == "index" and one.sql and one.table.lower() == table.lower():
            if not any(_mentions(tokens(one.sql, "sqlite"), column) for column in gone):
                found.append(one)
        else:
            found.append(one)
    return tuple(found)


def restore(objects: Sequence[SchemaObject], table: str, changes: Sequence[Change]) -> tuple[str, ...] | None:
    """Return the statements that undo dropped columns, empty; None where a column cannot be empty."""
    made = _find(objects, table)
    gone = [change.column.lower() for change in changes if isinstance(change, Drop)]
    for part in _parts(made.sql or ""):
        if part.column in gone:
            words = [token.value for token in part.tokens]
            if "PRIMARY" in words or (("NOT", "NULL") in pairwise(words) and "DEFAULT" not in words):
                return None
    now = after(objects, table, changes)
    kept = [name for name, _ in _edited(_find(now, table).sql or "", [], table)[1]]
    back = replaced(now, table, made.sql or "", [(name, _quoted(name)) for name in kept], ())
    names = {one.name for one in now}
    return (*back, *(one.sql for one in objects if one.kind == "index" and one.sql and one.name not in names))


def _find(objects: Sequence[SchemaObject], table: str) -> SchemaObject:
    for one in objects:
        if one.kind == "table" and one.name.lower() == table.lower():
            if one.sql is None or one.sql.upper().startswith("CREATE VIRTUAL"):
                raise _wrong(f"{table} is a virtual table, which cannot be made anew")
            return one
    raise _wrong(f"there is no table {table}")


def _edited(sql: str, changes: Sequence[Change], table: str) -> tuple[str, list[tuple[str, str]]]:
    """Return CREATE TABLE with the changes, and the columns to copy with the expression that each is copied from."""
    parts = _parts(sql)
    by_column: Mapping[str, Change] = {change.column.lower(): change for change in changes}
    known = {part.column for part in parts}
    for column in by_column:
        if column not in known:
            raise _wrong(f"table {table} has no column {column}")
    gone = {column for column, change in by_column.items() if isinstance(change, Drop)}
    kept: list[str] = []
    copied: list[tuple[str, str]] = []
    for part in parts:
        if part.column is None:
            if any(_mentions(part.tokens, column) for column in gone):
                if "PRIMARY" in [token.value for token in part.tokens]:
                    raise _wrong(f"the primary key of {table} would lose a column")
                continue
            kept.append(part.text)
            continue
        change = by_column.get(part.column)
        name = part.tokens[0]
        if isinstance(change, Drop):
            if "PRIMARY" in [token.value for token in part.tokens]:
                raise _wrong(f"{part.column} is the primary key of {table}")
            continue
        generated = {"GENERATED", "AS"} & {token.value for token in part.tokens if token.kind == "word"}
        kept.append(f"{name.raw} {change.definition}" if isinstance(change, Define) else part.text)
        if not generated or isinstance(change, Define):
            fill = change.fill if isinstance(change, Define) else None
            copied.append((name.name if name.kind == "quoted" else name.raw, fill or _quoted(name.name)))
    if not copied:
        raise _wrong(f"{table} would have no column left")
    first, last = parts[0].start, parts[-1].end
    return sql[:first] + ",\n    ".join(kept) + sql[last:], copied


def _parts(sql: str) -> list[_Part]:
    """Return the columns and constraints of a CREATE TABLE, with their offsets."""
    found = tokens(sql, "sqlite")
    opening = next((index for index, token in enumerate(found) if token.value == "(" and token.kind == "sign"), None)
    if opening is None:
        raise _wrong("the table was made by CREATE TABLE … AS, or its definition cannot be read")
    parts: list[_Part] = []
    depth, first = 0, opening + 1
    for index in range(opening, len(found)):
        token = found[index]
        depth += {"(": 1, ")": -1}.get(token.value, 0) if token.kind == "sign" else 0
        if (depth == 1 and token.value == "," and token.kind == "sign") or depth == 0:
            inside = tuple(found[first:index])
            if inside:
                parts.append(_part(sql, inside))
            first = index + 1
            if depth == 0:
                break
    return parts


def _part(sql: str, inside: tuple[Token, ...]) -> _Part:
    start, end = inside[0].start, inside[-1].start + len(inside[-1].raw)
    constraint = inside[0].kind == "word" and inside[0].value in _CONSTRAINTS
    return _Part(start, end, sql[start:end], inside, None if constraint else inside[0].name.lower())


def _renamed(sql: str, name: str) -> str:
    """Return CREATE TABLE with another name."""
    found = tokens(sql, "sqlite")
    position = next(index for index, token in enumerate(found) if token.value == "TABLE") + 1
    while found[position].value in ("IF", "NOT", "EXISTS"):
        position += 1
    if found[position + 1].value == ".":
        position += 2
    token = found[position]
    return f"CREATE TABLE {_quoted(name)}{sql[token.start + len(token.raw) :]}"


def _views_on(objects: Sequence[SchemaObject], table: str) -> list[SchemaObject]:
    """Return the views that read the table, or a view that does, in the order in which they were made."""
    names = {table.lower()}
    found: list[SchemaObject] = []
    for one in objects:
        if one.kind == "view" and one.sql and any(_mentions(tokens(one.sql, "sqlite"), name) for name in names):
            found.append(one)
            names.add(one.name.lower())
    return found


def _concerns(trigger: SchemaObject, table: str, views: Sequence[SchemaObject]) -> bool:
    names = {table.lower(), *(view.name.lower() for view in views)}
    found = tokens(trigger.sql or "", "sqlite")
    return trigger.table.lower() in names or any(_mentions(found, name) for name in names)


def _mentions(found: Sequence[Token], name: str) -> bool:
    return any(token.kind in ("word", "quoted") and token.name.lower() == name.lower() for token in found)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _wrong(message: str) -> InputError:
    return InputError(
        message, code="cannot-rebuild", hint="Look at the table with `SELECT sql FROM sqlite_master`, and name another."
    )
