"""Reads the tables of a MySQL or MariaDB database."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from senior_backend.console.errors import UnavailableError
from senior_backend.scaffold.sources.tables import Column, ForeignKey, Table

TIMEOUT: Final = 5

_TYPES: Final = {
    "varchar": "str",
    "char": "str",
    "tinytext": "text",
    "text": "text",
    "mediumtext": "text",
    "longtext": "text",
    "tinyint": "int",
    "smallint": "int",
    "mediumint": "int",
    "int": "int",
    "bigint": "bigint",
    "float": "float",
    "double": "float",
    "decimal": "decimal",
    "date": "date",
    "datetime": "datetime",
    "timestamp": "datetime",
    "uuid": "uuid",
    "json": "json",
    "enum": "enum",
    "year": "int",
}
_LOSSY: Final = {
    "datetime": "it has no time zone; values are read as UTC",
    "json": "a json field is a flat, bounded object",
    "year": "year becomes int",
}
_ON_DELETE: Final = {"CASCADE": "cascade", "SET NULL": "set_null"}

_COLUMNS: Final = """
SELECT c.table_name, c.column_name, c.data_type, c.column_type, c.is_nullable, c.column_default,
       c.character_maximum_length, c.numeric_precision, c.numeric_scale, c.extra
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE c.table_schema = DATABASE() AND t.table_type = 'BASE TABLE'
ORDER BY t.create_time, c.table_name, c.ordinal_position
"""
_KEYS: Final = """
SELECT k.table_name, k.constraint_name, k.column_name, k.referenced_table_name, k.referenced_column_name, r.delete_rule
FROM information_schema.key_column_usage k
JOIN information_schema.referential_constraints r
  ON r.constraint_schema = k.constraint_schema AND r.constraint_name = k.constraint_name AND r.table_name = k.table_name
WHERE k.table_schema = DATABASE() ORDER BY k.table_name, k.constraint_name, k.ordinal_position
"""
_INDEXES: Final = """
SELECT table_name, index_name, non_unique, column_name, sub_part FROM information_schema.statistics
WHERE table_schema = DATABASE() ORDER BY table_name, index_name, seq_in_index
"""
_CHECKS: Final = """
SELECT t.table_name, c.check_clause FROM information_schema.check_constraints c
JOIN information_schema.table_constraints t
  ON t.constraint_schema = c.constraint_schema AND t.constraint_name = c.constraint_name AND t.constraint_type = 'CHECK'
WHERE c.constraint_schema = DATABASE()
"""


def read_tables(url: str, shown: str) -> list[Table]:
    """Return the tables of the database at `url`; `shown` is the URL without its password.

    Raises:
        UnavailableError: the server cannot be reached or refuses.
    """
    import pymysql

    parts = urlsplit(url)
    try:
        connection = pymysql.connect(
            host=parts.hostname or "127.0.0.1",
            port=parts.port or 3306,
            user=unquote(parts.username or "root"),
            password=unquote(parts.password or ""),
            database=unquote(parts.path.lstrip("/")),
            connect_timeout=TIMEOUT,
            read_timeout=2 * TIMEOUT,
            charset="utf8mb4",
        )
        with connection, connection.cursor() as cursor:
            rows = []
            for query in (_COLUMNS, _KEYS, _INDEXES, _CHECKS):
                cursor.execute(query)
                rows.append(list(cursor.fetchall()))
    except (pymysql.MySQLError, OSError, RuntimeError) as error:
        text = str(error.args[-1] if error.args else error)
        raise UnavailableError(
            f"the database cannot be read: {text}",
            code="database-unreachable",
            where=shown,
            hint="Check address, user and password: mysql://USER:PASSWORD@HOST:3306/DATABASE.",
        ) from None
    columns, keys, indexes, checks = rows
    names = list(dict.fromkeys(row[0] for row in columns))
    return [
        _table(name, *([row for row in part if row[0] == name] for part in (columns, keys, indexes, checks)))
        for name in names
    ]


def _table(name: str, columns: list[Any], keys: list[Any], indexes: list[Any], checks: list[Any]) -> Table:
    by_key: dict[str, list[Any]] = {}
    for row in keys:
        by_key.setdefault(row[1], []).append(row)
    by_index: dict[str, list[Any]] = {}
    for row in indexes:
        by_index.setdefault(row[1], []).append(row)
    whole = {index: rows for index, rows in by_index.items() if all(row[3] and row[4] is None for row in rows)}
    foreign = {tuple(row[2] for row in rows) for rows in by_key.values()}
    plain = [(not rows[0][2], tuple(row[3] for row in rows)) for index, rows in whole.items() if index != "PRIMARY"]
    key = tuple(row[3] for row in by_index.get("PRIMARY", ()))
    json_columns = {row[1] for row in columns if _is_json(row, checks)}
    return Table(
        name=name,
        columns=tuple(_column(row, row[1] in json_columns) for row in columns),
        key=key,
        foreign_keys=tuple(
            ForeignKey(
                tuple(row[2] for row in rows),
                rows[0][3],
                tuple(row[4] for row in rows),
                _ON_DELETE.get(rows[0][5], "restrict"),
            )
            for rows in by_key.values()
        ),
        uniques=tuple(names for unique, names in plain if unique),
        indexes=tuple(names for unique, names in plain if not unique and names not in foreign),
        checks=tuple(
            text
            for text in (re.sub(r"_utf8mb\d(?=\\?')|`", "", row[1]).replace("\\'", "'") for row in checks)
            if not text.lower().startswith("json_valid")
        ),
    )


def _is_json(row: Any, checks: list[Any]) -> bool:
    """Whether a MariaDB column is JSON: there it is longtext with a check."""
    return any(text.replace("`", "").lower() == f"json_valid({row[1]})".lower() for _, text in checks)


def _column(row: Any, is_json: bool) -> Column:
    _, name, data_type, column_type, nullable, default, length, precision, scale, extra = row
    kind = "json" if is_json else _TYPES.get(data_type)
    lossy = _LOSSY["json"] if is_json else _LOSSY.get(data_type)
    if column_type.startswith("tinyint(1)") or column_type == "bit(1)":
        kind, lossy = "bool", None
    unsigned = "unsigned" in column_type
    if unsigned and kind == "int" and data_type == "int":
        kind = "bigint"
    literal, computed = _default(default, kind)
    return Column(
        name=name,
        type=kind,
        native=column_type,
        nullable=nullable == "YES",
        length=length if kind == "str" else None,
        precision=precision if kind == "decimal" else None,
        scale=scale if kind == "decimal" else None,
        values=tuple(value.replace("''", "'") for value in re.findall(r"'((?:[^']|'')*)'", column_type))
        if kind == "enum"
        else (),
        minimum=0 if unsigned and kind in ("int", "bigint", "decimal") else None,
        default=literal,
        computed=None if "auto_increment" in extra or "GENERATED" in extra.upper() else computed,
        lossy=lossy,
    )


def _default(text: Any, kind: str | None) -> tuple[str | None, str | None]:
    if text is None or str(text).upper() == "NULL":
        return None, None
    value = str(text)
    if quoted := re.fullmatch(r"'((?:[^']|'')*)'", value):
        value = quoted[1].replace("''", "'")
    elif re.search(r"\(|CURRENT_TIMESTAMP", value, re.IGNORECASE):
        return None, value
    if kind == "bool":
        value = {"0": "false", "1": "true", "b'0'": "false", "b'1'": "true"}.get(value, value)
    return value, None
