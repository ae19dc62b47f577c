"""Reads the tables of a SQLite file, which it opens read-only."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from senior_backend.console.errors import UnavailableError
from senior_backend.scaffold.sources.tables import Column, ForeignKey, Table

_TYPES: Final = (
    (r"BOOL", "bool"),
    (r"BIGINT|INT8|UNSIGNED BIG", "bigint"),
    (r"INT", "int"),
    (r"UUID|GUID", "uuid"),
    (r"JSON", "json"),
    (r"CLOB|TEXT", "text"),
    (r"CHAR|STRING", "str"),
    (r"DATETIME|TIMESTAMP", "datetime"),
    (r"DATE", "date"),
    (r"DECIMAL|NUMERIC", "decimal"),
    (r"REAL|FLOA|DOUB", "float"),
)
"""The first that is found in a declared type decides (SQLite: Datatypes, 3.1; with the names that tools write)."""
_ON_DELETE: Final = {"CASCADE": "cascade", "SET NULL": "set_null"}


def read_tables(path: str) -> list[Table]:
    """Return the tables of the file at `path`.

    Raises:
        UnavailableError: there is no such file, or it is not a database.
    """
    file = Path(path)
    try:
        connection = sqlite3.connect(f"file:{quote(str(file.absolute()))}?mode=ro", uri=True, timeout=5)
    except sqlite3.Error as error:
        raise _unavailable(path, error) from None
    try:
        names = connection.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
            "ORDER BY rowid"
        ).fetchall()
        return [_table(connection, name, sql or "") for name, sql in names]
    except sqlite3.Error as error:
        raise _unavailable(path, error) from None
    finally:
        connection.close()


def _unavailable(path: str, error: Exception) -> UnavailableError:
    return UnavailableError(
        f"not a SQLite database that can be read: {error}",
        code="database-unreachable",
        where=path,
        hint="Check the path: `sqlite:///relative.db`, `sqlite:////absolute/path.db`.",
    )


def _table(connection: sqlite3.Connection, name: str, sql: str) -> Table:
    columns = connection.execute("SELECT * FROM pragma_table_xinfo(?)", (name,)).fetchall()
    keys: dict[int, list[Any]] = {}
    for row in connection.execute("SELECT * FROM pragma_foreign_key_list(?)", (name,)):
        keys.setdefault(row[0], []).append(row)
    uniques: list[tuple[str, ...]] = []
    indexes: list[tuple[str, ...]] = []
    for _, index, unique, origin, partial in connection.execute("SELECT * FROM pragma_index_list(?)", (name,)):
        parts = tuple(row[2] for row in connection.execute("SELECT * FROM pragma_index_info(?)", (index,)))
        if origin != "pk" and not partial and all(parts):
            (uniques if unique else indexes).append(parts)
    return Table(
        name=name,
        columns=tuple(_column(row) for row in columns if row[6] == 0),
        key=tuple(row[1] for row in sorted(columns, key=lambda row: row[5]) if row[5]),
        foreign_keys=tuple(
            ForeignKey(
                tuple(row[3] for row in sorted(rows, key=lambda row: row[1])),
                rows[0][2],
                tuple(row[4] or "id" for row in sorted(rows, key=lambda row: row[1])),
                _ON_DELETE.get(rows[0][6], "restrict"),
            )
            for _, rows in sorted(keys.items(), reverse=True)
        ),
        uniques=tuple(uniques),
        indexes=tuple(indexes),
        checks=tuple(_checks(sql)),
    )


def _column(row: Any) -> Column:
    _, name, declared, not_null, default, key, _ = row
    upper = (declared or "").upper()
    numbers = [int(number) for number in re.findall(r"\d+", upper)]
    kind = next((kind for pattern, kind in _TYPES if re.search(pattern, upper)), None)
    lossy = None
    if kind == "str" and not numbers:
        kind = "text"
    if not upper:
        lossy, kind = "it has no declared type; it becomes text", "text"
    literal, computed = _default(default)
    return Column(
        name=name,
        type=kind,
        native=declared or "no type",
        nullable=not not_null and not key,
        length=numbers[0] if kind == "str" else None,
        precision=(numbers[0] if numbers else 18) if kind == "decimal" else None,
        scale=(numbers[1] if len(numbers) > 1 else 0 if numbers else 4) if kind == "decimal" else None,
        default=_as_bool(literal) if kind == "bool" else literal,
        computed=computed,
        lossy=lossy,
    )


def _as_bool(literal: str | None) -> str | None:
    return {"0": "false", "1": "true"}.get(literal or "", literal.lower() if literal else literal)


def _default(text: str | None) -> tuple[str | None, str | None]:
    if text is None or text.upper() == "NULL":
        return None, None
    if quoted := re.fullmatch(r"'((?:[^']|'')*)'", text):
        return quoted[1].replace("''", "'"), None
    if re.fullmatch(r"[-+]?[0-9.]+|(?i:true|false)", text):
        return text, None
    return None, text


def _checks(sql: str) -> list[str]:
    """Return the texts inside CHECK(…) of a CREATE TABLE statement."""
    found = []
    for match in re.finditer(r"\bCHECK\s*\(", sql, re.IGNORECASE):
        depth, at, quoted = 1, match.end(), False
        while at < len(sql) and depth:
            if sql[at] == "'":
                quoted = not quoted
            elif not quoted:
                depth += {"(": 1, ")": -1}.get(sql[at], 0)
            at += 1
        found.append(sql[match.end() : at - 1].strip())
    return found
