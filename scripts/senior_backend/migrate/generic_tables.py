"""Columns, constraints and ALTER TABLE of MySQL, MariaDB and SQLite."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.generic_tokens import Cursor, TextExpression, Token
from senior_backend.migrate.operations import Column, Constraint, IndexColumn, Name, Operation, Type

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.statements import Engine

_TYPE_NAMES = {
    "integer": "int", "int4": "int", "int8": "bigint", "dec": "decimal", "numeric": "decimal", "fixed": "decimal",
    "character": "char", "character varying": "varchar", "char varying": "varchar", "double precision": "double",
    "real": "double", "bool": "tinyint", "boolean": "tinyint", "middleint": "mediumint", "nvarchar": "varchar",
}  # fmt: skip
_ATTRIBUTES = frozenset(
    (
        *("NOT", "NULL", "DEFAULT", "AUTO_INCREMENT", "AUTOINCREMENT", "UNIQUE", "PRIMARY", "KEY", "COMMENT"),
        *("GENERATED", "AS", "ON", "REFERENCES", "CHECK", "CONSTRAINT", "INVISIBLE", "VISIBLE", "CHARACTER"),
        *("VIRTUAL", "STORED", "PERSISTENT", "FIRST", "AFTER", "UNSIGNED", "SIGNED", "ZEROFILL", "COLUMN_FORMAT"),
        *("STORAGE", "SRID", "BINARY", "COMPRESSED", "WITH", "WITHOUT", "REF_SYSTEM_ID", "ENGINE_ATTRIBUTE"),
        *("COLLATE", "CHARSET"),
    )
)


_SQLITE_ATTRIBUTES = frozenset(
    (
        *("CONSTRAINT", "PRIMARY", "NOT", "NULL", "UNIQUE", "CHECK", "DEFAULT", "COLLATE", "REFERENCES", "GENERATED"),
        *("AS", "AUTOINCREMENT", "ON"),
    )
)


def name(cursor: Cursor) -> Name:
    """Read a name with or without its database."""
    first = cursor.identifier()
    if cursor.accept("."):
        return Name(cursor.identifier(), first)
    return Name(first)


def names_in(tokens: list[Token]) -> tuple[str, ...]:
    """Return the column names of a list such as `a, b(10) DESC`."""
    return tuple(column.name for column in key_columns("", tokens) if column.name is not None)


def key_columns(text: str, tokens: list[Token]) -> tuple[IndexColumn, ...]:
    """Return the keys of an index: names with a length or order, or expressions."""
    cursor, found = Cursor(text, tokens), []
    while not cursor.done:
        part = cursor.until(",")
        cursor.accept(",")
        if (
            part
            and (len(part) == 1 or part[1].value in ("ASC", "DESC", "COLLATE"))
            and part[0].kind in ("word", "name", "string")
        ):
            found.append(IndexColumn(_plain(part[0]), options=_order(part[1:])))
        elif len(part) >= 4 and part[0].kind in ("word", "name") and part[2].kind == "number":
            found.append(IndexColumn(_plain(part[0]), None, int(part[2].text), _order(part[4:])))
        else:
            found.append(IndexColumn(None, TextExpression(text, part)))
    return tuple(found)


def _order(tokens: list[Token]) -> str:
    """Return collation and order of a key where it has others than the usual ones."""
    return " ".join(token.value.upper() for token in tokens if token.value != "ASC")


def _plain(token: Token) -> str:
    return token.text if token.kind == "word" else token.value


def type_of(cursor: Cursor, engine: Engine) -> Type | None:
    """Read a data type; None where SQLite's column has none."""
    words: list[str] = []
    if engine == "sqlite":  # any number of words
        while (token := cursor.peek()) is not None and token.kind in ("word", "name"):
            if token.kind == "word" and token.value in _SQLITE_ATTRIBUTES:
                break
            words.append(_plain(cursor.next()).lower())
    elif (
        (token := cursor.peek()) is not None
        and token.kind in ("word", "name")
        and (token.value not in _ATTRIBUTES or token.value in ("CHARACTER", "BINARY"))
    ):
        words.append(_plain(cursor.next()).lower())
        second = cursor.accept_any("PRECISION", "VARYING") or (words == ["long"] and cursor.accept_any("VARCHAR"))
        words += [second.lower()] if second else []
    if not words:
        return None
    spelled = " ".join(words)
    modifiers: tuple[int | str, ...] = ()
    if cursor.at("("):
        inner = cursor.parenthesised()
        modifiers = tuple(
            int(item.text) if item.kind == "number" and item.text.isdigit() else item.value
            for item in inner
            if item.kind in ("number", "string", "word")
        )
    canonical = _TYPE_NAMES.get(spelled, spelled)
    if spelled in ("bool", "boolean"):
        modifiers = (1,)
    unsigned, charset = False, None
    while True:
        if cursor.accept_any("UNSIGNED", "ZEROFILL"):  # ZEROFILL makes a number unsigned
            unsigned = True
        elif cursor.accept("COMPRESSED"):
            if cursor.accept("="):
                cursor.next()
        elif cursor.accept("SIGNED"):
            continue
        elif cursor.accept("CHARACTER", "SET") or cursor.accept("CHARSET"):
            cursor.accept("=")
            charset = cursor.identifier().lower()
        else:
            break
    return Type(canonical, modifiers, unsigned=unsigned, charset=charset)


