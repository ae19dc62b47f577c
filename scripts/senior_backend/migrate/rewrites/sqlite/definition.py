"""The text of a CREATE TABLE, edited by offset: columns and constraints added, dropped or changed."""

from __future__ import annotations

import itertools
import re

from senior_backend.migrate.rewrites.sql import tokens

_CONSTRAINT = re.compile(r"(?:CONSTRAINT|PRIMARY|UNIQUE|CHECK|FOREIGN)\b", re.IGNORECASE)
_COLUMN_RULE = re.compile(
    r"(?:CONSTRAINT|PRIMARY|NOT|NULL|UNIQUE|CHECK|DEFAULT|COLLATE|REFERENCES|GENERATED|AS)\b", re.IGNORECASE
)


def bare(name: str) -> str:
    """Return an identifier without its quotes, in lower case: SQLite compares names that way."""
    if name[:1] in '"`[' and len(name) > 1:
        return name[1:-1].replace('""', '"').replace("``", "`").lower()
    return name.lower()


def body(sql: str) -> tuple[int, int] | None:
    """Return where the list of columns stands in a CREATE TABLE, without its parentheses."""
    depth, start = 0, -1
    for token in tokens(sql):
        if token.lastgroup != "other":
            continue
        if token.group() == "(":
            depth += 1
            if depth == 1:
                start = token.end()
        elif token.group() == ")":
            depth -= 1
            if depth == 0:
                return start, token.start()
    return None


def items(text: str) -> list[str]:
    """Return the columns and constraints of such a list."""
    found, depth, start = [], 0, 0
    for token in tokens(text):
        if token.lastgroup != "other":
            continue
        if token.group() in "([":
            depth += 1
        elif token.group() in ")]":
            depth -= 1
        elif token.group() == "," and depth == 0:
            found.append(text[start : token.start()].strip())
            start = token.end()
    return [*found, text[start:].strip()]


def without_lead(item: str) -> str:
    """Return an item without the comments and spaces before it."""
    for token in tokens(item):
        if token.lastgroup != "comment" and not token.group().isspace():
            return item[token.start() :]
    return ""


def joined(parts: list[str]) -> str:
    """Return items as a list, one a line; a comma never ends up inside a comment at the end of a line."""
    closed = []
    for part in parts:
        last = list(tokens(part))[-1:]
        closed.append(f"{part}\n  " if last and last[0].group().startswith("--") else part)
    return "\n  " + ",\n  ".join(closed) + "\n"


def is_constraint(item: str) -> bool:
    """Whether an item of the list is a constraint of the table."""
    return _CONSTRAINT.match(without_lead(item)) is not None


def column_name(item: str) -> str:
    """Return the name of the column that an item defines."""
    item = without_lead(item)
    if item[:1] == "[":
        return bare(item[: item.index("]") + 1])
    return bare(next(tokens(item)).group())


def words(item: str) -> list[tuple[str, int, int]]:
    """Return the words of an item with their offsets; a parenthesised part is one word."""
    found: list[tuple[str, int, int]] = []
    depth, start = 0, 0
    for token in tokens(item):
        text = token.group()
        if text == "(" and token.lastgroup == "other":
            start = token.start() if depth == 0 else start
            depth += 1
        elif text == ")" and token.lastgroup == "other":
            depth -= 1
            if depth == 0:
                found.append((item[start : token.end()], start, token.end()))
        elif depth == 0 and not text.isspace() and token.lastgroup != "comment":
            joins = token.lastgroup == "other" and found and found[-1][2] == token.start() and found[-1][0][-1] != ")"
            if joins:
                # The tokens of a number are its characters.
                found[-1] = (found[-1][0] + text, found[-1][1], token.end())
            else:
                found.append((text, token.start(), token.end()))
    return found


def with_type(item: str, type_: str) -> str:
    """Return a column with another type."""
    parts = words(item)
    rest = next((start for text, start, _ in parts[1:] if _COLUMN_RULE.match(text)), len(item))
    return f"{item[: parts[0][2]]} {type_} {item[rest:]}".rstrip()


def with_not_null(item: str, *, on: bool) -> str:
    """Return a column that refuses NULL, or takes it."""
    parts = words(item)
    for (one, start, _), (two, _, end) in itertools.pairwise(parts):
        if one.upper() == "NOT" and two.upper() == "NULL":
            return item if on else (item[:start].rstrip() + " " + item[end:].lstrip()).strip()
    return f"{item} NOT NULL" if on else item


def with_default(item: str, value: str | None) -> str:
    """Return a column with another default, or with none."""
    parts = words(item)
    for number, (text, start, _) in enumerate(parts[:-1]):
        if text.upper() == "DEFAULT":
            last = number + 2 if parts[number + 1][0] in "+-" else number + 1
            item = (item[:start].rstrip() + " " + item[parts[last][2] :].lstrip()).strip()
            break
    return item if value is None else f"{item} DEFAULT {value}"
