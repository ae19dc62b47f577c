"""What changing a column's definition costs on MySQL and MariaDB.

Measured on MariaDB 10.11 (`tests/migrate/measured/`); for MySQL, "Online DDL Operations" of its manual (8.0 and 8.4).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from senior_backend.migrate.catalog import Table
    from senior_backend.migrate.operations import Column, Type
    from senior_backend.migrate.statements import Engine

Cost = Literal["instant", "rebuild", "copy", "unknown"]
"""`rebuild` writes the table anew while others go on writing, `copy` stops all writers for as long as it takes."""

_MAX_BYTES = {
    "utf8mb4": 4, "utf8mb3": 3, "utf8": 3, "latin1": 1, "ascii": 1, "binary": 1, "ucs2": 2, "utf16": 4, "utf32": 4,
    "cp1252": 1, "latin2": 1, "koi8r": 1, "sjis": 2, "gbk": 2, "big5": 2, "gb18030": 4,
}  # fmt: skip
DEFAULT_CHARSET = "utf8mb4"
_ONE_BYTE_LENGTH = 255
_MARIADB_FREE = 127
"""MariaDB stores up to this many bytes in a form that can grow beyond 255 without a copy."""


def modify_cost(old: Column | None, new: Column, table: Table | None, engine: Engine) -> Cost:
    """Return what replacing the definition `old` by `new` does to the table."""
    if old is None or old.type is None or new.type is None:
        return "unknown"
    cost = _type_cost(old, new, table, engine)
    if cost != "instant":
        return cost
    if old.not_null != (new.not_null or new.auto_increment):
        return "rebuild"
    if (old.generated, old.generation) != (new.generated, new.generation):
        return "copy"
    return "instant"


def charset(column: Column, table: Table | None) -> str:
    """Return the character set of a text column."""
    if column.type is not None and column.type.charset:
        return _alias(column.type.charset)
    if column.collation:
        return _alias(column.collation.split("_", maxsplit=1)[0])
    return _alias((table.charset if table else None) or DEFAULT_CHARSET)


def _alias(name: str) -> str:
    return "utf8mb3" if name == "utf8" else name


_TEXTS = frozenset(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"))


def _type_cost(old: Column, new: Column, table: Table | None, engine: Engine) -> Cost:
    before, after = old.type, new.type
    if before is None or after is None:
        return "unknown"
    if before.name in _TEXTS and after.name in _TEXTS and charset(old, table) != charset(new, table):
        return "copy"
    if before.name != after.name or before.unsigned != after.unsigned:
        return "copy"
    if before.name == "varchar":
        return _varchar_cost(_length(before), _length(after), _MAX_BYTES.get(charset(old, table), 4), engine)
    if before.name in ("enum", "set"):
        return "instant" if _appended(before, after) else "copy"
    return "instant" if _same_modifiers(before, after) else "copy"


def _same_modifiers(before: Type, after: Type) -> bool:
    integers = ("tinyint", "smallint", "mediumint", "int", "bigint")
    return before.name in integers or before.modifiers == after.modifiers  # int(11) and int are the same


def _length(type_: Type) -> int:
    return type_.modifiers[0] if type_.modifiers and isinstance(type_.modifiers[0], int) else 0


def _varchar_cost(before: int, after: int, width: int, engine: Engine) -> Cost:
    if after < before:
        return "copy"
    crosses = before * width <= _ONE_BYTE_LENGTH < after * width
    if engine == "mariadb":
        return "copy" if crosses and before * width > _MARIADB_FREE else "instant"
    return "copy" if crosses else "instant"


def _appended(before: Type, after: Type) -> bool:
    """Whether labels were only added at the end, and the column keeps its width."""
    if after.modifiers[: len(before.modifiers)] != before.modifiers:
        return False
    if before.name == "enum":
        return (len(before.modifiers) > _ONE_BYTE_LENGTH) == (len(after.modifiers) > _ONE_BYTE_LENGTH)
    return (len(before.modifiers) + 7) // 8 == (len(after.modifiers) + 7) // 8