def _default(cursor: Cursor) -> TextExpression:
    start = cursor.position
    cursor.accept_any("+", "-")
    if cursor.at("("):
        cursor.parenthesised()
    else:
        cursor.next()
        if cursor.at("("):
            cursor.parenthesised()
    return TextExpression(cursor.text, cursor.tokens[start : cursor.position])


def _references(cursor: Cursor) -> Constraint:
    parent = name(cursor)
    columns = names_in(cursor.parenthesised()) if cursor.at("(") else ()
    on_delete = on_update = None
    deferrable = False
    while True:
        if cursor.accept("ON", "DELETE"):
            on_delete = _action(cursor)
        elif cursor.accept("ON", "UPDATE"):
            on_update = _action(cursor)
        elif cursor.accept("MATCH"):
            cursor.next()
        elif cursor.accept("DEFERRABLE"):
            deferrable = True
        elif cursor.accept("NOT", "DEFERRABLE"):
            deferrable = False
        elif cursor.accept("INITIALLY"):
            cursor.next()
        else:
            break
    return Constraint(
        "foreign-key",
        references=parent,
        reference_columns=columns,
        on_delete=on_delete,
        on_update=on_update,
        deferrable=deferrable,
    )


def _action(cursor: Cursor) -> str:
    word = cursor.next().value
    if word in ("SET", "NO"):
        word += " " + cursor.next().value
    return word.lower()


def column(cursor: Cursor, engine: Engine, column_name: str | None = None) -> Column:
    """Read a column definition, from its name on (or behind it, where `column_name` is given).

    Raises:
        NotUnderstoodError: an attribute is unknown.
    """
    found = Column(column_name or cursor.identifier(), None)
    type_ = type_of(cursor, engine)
    if type_ is None and engine != "sqlite":
        raise cursor.problem(f"expected a type for {found.name}")
    if type_ is not None and type_.name == "serial" and engine != "sqlite":
        type_ = Type("bigint", unsigned=True)
        found = replace(found, not_null=True, auto_increment=True)
    found = replace(found, type=type_)
    constraints: list[Constraint] = []
    constraint_name: str | None = None
    while not cursor.done and not cursor.at_any(",", ")", "FIRST", "AFTER"):
        if cursor.accept("CONSTRAINT"):
            constraint_name = cursor.identifier()
            continue
        constraint = _column_constraint(cursor, found.name, engine)
        if constraint is not None:
            constraints.append(replace(constraint, name=constraint_name))
            constraint_name = None
        else:
            found = _attribute(cursor, found)
    return replace(found, constraints=tuple(constraints))


def _conflict(cursor: Cursor) -> None:
    if cursor.accept("ON", "CONFLICT"):
        cursor.next()


def _column_constraint(cursor: Cursor, column_name: str, engine: Engine) -> Constraint | None:
    if cursor.accept("PRIMARY"):
        cursor.accept("KEY")
        cursor.accept_any("ASC", "DESC")
        _conflict(cursor)
        return Constraint("primary-key", columns=(column_name,))
    if cursor.accept("UNIQUE"):
        cursor.accept("KEY")
        _conflict(cursor)
        return Constraint("unique", columns=(column_name,))
    if engine != "sqlite" and cursor.accept("KEY"):
        return Constraint("primary-key", columns=(column_name,))
    if cursor.accept("CHECK"):
        expression = TextExpression(cursor.text, cursor.parenthesised())
        enforced = _enforced(cursor)
        _conflict(cursor)
        return Constraint("check", expression=expression, enforced=enforced)
    if cursor.accept("REFERENCES"):
        return replace(_references(cursor), columns=(column_name,))
    return None


