"""Reads the tables of a PostgreSQL database, in a read-only transaction."""

from __future__ import annotations

import re
from typing import Any, Final

from senior_backend.console.errors import UnavailableError
from senior_backend.scaffold.sources.tables import Column, ForeignKey, Table

TIMEOUT: Final = 5
"""Seconds to connect; a catalog query may take twice that."""

_TYPES: Final = {
    "varchar": "str",
    "bpchar": "str",
    "text": "text",
    "citext": "text",
    "int2": "int",
    "int4": "int",
    "int8": "bigint",
    "float4": "float",
    "float8": "float",
    "numeric": "decimal",
    "bool": "bool",
    "date": "date",
    "timestamp": "datetime",
    "timestamptz": "datetime",
    "uuid": "uuid",
    "json": "json",
    "jsonb": "json",
}
_LOSSY: Final = {
    "timestamp": "it has no time zone; values are read as UTC",
    "citext": "it compares without case; text does not",
    "json": "a json field is a flat, bounded object",
    "jsonb": "a json field is a flat, bounded object",
    "int2": "smallint becomes int",
}
_ON_DELETE: Final = {"c": "cascade", "n": "set_null"}

_COLUMNS: Final = """
SELECT c.oid, c.relname, a.attname, t.typname, a.attnotnull, a.atttypmod, pg_get_expr(d.adbin, d.adrelid),
       a.attidentity <> '' OR a.attgenerated <> '', t.typtype, t.oid, format_type(a.atttypid, a.atttypmod)
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition AND c.relnamespace = ANY (
    SELECT n.oid FROM pg_namespace n WHERE n.nspname = ANY (current_schemas(false)))
ORDER BY c.oid, a.attnum
"""
_CONSTRAINTS: Final = """
SELECT k.conrelid, k.contype::text, f.relname, k.confdeltype::text,
       ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY u(n, i)
             JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.n ORDER BY u.i),
       ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY u(n, i)
             JOIN pg_attribute a ON a.attrelid = k.confrelid AND a.attnum = u.n ORDER BY u.i),
       pg_get_expr(k.conbin, k.conrelid)
FROM pg_constraint k LEFT JOIN pg_class f ON f.oid = k.confrelid
WHERE k.conrelid = ANY (%s) ORDER BY k.oid
"""
_INDEXES: Final = """
SELECT x.indrelid, x.indisunique, x.indisprimary,
       ARRAY(SELECT a.attname::text FROM unnest(x.indkey::int2[]) WITH ORDINALITY u(n, i)
             LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = u.n AND u.n > 0
             WHERE u.i <= x.indnkeyatts ORDER BY u.i)
FROM pg_index x WHERE x.indrelid = ANY (%s) AND x.indpred IS NULL ORDER BY x.indexrelid
"""


def read_tables(url: str, shown: str) -> list[Table]:
    """Return the tables on the search path of the database at `url`; `shown` is the URL without its password.

    Raises:
        UnavailableError: the server cannot be reached or refuses.
    """
    import psycopg

    try:
        with psycopg.connect(url, connect_timeout=TIMEOUT, options="-c statement_timeout=10000") as connection:
            connection.read_only = True
            columns = connection.execute(_COLUMNS).fetchall()
            oids = sorted({row[0] for row in columns})
            constraints = connection.execute(_CONSTRAINTS, (oids,)).fetchall()
            indexes = connection.execute(_INDEXES, (oids,)).fetchall()
            enums = connection.execute(
                "SELECT enumtypid, enumlabel FROM pg_enum ORDER BY enumtypid, enumsortorder"
            ).fetchall()
    except psycopg.Error as error:
        text = str(error).strip()
        raise UnavailableError(
            f"the database cannot be read: {text.splitlines()[0] if text else type(error).__name__}",
            code="database-unreachable",
            where=shown,
            hint="Check address, user and password: postgresql://USER:PASSWORD@HOST:5432/DATABASE.",
        ) from None
    labels: dict[int, list[str]] = {}
    for oid, label in enums:
        labels.setdefault(oid, []).append(label)
    return [
        _table(
            [row for row in columns if row[0] == oid],
            [row for row in constraints if row[0] == oid],
            [row for row in indexes if row[0] == oid],
            labels,
        )
        for oid in oids
    ]


def _table(columns: list[Any], constraints: list[Any], indexes: list[Any], labels: dict[int, list[str]]) -> Table:
    plain = [(unique, tuple(names)) for _, unique, primary, names in indexes if not primary and all(names)]
    return Table(
        name=columns[0][1],
        columns=tuple(_column(row, labels) for row in columns),
        key=next((tuple(row[4]) for row in constraints if row[1] == "p"), ()),
        foreign_keys=tuple(
            ForeignKey(tuple(row[4]), row[2], tuple(row[5]), _ON_DELETE.get(row[3], "restrict"))
            for row in constraints
            if row[1] == "f"
        ),
        uniques=tuple(names for unique, names in plain if unique),
        indexes=tuple(names for unique, names in plain if not unique),
        checks=tuple(row[6] for row in constraints if row[1] == "c"),
    )


def _column(row: Any, labels: dict[int, list[str]]) -> Column:
    _, _, name, type_name, not_null, modifier, default, generated, category, type_oid, native = row
    kind = "enum" if category == "e" else _TYPES.get(type_name)
    lossy = _LOSSY.get(type_name)
    precision = scale = length = None
    if kind == "str":
        length = modifier - 4 if modifier > 0 else None
        if length is None:
            kind = "text"
    if kind == "decimal":
        precision, scale = ((modifier - 4) >> 16 & 0xFFFF, (modifier - 4) & 0x7FF) if modifier > 0 else (18, 6)
        lossy = lossy if modifier > 0 else "numeric without precision becomes decimal(18,6)"
    literal, computed = _default(default)
    return Column(
        name=name,
        type=kind,
        native=native,
        nullable=not not_null,
        length=length,
        precision=precision,
        scale=scale,
        values=tuple(labels.get(type_oid, ())),
        default=literal,
        computed=None if generated else computed,
        lossy=lossy,
    )


def _default(text: str | None) -> tuple[str | None, str | None]:
    if text is None or re.match(r"NULL(::|$)", text):
        return None, None
    if quoted := re.fullmatch(r"'((?:[^']|'')*)'(::[\w\s\"().]+)?", text):
        return quoted[1].replace("''", "'"), None
    if number := re.fullmatch(r"\(?([-+]?[0-9.]+)\)?(::[\w\s]+)?|(true|false)", text):
        return number[1] or number[3], None
    return None, text
