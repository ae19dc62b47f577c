"""What changing a column's definition costs on MySQL and MariaDB.

Measured on MariaDB 10.11 and MySQL 9.7 (`tests/migrate/measured/`), as "Online DDL Operations" of the MySQL manual
says for 8.0 and 8.4.
"""

from __future__ import annotations

from dataclasses import replace
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


Reason = Literal["type", "numbering", "encoding", "length", "labels", "generation", "nullability"]
"""What of a definition makes the server copy the table.

`length` is a VARCHAR that grows beyond 255 bytes, `nullability` a change that generated columns make a copy.
"""


def modify_cost(old: Column | None, new: Column, table: Table | None, engine: Engine) -> Cost:
    """Return what replacing the definition `old` by `new` does to the table."""
    if old is None or old.type is None or new.type is None:
        return "unknown"
    if copy_reason(old, new, table, engine) is not None:
        return "copy"
    return "rebuild" if old.not_null != (new.not_null or new.auto_increment) else "instant"


def copy_reason(  # noqa: PLR0911 - one for each reason
    old: Column, new: Column, table: Table | None, engine: Engine
) -> Reason | None:
    """Return why replacing the definition `old` by `new` copies the table, None where it does not."""
    before, after = old.type, new.type
    if before is None or after is None:
        return None
    if engine == "mariadb" and (old.generated == "stored" or (old.generated and _indexed(old, table))):
        return "generation"  # whatever is said of it, even the same
    if before.name != after.name or before.unsigned != after.unsigned:
        return "type"
    if old.auto_increment != new.auto_increment and (engine == "mysql" or new.auto_increment):
        return "numbering"
    if before.name in TEXTS and _encoding_copies(old, new, table, engine):
        return "encoding"
    if before.name in ("varchar", "varbinary"):
        if _length(after) < _length(before):
            return "type"
        if _second_length_byte(old, new, table, engine):
            return "length"
    elif before.name in ("enum", "set"):
        if not _appended(before, after):
            return "labels"
    elif not _same_modifiers(before, after):
        return "type"
    if (old.generated, old.generation) != (new.generated, new.generation):
        return "generation"
    changes_null = old.not_null != (new.not_null or new.auto_increment)
    return "nullability" if engine == "mariadb" and changes_null and table and copies_to_rebuild(table) else None


def indexed_virtual(table: Table) -> str | None:
    """Return the name of a virtual column with an index, None where there is none."""
    virtual = (column.name for column in table.columns.values() if column.generated == "virtual")
    return next((name for name in virtual if any(table.indexes_on(name.lower()))), None)


def copies_to_rebuild(table: Table) -> bool:
    """Whether MariaDB copies the table where it would otherwise build it anew beside writers."""
    stored = any(column.generated == "stored" for column in table.columns.values())
    return stored or indexed_virtual(table) is not None


def charset(column: Column, table: Table | None) -> str:
    """Return the character set of a text column."""
    if column.type is not None and column.type.charset:
        return _alias(column.type.charset)
    named = column.collation or (table.collation if table and table.charset is None else None)
    if named and "_" in named:
        return _alias(named.split("_", maxsplit=1)[0])
    return _alias((table.charset if table else None) or DEFAULT_CHARSET)


def converts(table: Table | None, target: str, engine: Engine) -> bool:
    """Whether CONVERT TO CHARACTER SET `target` (`utf8mb4 COLLATE …`) copies the table.

    MySQL copies for any text with another encoding or collation; MariaDB where MODIFY would, for the labels of an ENUM
    or SET, for generated texts, and for a TEXT that becomes a longer type.
    """
    if table is None or not table.complete:
        return True
    name, _, collation = target.partition(" COLLATE ")
    wanted = (_alias(name), _explicit(_alias(name), collation or None, engine))
    for column in table.columns.values():
        if column.type is None:
            return True
        if column.type.name not in TEXTS:
            continue
        inherits = column.type.charset is None and column.collation is None
        if inherits and table.charset is None and table.collation is None:
            return True  # the default of the database is not known
        encoding = charset(column, table)
        if (encoding, _explicit(encoding, table.collation if inherits else column.collation, engine)) == wanted:
            continue
        new = replace(column, type=column.type._replace(charset=wanted[0]), collation=collation or None)
        longer = column.type.name.endswith("text") and encoding != wanted[0]
        special = column.generated or column.type.name in ("enum", "set") or longer
        if engine != "mariadb" or special or copy_reason(column, new, table, engine) is not None:
            return True
    return False


def _explicit(encoding: str, collation: str | None, engine: Engine) -> str | None:
    """Return the collation; MySQL's from 8.0 on where none is named. MariaDB's default differs between its versions."""
    if collation is None and engine == "mysql" and encoding == "utf8mb4":
        return "utf8mb4_0900_ai_ci"
    return collation


def _alias(name: str) -> str:
    return "utf8mb3" if name == "utf8" else name


TEXTS = frozenset(("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set"))


def _encoding_copies(old: Column, new: Column, table: Table | None, engine: Engine) -> bool:
    """Whether another character set or collation copies the table; utf8mb3 is stored as a part of utf8mb4."""
    before, after = charset(old, table), charset(new, table)
    if before != after and (before, after) != ("utf8mb3", "utf8mb4"):
        return True
    if before == after and not _other_collation(old, new):
        return False
    labels = old.type is not None and old.type.name in ("enum", "set")
    return labels if engine == "mariadb" else not labels and _indexed(old, table)


def _other_collation(old: Column, new: Column) -> bool:
    """Whether the collation surely changes; a column that names none has that of its table, which is not known here."""
    if old.collation is None or new.collation is None:
        return _binary(old.collation) != _binary(new.collation)
    return old.collation != new.collation and not (_binary(old.collation) and _binary(new.collation))


def _binary(collation: str | None) -> bool:
    return collation is not None and collation.rsplit("_", maxsplit=1)[-1] == "bin"


def _indexed(column: Column, table: Table | None) -> bool:
    return table is not None and any(table.indexes_on(column.name.lower()))


def _same_modifiers(before: Type, after: Type) -> bool:
    integers = ("tinyint", "smallint", "mediumint", "int", "bigint")
    return before.name in integers or before.modifiers == after.modifiers  # int(11) and int are the same


def _length(type_: Type) -> int:
    return type_.modifiers[0] if type_.modifiers and isinstance(type_.modifiers[0], int) else 0


def _second_length_byte(old: Column, new: Column, table: Table | None, engine: Engine) -> bool:
    """Whether a VARCHAR or VARBINARY that grows has to be stored with a longer length."""
    before, after = _bytes(old, table), _bytes(new, table)
    if engine == "mariadb" and before <= _MARIADB_FREE:
        return False
    return before <= _ONE_BYTE_LENGTH < after


def _bytes(column: Column, table: Table | None) -> int:
    if column.type is None:
        return 0
    width = 1 if column.type.name == "varbinary" else _MAX_BYTES.get(charset(column, table), 4)
    return _length(column.type) * width


def _appended(before: Type, after: Type) -> bool:
    """Whether labels were only added at the end, and the column keeps its width."""
    if after.modifiers[: len(before.modifiers)] != before.modifiers:
        return False
    if before.name == "enum":
        return (len(before.modifiers) > _ONE_BYTE_LENGTH) == (len(after.modifiers) > _ONE_BYTE_LENGTH)
    return (len(before.modifiers) + 7) // 8 == (len(after.modifiers) + 7) // 8