def _enforced(cursor: Cursor) -> bool:
    if cursor.accept("NOT", "ENFORCED"):
        return False
    cursor.accept("ENFORCED")
    return True


def _attribute(cursor: Cursor, found: Column) -> Column:  # noqa: PLR0911 - one branch for each attribute
    if cursor.accept("NOT", "NULL"):
        _conflict(cursor)
        return replace(found, not_null=True)
    if cursor.accept("NULL"):
        return replace(found, not_null=False, said_null=True)
    if cursor.accept("DEFAULT"):
        return replace(found, default=_default(cursor))
    if cursor.accept_any("AUTO_INCREMENT", "AUTOINCREMENT"):
        return replace(found, auto_increment=True)
    if cursor.accept("COMMENT"):
        return replace(found, comment=cursor.next().value)
    if cursor.accept("COLLATE"):
        cursor.accept("=")
        return replace(found, collation=cursor.identifier().lower())
    if cursor.accept("ON", "UPDATE"):
        return replace(found, on_update=_default(cursor).sql)
    if cursor.accept("GENERATED", "ALWAYS"):
        cursor.expect("AS")
        return _generated(cursor, found)
    if cursor.accept("AS"):
        return _generated(cursor, found)
    if cursor.accept("BINARY"):  # the collation of the column's character set that compares bytes
        return replace(found, collation="bin")
    if cursor.accept("CHARACTER", "SET") or cursor.accept("CHARSET"):
        charset = cursor.identifier().lower()
        return replace(found, type=found.type._replace(charset=charset) if found.type else None)
    if cursor.accept_any("INVISIBLE", "VISIBLE", "UNSIGNED", "ZEROFILL", "COMPRESSED"):
        return found
    if cursor.accept_any("COLUMN_FORMAT", "STORAGE", "SRID", "REF_SYSTEM_ID", "ENGINE_ATTRIBUTE"):
        cursor.accept("=")
        cursor.next()
        return found
    if cursor.accept("WITHOUT", "SYSTEM", "VERSIONING") or cursor.accept("WITH", "SYSTEM", "VERSIONING"):
        return found
    raise cursor.problem(f"unknown attribute of {found.name}")


def _generated(cursor: Cursor, found: Column) -> Column:
    if cursor.accept("ROW", "START") or cursor.accept("ROW", "END"):
        return found  # MariaDB writes these columns of a system-versioned table itself
    expression = TextExpression(cursor.text, cursor.parenthesised())
    stored = cursor.accept_any("STORED", "PERSISTENT", "VIRTUAL") in ("STORED", "PERSISTENT")
    return replace(found, generated="stored" if stored else "virtual", generation=expression)


def table_element(cursor: Cursor, table: Name, engine: Engine) -> Column | Constraint | ops.CreateIndex:
    """Read one element of CREATE TABLE, or what follows ADD."""
    constraint_name: str | None = None
    if cursor.accept("CONSTRAINT"):
        if not cursor.at_any("PRIMARY", "UNIQUE", "FOREIGN", "CHECK"):
            constraint_name = cursor.identifier()
        if not cursor.at_any("PRIMARY", "UNIQUE", "FOREIGN", "CHECK"):
            raise cursor.problem("expected PRIMARY KEY, UNIQUE, FOREIGN KEY or CHECK")
    if cursor.accept("PRIMARY", "KEY"):
        if engine != "sqlite" and not cursor.at_any("(", "USING"):
            cursor.identifier()  # a name, which the server takes and forgets
        _index_type(cursor)
        columns = names_in(cursor.parenthesised())
        _index_options(cursor)
        return Constraint("primary-key", constraint_name, columns)
    if cursor.accept("FOREIGN", "KEY"):
        if_not_exists(cursor)
        if not cursor.at("("):
            constraint_name = constraint_name or cursor.identifier()
        columns = names_in(cursor.parenthesised())
        cursor.expect("REFERENCES")
        return replace(_references(cursor), name=constraint_name, columns=columns)
    if cursor.at("CHECK") and cursor.peek(1) is not None and cursor.peek(1).text == "(":  # type: ignore[union-attr]
        cursor.next()
        expression = TextExpression(cursor.text, cursor.parenthesised())
        enforced = _enforced(cursor)
        _conflict(cursor)
        return Constraint("check", constraint_name, expression=expression, enforced=enforced)
    if cursor.at_any("UNIQUE") or (engine != "sqlite" and _at_index(cursor)):
        return _index_element(cursor, table, constraint_name, engine)
    return column(cursor, engine)


