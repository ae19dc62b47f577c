"""The seam over MySQL, MariaDB and SQLite text: statements with their operations, read by a grammar of our own.

sqlglot reads these dialects tolerantly and drops what it does not know; here a form that is not known becomes an
`Opaque` operation, and nothing has to be installed. Queries are only told apart from changes, not checked.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.generic_tables import (
    AlterTable,
    if_not_exists,
    key_columns,
    name,
    table_element,
)
from senior_backend.migrate.generic_tokens import Cursor, NotUnderstoodError, TextExpression, tokens_of
from senior_backend.migrate.operations import Column, Constraint, Name, Operation, ParsedStatement
from senior_backend.migrate.statements import split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from senior_backend.migrate.statements import Engine, Statement


def read(text: str, engine: Engine) -> list[ParsedStatement]:
    """Return the statements of a script with what each does, in order.

    Raises:
        InputError: a quote or comment never ends, or the text holds a NUL character.
    """
    return [_parsed(statement, engine) for statement in split(text, engine)]


def _parsed(statement: Statement, engine: Engine) -> ParsedStatement:
    reader = _Reader(Cursor(statement.text, tokens_of(statement.text, engine)), engine)
    try:
        operations = tuple(reader.statement())
        if not reader.cursor.done:
            raise reader.cursor.problem("something is left over")
    except NotUnderstoodError as problem:
        operations = (ops.Opaque(problem.message, statement.start + problem.offset),)
    return ParsedStatement(statement, operations, tuple(reader.clauses))


class _Reader:
    """Reads one statement."""

    def __init__(self, cursor: Cursor, engine: Engine) -> None:
        self.cursor = cursor
        self.engine = engine
        self.clauses: list[tuple[str, str]] = []

    def statement(self) -> Iterator[Operation]:
        """Yield what the statement does.

        Raises:
            NotUnderstoodError: its form is not known.
        """
        if self.cursor.done:
            yield ops.Other("comment")  # such as MariaDB's switch of the sandbox mode
            return
        if self.cursor.at("("):
            yield from self._query()
            return
        word = self.cursor.next().value
        reader = self._readers().get(word)
        if reader is None:
            self.cursor.position -= 1
            raise self.cursor.problem("not a statement that is known here")
        yield from reader()

    def _readers(self) -> dict[str, Callable[[], Iterator[Operation]]]:
        readers: dict[str, Callable[[], Iterator[Operation]]] = {
            "CREATE": self._create,
            "DROP": self._drop,
            "ALTER": self._alter,
            "INSERT": self._insert,
            "REPLACE": self._insert,
            "UPDATE": self._update,
            "DELETE": self._delete,
            "SELECT": self._query,
            "WITH": self._with,
            "VALUES": self._query,
            "EXPLAIN": self._query,
            "BEGIN": self._transaction("begin"),
            "COMMIT": self._transaction("commit"),
            "ROLLBACK": self._transaction("rollback"),
            "SAVEPOINT": self._transaction("savepoint"),
            "RELEASE": self._transaction("release"),
            "ANALYZE": self._other("analyze"),
        }
        if self.engine == "sqlite":
            readers |= {
                "PRAGMA": self._pragma,
                "VACUUM": self._vacuum,
                "REINDEX": self._other("reindex"),
                "ATTACH": self._other("attach"),
                "DETACH": self._other("detach"),
                "END": self._transaction("commit"),
            }
        else:
            readers |= {
                "SET": self._set,
                "RENAME": self._rename,
                "TRUNCATE": self._truncate,
                "LOCK": self._lock,
                "FLUSH": self._flush,
                "OPTIMIZE": self._optimize,
                "START": self._start,
                "LOAD": self._load,
                "CALL": self._call,
                "EXECUTE": self._unknown("EXECUTE of a prepared statement"),
                "PREPARE": self._other("prepare"),
                "DEALLOCATE": self._other("deallocate"),
                **{word: self._other(word.lower()) for word in _MYSQL_OTHERS},
            }
        return readers

    def _rest(self) -> None:
        self.cursor.position = len(self.cursor.tokens)

    def _other(self, kind: str) -> Callable[[], Iterator[Operation]]:
        def reader() -> Iterator[Operation]:
            self._rest()
            yield ops.Other(kind)

        return reader

    def _unknown(self, reason: str) -> Callable[[], Iterator[Operation]]:
        def reader() -> Iterator[Operation]:
            self._rest()
            yield ops.Opaque(reason)

        return reader

    def _call(self) -> Iterator[Operation]:
        procedure = name(self.cursor)
        self._rest()
        yield ops.Opaque(f"CALL of the procedure {procedure}, which may do anything")

    def _transaction(self, kind: ops.TransactionKind) -> Callable[[], Iterator[Operation]]:
        def reader() -> Iterator[Operation]:
            words = [token.value for token in self.cursor.tokens]
            self._rest()
            if kind == "begin" and "ATOMIC" in words:
                yield ops.Opaque("a BEGIN NOT ATOMIC block")
            else:
                yield ops.Transaction("rollback-to" if kind == "rollback" and "TO" in words else kind)

        return reader

    def _start(self) -> Iterator[Operation]:
        if self.cursor.accept("TRANSACTION"):
            self._rest()
            yield ops.Transaction("begin")
        else:
            self._rest()
            yield ops.Other("start")

    def _query(self) -> Iterator[Operation]:
        self._rest()
        yield ops.Query()

    def _with(self) -> Iterator[Operation]:
        found = self.cursor.until("UPDATE", "DELETE", "INSERT", "REPLACE", "SELECT")
        if not found or self.cursor.done:
            raise self.cursor.problem("WITH without a query")
        yield from self.statement()

    # CREATE

    def _create(self) -> Iterator[Operation]:
        cursor = self.cursor
        replaced = cursor.accept("OR", "REPLACE")
        temporary = cursor.accept_any("TEMPORARY", "TEMP") is not None
        if cursor.accept("TABLE"):
            yield from self._create_table(temporary=temporary)
            return
        kind = cursor.accept_any("UNIQUE", "FULLTEXT", "SPATIAL")
        if cursor.accept("INDEX"):
            yield from self._create_index(kind)
            return
        while cursor.at_any("ALGORITHM", "DEFINER", "SQL", "AGGREGATE"):
            if cursor.accept("SQL", "SECURITY"):
                cursor.next()
            elif not cursor.accept("AGGREGATE"):
                cursor.next()
                cursor.until("ALGORITHM", "DEFINER", "SQL", "AGGREGATE", "VIEW", "TRIGGER", *_CREATED)
        word = cursor.accept_any("VIEW", "TRIGGER", *_CREATED)
        if word is None:
            raise cursor.problem("not something that is known to be created")
        if word == "VIRTUAL":
            cursor.expect("TABLE")
        absent = if_not_exists(cursor)
        if word == "VIEW":
            yield ops.CreateView(name(cursor), replace=replaced)
        elif word == "TRIGGER":
            trigger = name(cursor).name
            if_not_exists(cursor)
            cursor.until("ON")
            cursor.expect("ON")
            yield ops.CreateTrigger(name(cursor), trigger)
        elif word == "VIRTUAL":
            yield ops.CreateTable(name(cursor), from_query=True)
        else:
            yield ops.CreateObject(word.lower(), name(cursor), replaced, absent)
        self._rest()

    def _create_table(self, *, temporary: bool) -> Iterator[Operation]:
        cursor = self.cursor
        absent = if_not_exists(cursor)
        table = name(cursor)
        columns: list[Column] = []
        constraints: list[Constraint] = []
        indexes: list[ops.CreateIndex] = []
        like: tuple[Name, ...] = ()
        if cursor.accept("LIKE"):
            like = (name(cursor),)
        elif cursor.at("(") and not cursor.at("(", "SELECT"):
            cursor.expect("(")
            if cursor.accept("LIKE"):
                like = (name(cursor),)
            else:
                self._elements(table, columns, constraints, indexes)
            cursor.expect(")")
        options = cursor.tokens[cursor.position :]
        self._rest()
        words = [token.value for token in options]
        yield ops.CreateTable(
            table,
            tuple(columns),
            tuple(constraints),
            tuple(indexes),
            if_not_exists=absent,
            temporary=temporary,
            partitioned="PARTITION" in words,
            like=like,
            from_query="SELECT" in words or (not columns and not like),
            charset=_option_value(words, "CHARSET") or _option_value(words, "CHARACTER", "SET"),
            collation=_option_value(words, "COLLATE"),
            engine=_option_value(words, "ENGINE"),
        )

    def _elements(
        self,
        table: Name,
        columns: list[Column],
        constraints: list[Constraint],
        indexes: list[ops.CreateIndex],
    ) -> None:
        cursor = self.cursor
        while True:
            element = table_element(cursor, table, self.engine)
            if isinstance(element, Column):
                columns.append(element)
            elif isinstance(element, Constraint):
                constraints.append(element)
            else:
                indexes.append(element)
            # SQLite lets table constraints follow each other without a comma.
            if not cursor.accept(",") and not (self.engine == "sqlite" and cursor.at_any(*_CONSTRAINTS)):
                break

    def _create_index(self, kind: str | None) -> Iterator[Operation]:
        cursor = self.cursor
        absent = if_not_exists(cursor)
        index = name(cursor)
        if cursor.accept("USING"):
            cursor.next()
        cursor.expect("ON")
        table = name(cursor)
        if index.schema is not None and table.schema is None:
            table = Name(table.name, index.schema)
        keys = key_columns(cursor.text, cursor.parenthesised())
        where = None
        if cursor.accept("WHERE"):
            where = TextExpression(cursor.text, cursor.tokens[cursor.position :])
            self._rest()
        self._index_clauses()
        special = kind.lower() if kind in ("FULLTEXT", "SPATIAL") else None
        yield ops.CreateIndex(
            table, index.name, keys, kind == "UNIQUE", if_not_exists=absent, where=where, kind=special
        )

    def _index_clauses(self) -> None:
        cursor = self.cursor
        while not cursor.done:
            word = cursor.next().value
            if word in ("ALGORITHM", "LOCK"):
                cursor.accept("=")
                self.clauses.append((word, cursor.next().value))
            elif word in ("USING", "KEY_BLOCK_SIZE", "COMMENT"):
                cursor.accept("=")
                cursor.next()
            elif word == "WITH" and cursor.accept("PARSER"):
                cursor.next()
            elif word not in ("VISIBLE", "INVISIBLE", "IGNORED", "NOWAIT"):
                cursor.position -= 1
                raise cursor.problem("unknown option of an index")

    # DROP, ALTER, RENAME

    def _drop(self) -> Iterator[Operation]:
        cursor = self.cursor
        cursor.accept("TEMPORARY")
        kind = cursor.next().value
        exists = cursor.accept("IF", "EXISTS")
        if kind in ("TABLE", "TABLES"):
            tables = [name(cursor)]
            while cursor.accept(","):
                tables.append(name(cursor))
            cascade = cursor.accept_any("CASCADE", "RESTRICT") == "CASCADE"
            for table in tables:
                yield ops.DropTable(table, exists, cascade)
        elif kind == "INDEX":
            index = name(cursor)
            table_name = name(cursor) if cursor.accept("ON") else None
            self._index_clauses()
            yield ops.DropIndex(index, table_name, if_exists=exists)
        elif kind in ("VIEW", "TRIGGER", *_CREATED):
            while True:
                yield ops.DropObject(kind.lower(), name(cursor), exists)
                if not cursor.accept(","):
                    break
            self._rest()
        else:
            cursor.position -= 1
            raise cursor.problem("not something that is known to be dropped")

    def _alter(self) -> Iterator[Operation]:
        cursor = self.cursor
        cursor.accept_any("ONLINE", "IGNORE")
        if cursor.accept("TABLE"):
            cursor.accept("IF", "EXISTS")
            table = name(cursor)
            if cursor.accept("WAIT"):
                cursor.next()
            cursor.accept("NOWAIT")
            if cursor.done:
                raise cursor.problem("ALTER TABLE without an action")
            actions = AlterTable(cursor, table, self.engine)
            yield from actions.actions()
            self.clauses.extend(actions.clauses)
            return
        word = cursor.accept_any(*_CREATED, "VIEW", "ALGORITHM", "DEFINER", "SQL", "INSTANCE")
        if word is None or self.engine == "sqlite":
            raise cursor.problem("not something that is known to be altered")
        self._rest()
        yield ops.AlterObject(word.lower(), None, "options")

    def _rename(self) -> Iterator[Operation]:
        cursor = self.cursor
        if cursor.accept("USER"):
            self._rest()
            yield ops.Other("rename-user")
            return
        if cursor.accept_any("TABLE", "TABLES") is None:
            raise cursor.problem("expected TABLE")
        cursor.accept("IF", "EXISTS")
        while True:
            old = name(cursor)
            cursor.expect("TO")
            new = name(cursor)
            yield ops.RenameTable(old, new.name, new.schema)
            if not cursor.accept(","):
                break

    # Data

    def _insert(self) -> Iterator[Operation]:
        cursor = self.cursor
        cursor.until("INTO", "VALUES", "SELECT", "SET")
        if not cursor.accept("INTO"):
            cursor.position = 1
            while cursor.accept_any("LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE"):
                continue
        table = name(cursor)
        if cursor.done:
            raise cursor.problem("INSERT without values")
        words = [token.value for token in cursor.tokens[cursor.position :]]
        self._rest()
        yield ops.Insert(table, "SELECT" in words)

    def _update(self) -> Iterator[Operation]:
        cursor = self.cursor
        if cursor.accept("OR"):
            cursor.next()
        while cursor.accept_any("LOW_PRIORITY", "IGNORE"):
            continue
        table = name(cursor)
        cursor.until("SET")
        cursor.expect("SET")
        assignments = cursor.until("WHERE", "LIMIT", "ORDER", "RETURNING")
        if not assignments:
            raise cursor.problem("UPDATE without an assignment")
        columns = tuple(
            (token.value if token.kind == "name" else token.text).lower()
            for token, after in pairwise(assignments)
            if after.text == "=" and token.kind in ("word", "name")
        )
        yield ops.Update(table, self._filtered(), tuple(dict.fromkeys(columns)))

    def _delete(self) -> Iterator[Operation]:
        cursor = self.cursor
        cursor.until("FROM")
        cursor.expect("FROM")
        table = name(cursor)
        cursor.until("WHERE", "LIMIT", "ORDER", "RETURNING")
        yield ops.Delete(table, self._filtered())

    def _filtered(self) -> bool:
        cursor = self.cursor
        limited = any(token.value == "LIMIT" for token in cursor.tokens[cursor.position :])
        condition = cursor.until("LIMIT", "ORDER", "RETURNING")[1:] if cursor.at("WHERE") else []
        self._rest()
        return limited or bool(condition and [token.value for token in condition] not in (["1"], ["TRUE"]))

    def _load(self) -> Iterator[Operation]:
        cursor = self.cursor
        cursor.until("INTO")
        cursor.expect("INTO")
        cursor.expect("TABLE")
        yield ops.Insert(name(cursor), from_query=True)
        self._rest()

    def _truncate(self) -> Iterator[Operation]:
        self.cursor.accept("TABLE")
        yield ops.Truncate(name(self.cursor))
        self.cursor.accept_any("NOWAIT")

    # Sessions

    def _set(self) -> Iterator[Operation]:
        cursor = self.cursor
        if cursor.at_any("NAMES", "CHARACTER", "CHARSET", "TRANSACTION", "PASSWORD", "ROLE", "DEFAULT", "STATEMENT"):
            statement = cursor.accept("STATEMENT")
            self._rest()
            yield ops.Opaque("SET STATEMENT ... FOR runs another statement") if statement else ops.Other("set")
            return
        while True:
            scope = cursor.accept_any("SESSION", "GLOBAL", "LOCAL", "PERSIST")
            variable = cursor.identifier().lower()
            while cursor.accept("."):
                variable = cursor.identifier().lower()
            if cursor.accept_any("=", ":=") is None:
                raise cursor.problem("expected =")
            value = cursor.until(",")
            if not value:
                raise cursor.problem("SET without a value")
            yield ops.SetVariable(
                variable.removeprefix("@@").removeprefix("session.") if not variable.startswith("@@global") else "",
                "".join(token.value for token in value).lower(),
                local=scope == "LOCAL",
            )
            if not cursor.accept(","):
                break

    def _lock(self) -> Iterator[Operation]:
        cursor = self.cursor
        if cursor.accept_any("TABLES", "TABLE") is None:
            self._rest()
            yield ops.Other("lock-instance")
            return
        while True:
            table = name(cursor)
            words = [token.value for token in cursor.until(",")]
            yield ops.LockTable(table, "WRITE" if "WRITE" in words else "READ")
            if not cursor.accept(","):
                break

    def _flush(self) -> Iterator[Operation]:
        cursor = self.cursor
        cursor.accept_any("LOCAL", "NO_WRITE_TO_BINLOG")
        tables: list[Name] = []
        locks = False
        if cursor.accept_any("TABLES", "TABLE") is not None:
            while not cursor.done and not cursor.at_any("WITH", "FOR"):
                tables.append(name(cursor))
                cursor.accept(",")
            locks = not cursor.done  # WITH READ LOCK, or FOR EXPORT
        self._rest()
        if not locks:
            yield ops.Other("flush")
        elif tables:
            yield from (ops.LockTable(table, "READ") for table in tables)
        else:
            yield ops.LockServer()

    def _optimize(self) -> Iterator[Operation]:
        cursor = self.cursor
        cursor.accept_any("NO_WRITE_TO_BINLOG", "LOCAL")
        if cursor.accept_any("TABLE", "TABLES") is None:
            raise cursor.problem("expected TABLE")
        while True:
            yield ops.Vacuum("optimize", name(cursor), rewrites=True)
            if not cursor.accept(","):
                break
        self._rest()

    def _pragma(self) -> Iterator[Operation]:
        cursor = self.cursor
        pragma = name(cursor)
        value = None
        if cursor.accept("="):
            value = cursor.next().value
        elif cursor.at("("):
            value = "".join(token.value for token in cursor.parenthesised())
        self._rest()
        yield ops.SetVariable(pragma.name.lower(), value.lower() if value is not None else None)

    def _vacuum(self) -> Iterator[Operation]:
        self._rest()
        yield ops.Vacuum("vacuum", None, rewrites=True)


def _option_value(words: list[str], *option: str) -> str | None:
    for index in range(len(words) - len(option)):
        if tuple(words[index : index + len(option)]) == option:
            rest = [word for word in words[index + len(option) :] if word != "="]
            return rest[0].lower() if rest else None
    return None


_CONSTRAINTS = ("CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN")
_CREATED = ("PROCEDURE", "FUNCTION", "EVENT", "DATABASE", "SCHEMA", "USER", "ROLE", "SEQUENCE", "SERVER", "VIRTUAL",
            "PACKAGE", "TABLESPACE", "LOGFILE", "UNDO", "RESOURCE")  # fmt: skip
_MYSQL_OTHERS = ("USE", "GRANT", "REVOKE", "UNLOCK", "SHOW", "DESCRIBE", "DESC", "CHECK", "CHECKSUM", "REPAIR",
                 "KILL", "RESET", "PURGE", "CACHE", "HELP", "DO", "HANDLER", "XA", "SIGNAL", "TABLE",
                 "INSTALL", "UNINSTALL", "BINLOG", "STOP", "CHANGE", "RESTART", "SHUTDOWN", "RESIGNAL")  # fmt: skip
