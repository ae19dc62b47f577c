"""The tables that `new` can count on: those of the live database, and those that pending files will have made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate.tokens import Token, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from senior_backend.migrate.statements import Engine

Tables = dict[str, dict[str, str]]
_NO_COLUMN = {
    "PRIMARY",
    "UNIQUE",
    "CONSTRAINT",
    "FOREIGN",
    "CHECK",
    "KEY",
    "INDEX",
    "EXCLUDE",
    "LIKE",
    "FULLTEXT",
    "PERIOD",
}
_TYPE_ENDS = {
    "NOT", "NULL", "DEFAULT", "PRIMARY", "UNIQUE", "REFERENCES", "CHECK", "GENERATED", "CONSTRAINT", "COLLATE",
    "AUTO_INCREMENT", "AUTOINCREMENT", "COMMENT", "AS", "ON", "CHARACTER", "FIRST", "AFTER", "ALGORITHM",
}  # fmt: skip


def known_tables(live: Mapping[str, Mapping[str, str]], statements: Iterable[str], engine: Engine) -> Tables:
    """Return `live` after `statements`: created, altered, renamed and dropped tables and their columns with types."""
    found: Tables = {table: dict(columns) for table, columns in live.items()}
    for text in statements:
        _apply(found, tokens(text, engine))
    return found


def _apply(found: Tables, words: list[Token]) -> None:
    values = [token.value for token in words]
    if values[:1] == ["CREATE"] and "TABLE" in values[1:4]:
        name, position = _name(words, values.index("TABLE") + 1)
        body = words[position + 1 :] if position < len(words) and values[position] == "(" else []
        found[name] = dict(column for column in map(_column, _parts(body)) if column)
    elif values[:2] == ["DROP", "TABLE"]:
        for part in _parts(words[2:]):
            found.pop(_name(part, 0)[0], None)
    elif values[:2] == ["RENAME", "TABLE"] and "TO" in values:
        old, position = _name(words, 2)
        found[_name(words, position + 1)[0]] = found.pop(old, {})
    elif values[:2] == ["ALTER", "TABLE"]:
        name, position = _name(words, 2)
        for part in _parts(words[position:]):
            _alter(found, name, part)


def _alter(found: Tables, name: str, part: list[Token]) -> None:
    values = [token.value for token in part]
    rest = part[2:] if values[1:2] == ["COLUMN"] else part[1:]
    if values[:1] == ["ADD"] and rest and (column := _column(rest)):
        found.setdefault(name, {})[column[0]] = column[1]
    elif values[:1] == ["DROP"] and values[1:2] not in (["CONSTRAINT"], ["INDEX"], ["PRIMARY"], ["FOREIGN"], ["KEY"]):
        found.get(name, {}).pop(_name(rest, 0)[0], None)
    elif values[:2] == ["RENAME", "TO"]:
        found[_name(part, 2)[0]] = found.pop(name, {})
    elif values[:1] == ["RENAME"] and "TO" in values:
        columns = found.get(name, {})
        old, position = _name(rest, 0)
        if old in columns:
            new = _name(rest, position + 1)[0]
            found[name] = {new if column == old else column: kind for column, kind in columns.items()}


def _column(part: list[Token]) -> tuple[str, str] | None:
    if not part or (part[0].kind == "word" and part[0].value in _NO_COLUMN):
        return None
    name, position = _name(part, 0)
    kind: list[str] = []
    for token in part[position:]:
        if token.kind == "word" and token.value in _TYPE_ENDS:
            break
        close = token.raw in "(),." or (kind and kind[-1].endswith(("(", ",")))
        kind.append(token.raw if close or not kind else f" {token.raw}")
    return (name, "".join(kind).strip()) if name else None


def _name(words: list[Token], position: int) -> tuple[str, int]:
    """Return the unqualified name at `position`, past IF [NOT] EXISTS and ONLY, and the position behind it."""
    while position < len(words) and words[position].value in ("IF", "NOT", "EXISTS", "ONLY"):
        position += 1
    while position + 2 < len(words) and words[position + 1].value == ".":
        position += 2
    return (words[position].name, position + 1) if position < len(words) else ("", position)


def _parts(words: list[Token]) -> list[list[Token]]:
    """Return the comma-separated parts of a list, up to the parenthesis that closes it."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in words:
        if token.value == "(":
            depth += 1
        elif token.value == ")":
            depth -= 1
            if depth < 0:
                break
        if token.value == "," and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return parts
