"""Pieces of PostgreSQL text: identifiers, names made from names, tokens replaced outside of strings."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from senior_backend.migrate.operations import Name

LONGEST = 63
"""Bytes of an identifier; PostgreSQL cuts the rest off without an error."""

# PostgreSQL manual, appendix C: reserved, or reserved except as function or type name.
RESERVED = frozenset((
    "all", "analyse", "analyze", "and", "any", "array", "as", "asc", "asymmetric", "authorization", "binary",
    "both", "case", "cast", "check", "collate", "collation", "column", "concurrently", "constraint", "create",
    "cross", "current_catalog", "current_date", "current_role", "current_schema", "current_time",
    "current_timestamp", "current_user", "default", "deferrable", "desc", "distinct", "do", "else", "end",
    "except", "false", "fetch", "for", "foreign", "freeze", "from", "full", "grant", "group", "having", "ilike",
    "in", "initially", "inner", "intersect", "into", "is", "isnull", "join", "lateral", "leading", "left",
    "like", "limit", "localtime", "localtimestamp", "natural", "not", "notnull", "null", "offset", "on", "only",
    "or", "order", "outer", "overlaps", "placing", "primary", "references", "returning", "right", "select",
    "session_user", "similar", "some", "symmetric", "system_user", "table", "tablesample", "then", "to",
    "trailing", "true", "union", "unique", "user", "using", "variadic", "verbose", "when", "where", "window",
    "with",
))  # fmt: skip
_PLAIN = re.compile(r"[a-z_][a-z0-9_$]*")
_TOKEN = re.compile(
    r"""(?P<text>[eE]?'(?:[^'\\]|''|\\.)*')|(?P<dollar>\$(?P<tag>\w*)\$.*?\$(?P=tag)\$)|(?P<quoted>"(?:[^"]|"")*"|`(?:[^`]|``)*`)"""
    r"""|(?P<comment>--[^\n]*|/\*.*?\*/)|(?P<word>[^\W\d][\w$]*)|(?P<other>.)""",
    re.DOTALL,
)


def ident(name: str) -> str:
    """Return an identifier, quoted where it has to be."""
    if _PLAIN.fullmatch(name) and name not in RESERVED:
        return name
    return '"' + name.replace('"', '""') + '"'


def table_name(name: Name) -> str:
    """Return a table's name as the user wrote it, quoted where it has to be."""
    return f"{ident(name.schema)}.{ident(name.name)}" if name.schema else ident(name.name)


def collation_name(name: str) -> str:
    """Return a collation, with its schema where it has one, quoted where it has to be."""
    return ".".join(ident(part) for part in name.split(".")) if name.count(".") == 1 else ident(name)


def in_schema(table: Name, name: str) -> str:
    """Return the name of an index or function that lives beside `table`."""
    return f"{ident(table.schema)}.{ident(name)}" if table.schema else ident(name)


def literal(text: str) -> str:
    """Return a string literal."""
    return "'" + text.replace("'", "''") + "'"


def made(*parts: str) -> str:
    """Return a name made of parts, cut with a mark of its own where it would be too long."""
    name = "_".join(part for part in parts if part)
    if len(name.encode()) <= LONGEST:
        return name
    mark = hashlib.sha256(name.encode()).hexdigest()[:8]
    return name.encode()[: LONGEST - 9].decode(errors="ignore") + "_" + mark


def names(columns: Iterable[str]) -> str:
    """Return a list of columns."""
    return ", ".join(map(ident, columns))


def tokens(text: str) -> Iterator[re.Match[str]]:
    """Yield the tokens of a text; strings, quoted names and comments are one token each."""
    return _TOKEN.finditer(text)


def rename_column(expression: str, old: str, new: str) -> str:
    """Return an expression in which the column `old` is called `new`; strings and other words stay."""
    parts = []
    for match in tokens(expression):
        kind, text = match.lastgroup, match.group()
        plain = kind == "word" and text.lower() == old
        quoted = kind == "quoted" and text[1:-1].replace('""', '"') == old
        parts.append(ident(new) if plain or quoted else text)
    return "".join(parts)


def commands(statement: str) -> tuple[str, list[tuple[int, int]]] | None:
    """Return the head of an ALTER TABLE and where its actions stand, None for any other statement.

    `ALTER TABLE IF EXISTS ONLY a.b ADD x int, DROP y` gives the text up to and with `a.b`, and two spans.
    """
    match = _ALTER.match(statement)
    if match is None:
        return None
    spans, depth, start = [], 0, match.end()
    for token in tokens(statement):
        if token.start() < match.end() or token.lastgroup != "other":
            continue
        if token.group() in "([":
            depth += 1
        elif token.group() in ")]":
            depth -= 1
        elif token.group() == "," and depth == 0:
            spans.append((start, token.start()))
            start = token.end()
    spans.append((start, len(statement)))
    return statement[: match.end()].rstrip(), spans


_NAME = r'(?:"(?:[^"]|"")+"|`(?:[^`]|``)+`|[^\W\d][\w$]*)'
_ALTER = re.compile(
    rf"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?(?:ONLY\s+)?{_NAME}(?:\s*\.\s*{_NAME})*\s*(?:\*\s*)?(?=\s|$)", re.IGNORECASE
)
