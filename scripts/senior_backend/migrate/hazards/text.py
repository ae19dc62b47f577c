"""Identifiers and SQL for the fixes that rules propose."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from senior_backend.migrate.operations import Name

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
# The reserved words of PostgreSQL 18 (appendix C of its manual): as a name they must be quoted.
_RESERVED = frozenset(
    (
        *("all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "authorization", "binary"),
        *("both", "case", "cast", "check", "collate", "collation", "column", "concurrently", "constraint", "create"),
        *("cross", "current_catalog", "current_date", "current_role", "current_schema", "current_time", "desc"),
        *("current_timestamp", "current_user", "default", "deferrable", "distinct", "do", "else", "end", "except"),
        *("false", "fetch", "for", "foreign", "freeze", "from", "full", "grant", "group", "having", "ilike", "in"),
        *("initially", "inner", "intersect", "into", "is", "isnull", "join", "lateral", "leading", "left", "like"),
        *("limit", "localtime", "localtimestamp", "natural", "not", "notnull", "null", "offset", "on", "only", "or"),
        *("order", "outer", "overlaps", "placing", "primary", "references", "returning", "right", "select"),
        *("session_user", "similar", "some", "symmetric", "system_user", "table", "tablesample", "then", "to"),
        *("trailing", "true", "union", "unique", "user", "using", "variadic", "verbose", "when", "where", "window"),
        "with",
    )
)


def identifier(word: str) -> str:
    """Return a PostgreSQL or SQLite identifier, quoted where it must be."""
    if _PLAIN.fullmatch(word) and word not in _RESERVED:
        return word
    return '"' + word.replace('"', '""') + '"'


def name(value: Name) -> str:
    """Return a name with its schema, quoted where it must be."""
    return f"{identifier(value.schema)}.{identifier(value.name)}" if value.schema else identifier(value.name)


def columns(values: Iterable[str | None]) -> str:
    """Return a list of columns, quoted where they must be."""
    return ", ".join(identifier(value) if value else "(…)" for value in values)


def backticked(word: str) -> str:
    """Return a MySQL identifier, quoted where it must be."""
    return word if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", word) and word.lower() not in _RESERVED else f"`{word}`"


def mysql_name(value: Name) -> str:
    """Return a MySQL name with its database, quoted where it must be."""
    return f"{backticked(value.schema)}.{backticked(value.name)}" if value.schema else backticked(value.name)


def shortened(word: str, suffix: str, limit: int = 63) -> str:
    """Return `word` with `suffix`, shortened to what PostgreSQL keeps of a name."""
    return word[: limit - len(suffix.encode())] + suffix