def _at_index(cursor: Cursor) -> bool:
    """Whether an index follows, and not a column that is called `key` or `index`."""
    if cursor.at_any("FULLTEXT", "SPATIAL"):
        return True
    if not cursor.at_any("INDEX", "KEY"):
        return False
    after, then = cursor.peek(1), cursor.peek(2)
    if after is None:
        return False
    return (
        after.text == "("
        or after.value in ("USING", "IF")
        or (then is not None and (then.text == "(" or then.value == "USING"))
    )


def _index_element(
    cursor: Cursor, table: Name, constraint_name: str | None, engine: Engine
) -> Constraint | ops.CreateIndex:
    kind = cursor.accept_any("UNIQUE", "FULLTEXT", "SPATIAL")
    cursor.accept_any("INDEX", "KEY")
    absent = if_not_exists(cursor)
    index_name = constraint_name
    if not cursor.at("(") and not cursor.at("USING"):
        index_name = cursor.identifier()
    _index_type(cursor)
    keys = key_columns(cursor.text, cursor.parenthesised())
    _index_options(cursor)
    _conflict(cursor)
    if engine == "sqlite":
        return Constraint("unique", index_name, tuple(key.name for key in keys if key.name))
    special = kind.lower() if kind in ("FULLTEXT", "SPATIAL") else None
    return ops.CreateIndex(table, index_name, keys, kind == "UNIQUE", if_not_exists=absent, kind=special)


def if_not_exists(cursor: Cursor) -> bool:
    """Read IF NOT EXISTS if it is next."""
    return cursor.accept("IF", "NOT", "EXISTS")


def _index_type(cursor: Cursor) -> None:
    if cursor.accept("USING"):
        cursor.next()


def _index_options(cursor: Cursor) -> None:
    while True:
        if cursor.accept_any("USING", "KEY_BLOCK_SIZE", "COMMENT"):
            cursor.accept("=")
            cursor.next()
        elif cursor.accept("WITH", "PARSER"):
            cursor.next()
        elif not cursor.accept_any("VISIBLE", "INVISIBLE", "IGNORED"):
            return


class AlterTable:
    """Reads the actions of one ALTER TABLE; `clauses` are ALGORITHM and LOCK."""

    def __init__(self, cursor: Cursor, table: Name, engine: Engine) -> None:
        self.cursor = cursor
        self.table = table
        self.engine = engine
        self.clauses: list[tuple[str, str]] = []

    def actions(self) -> Iterator[Operation]:
        """Yield the operations.

        Raises:
            NotUnderstoodError: an action is unknown.
        """
        while True:
            yield from self._action()
            if not self.cursor.accept(","):
                break
        while not self.cursor.done:  # PARTITION BY and table options may follow without a comma
            yield from self._action()
            self.cursor.accept(",")

    def _action(self) -> Iterator[Operation]:
        cursor = self.cursor
        for word in ("ALGORITHM", "LOCK"):
            if cursor.at(word) and (word != "LOCK" or len(cursor.tokens) > cursor.position + 1):
                cursor.next()
                cursor.accept("=")
                self.clauses.append((word, cursor.next().value))
                return
        word = cursor.next().value
        reader = {
            "ADD": self._add,
            "DROP": self._drop,
            "MODIFY": self._modify,
            "CHANGE": self._change,
            "RENAME": self._rename,
            "ALTER": self._alter,
            "CONVERT": self._convert,
        }.get(word)
        if reader is not None:
            yield from reader()
        else:
            cursor.position -= 1
            yield from self._option()

    def _add(self) -> Iterator[Operation]:
        cursor = self.cursor
        if cursor.accept("PARTITION"):
            cursor.until(",")
            yield ops.AlterTable(self.table, "add-partition")
            return
        if cursor.accept("SYSTEM", "VERSIONING"):
            yield ops.AlterTable(self.table, "system-versioning")
            return
        if cursor.accept("PERIOD"):
            cursor.until(",")
            yield ops.AlterTable(self.table, "period")
            return
        explicit = cursor.accept("COLUMN")
        absent = if_not_exists(cursor)
        if cursor.accept("("):
            while True:
                yield from self._added(column(cursor, self.engine), absent)
                if not cursor.accept(","):
                    break
            cursor.expect(")")
            return
        element = column(cursor, self.engine) if explicit else table_element(cursor, self.table, self.engine)
        yield from self._added(element, absent)

    def _added(self, element: Column | Constraint | ops.CreateIndex, absent: bool) -> Iterator[Operation]:
        if isinstance(element, Column):
            yield ops.AddColumn(self.table, element, absent, self._position())
        elif isinstance(element, Constraint):
            yield ops.AddConstraint(self.table, element)
        else:
            yield element

    def _position(self) -> str | None:
        if self.cursor.accept("FIRST"):
            return "FIRST"
        if self.cursor.accept("AFTER"):
            return f"AFTER {self.cursor.identifier()}"
        return None

    def _drop(self) -> Iterator[Operation]:
        cursor = self.cursor
        if cursor.accept("PRIMARY", "KEY"):
            yield ops.DropConstraint(self.table, None, "primary-key")
        elif cursor.accept("FOREIGN", "KEY"):
            exists = cursor.accept("IF", "EXISTS")
            yield ops.DropConstraint(self.table, cursor.identifier(), "foreign-key", exists)
        elif cursor.accept("SYSTEM", "VERSIONING"):
            yield ops.AlterTable(self.table, "system-versioning")
        elif cursor.at_any("INDEX", "KEY") and self.engine != "sqlite":
            cursor.next()
            exists = cursor.accept("IF", "EXISTS")
            yield ops.DropIndex(Name(cursor.identifier()), self.table, if_exists=exists)
        elif cursor.at_any("CONSTRAINT", "CHECK") and cursor.peek(1) is not None:
            kind: ops.ConstraintKind | None = "check" if cursor.next().value == "CHECK" else None
            exists = cursor.accept("IF", "EXISTS")
            yield ops.DropConstraint(self.table, cursor.identifier(), kind, exists)
        elif cursor.accept("PARTITION"):
            cursor.until(",")
            yield ops.AlterTable(self.table, "drop-partition")
        else:
            cursor.accept("COLUMN")
            exists = cursor.accept("IF", "EXISTS")
            dropped = cursor.identifier()
            cascade = cursor.accept_any("CASCADE", "RESTRICT") == "CASCADE"
            yield ops.DropColumn(self.table, dropped, exists, cascade)

    def _modify(self) -> Iterator[Operation]:
        self.cursor.accept("COLUMN")
        self.cursor.accept("IF", "EXISTS")
        definition = column(self.cursor, self.engine)
        yield ops.ModifyColumn(self.table, definition.name, definition, self._position())

    def _change(self) -> Iterator[Operation]:
        self.cursor.accept("COLUMN")
        self.cursor.accept("IF", "EXISTS")
        old = self.cursor.identifier()
        definition = column(self.cursor, self.engine)
        yield ops.ModifyColumn(self.table, old, definition, self._position())

    def _rename(self) -> Iterator[Operation]:
        cursor = self.cursor
        if cursor.at_any("INDEX", "KEY") and self.engine != "sqlite":
            cursor.next()
            old = cursor.identifier()
            cursor.expect("TO")
            yield ops.RenameObject("index", Name(old), cursor.identifier(), self.table)
            return
        if cursor.accept_any("TO", "AS"):
            target = name(cursor)
            yield ops.RenameTable(self.table, target.name, target.schema)
            return
        if cursor.accept("COLUMN") or self.engine == "sqlite":
            old = cursor.identifier()
            cursor.expect("TO")
            yield ops.RenameColumn(self.table, old, cursor.identifier())
            return
        target = name(cursor)
        yield ops.RenameTable(self.table, target.name, target.schema)

    def _alter(self) -> Iterator[Operation]:
        cursor = self.cursor
        if cursor.at_any("INDEX", "CHECK", "CONSTRAINT") and cursor.peek(2) is not None:
            yield self._alter_part(cursor.next().value)
            return
        cursor.accept("COLUMN")
        target = cursor.identifier()
        if cursor.accept("SET", "DEFAULT"):
            yield ops.SetDefault(self.table, target, _default(cursor))
        elif cursor.accept("DROP", "DEFAULT"):
            yield ops.DropDefault(self.table, target)
        elif cursor.accept("SET") and cursor.accept_any("VISIBLE", "INVISIBLE"):
            yield ops.AlterTable(self.table, "visibility", target)
        elif self.engine == "sqlite":
            cursor.position = len(cursor.tokens)
            yield ops.AlterTable(self.table, "alter-column", target)
        else:
            raise cursor.problem("expected SET or DROP DEFAULT")

    def _alter_part(self, kind: str) -> Operation:
        """Read what becomes of an index, or whether MySQL enforces a CHECK."""
        cursor = self.cursor
        part = cursor.identifier()
        if kind != "INDEX" and cursor.accept("ENFORCED"):
            return ops.AlterTable(self.table, "enforce-check", part)
        if kind != "INDEX" and cursor.accept("NOT", "ENFORCED"):
            return ops.AlterTable(self.table, "suspend-check", part)
        cursor.until(",")
        return ops.AlterTable(self.table, "alter-index", part)

    def _convert(self) -> Iterator[Operation]:
        self.cursor.expect("TO")
        if not self.cursor.accept("CHARSET"):
            self.cursor.expect("CHARACTER")
            self.cursor.expect("SET")
        detail = self.cursor.identifier().lower()
        if self.cursor.accept("COLLATE"):
            self.cursor.accept("=")
            detail += f" COLLATE {self.cursor.identifier().lower()}"
        yield ops.AlterTable(self.table, "convert-charset", detail)

    def _option(self) -> Iterator[Operation]:
        """Read a table option, or an action on partitions or files."""
        cursor = self.cursor
        if cursor.accept("FORCE"):
            yield ops.AlterTable(self.table, "force")
        elif cursor.accept("PARTITION", "BY") or cursor.accept("REMOVE", "PARTITIONING"):
            cursor.until(",")
            yield ops.AlterTable(self.table, "partition")
        elif cursor.accept_any("TRUNCATE"):
            cursor.expect("PARTITION")
            cursor.until(",")
            yield ops.AlterTable(self.table, "truncate-partition")
        elif cursor.accept_any("REORGANIZE", "COALESCE", "REBUILD", "OPTIMIZE", "REPAIR"):
            cursor.position = len(cursor.tokens)
            yield ops.AlterTable(self.table, "partition")
        elif word := cursor.accept_any("ANALYZE", "CHECK", "EXCHANGE"):
            cursor.expect("PARTITION")
            cursor.position = len(cursor.tokens)
            yield ops.AlterTable(self.table, f"{word.lower()}-partition")
        elif cursor.accept("ORDER", "BY"):
            cursor.position = len(cursor.tokens)
            yield ops.AlterTable(self.table, "order-by")
        elif cursor.accept_any("DISABLE", "ENABLE"):
            cursor.expect("KEYS")
            yield ops.AlterTable(self.table, "keys")
        elif word := cursor.accept_any("DISCARD", "IMPORT"):
            if cursor.accept("PARTITION"):
                cursor.until("TABLESPACE")
            cursor.expect("TABLESPACE")
            yield ops.AlterTable(self.table, f"{word.lower()}-tablespace")
        elif cursor.accept("NOWAIT") or (cursor.accept("WAIT") and cursor.next()):
            return
        elif cursor.accept_any("WITH", "WITHOUT"):
            cursor.expect("VALIDATION")
        else:
            yield self._table_option()

    def _table_option(self) -> Operation:
        cursor = self.cursor
        cursor.accept("DEFAULT")
        if cursor.accept("CHARACTER", "SET") or cursor.accept("CHARSET"):
            cursor.accept("=")
            return ops.AlterTable(self.table, "default-charset", cursor.identifier().lower())
        word = cursor.next()
        if word.kind != "word" or word.value not in _TABLE_OPTIONS:
            cursor.position -= 1
            raise cursor.problem("unknown action")
        cursor.accept("=")
        value = cursor.next().value
        return ops.AlterTable(self.table, word.value.lower().replace("_", "-"), value)


_TABLE_OPTIONS = frozenset(
    (
        *("ENGINE", "ROW_FORMAT", "COMMENT", "AUTO_INCREMENT", "KEY_BLOCK_SIZE", "COLLATE", "CHECKSUM", "MAX_ROWS"),
        *("MIN_ROWS", "AVG_ROW_LENGTH", "PACK_KEYS", "STATS_PERSISTENT", "STATS_AUTO_RECALC", "STATS_SAMPLE_PAGES"),
        *("COMPRESSION", "ENCRYPTION", "DELAY_KEY_WRITE", "PAGE_COMPRESSED", "PAGE_COMPRESSION_LEVEL", "TRANSACTIONAL"),
        *("AUTOEXTEND_SIZE", "SECONDARY_ENGINE", "ENGINE_ATTRIBUTE", "SECONDARY_ENGINE_ATTRIBUTE", "PAGE_CHECKSUM"),
        *("TABLESPACE", "INSERT_METHOD", "CONNECTION", "DATA", "INDEX", "ENCRYPTED", "ENCRYPTION_KEY_ID", "SEQUENCE"),
    )
)
