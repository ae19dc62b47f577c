"""The one seam over libpg_query: PostgreSQL text in, statements with their operations out.

Nothing else in the tool imports `postgast`. A whole file is parsed at once; only where that fails is it taken apart,
so that one statement that is not understood does not hide the others.
"""

from __future__ import annotations

import importlib
import json
import re
from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from senior_backend.migrate.operations import Insert, Name, Opaque, Operation, ParsedStatement, Query
from senior_backend.migrate.postgres_operations import PostgresExpression, operations_of, partition_bound, read_type
from senior_backend.migrate.statements import Statement, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from senior_backend.migrate.operations import PartitionBound, Type

# Its type stubs have a syntax error, over which mypy would stop.
postgast: Any = importlib.import_module("postgast")
_TooDeepError: Any = importlib.import_module("google.protobuf.message").DecodeError
"""Protobuf gives up on trees of more than a hundred levels, such as a sum of fifty terms."""
_LEADING = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*(?:[^*]|\*(?!/))*\*/)*")
_HARMLESS_META = frozenset(
    "\\" + word
    for word in (
        *("echo", "qecho", "warn", "set", "unset", "pset", "timing", "restrict", "unrestrict"),
        *("encoding", "x", "a", "t", ".", "conninfo"),
    )
)
"""psql's commands that change what is shown, not the database. The others (`\\i`, `\\gexec`, `\\if`, `\\!`) could."""
_TOO_DEEP = "its expressions are nested too deeply to be read"
_BLOCK_DEPTH = 3
"""A DO block's body is parsed this many levels deep; a block inside a block's EXECUTE is rare enough."""


def read(text: str) -> list[ParsedStatement]:
    """Return the statements of a PostgreSQL script with what each does, in order.

    What cannot be parsed becomes a statement with an `Opaque` operation.

    Raises:
        InputError: a quote or comment never ends, or the text holds a NUL character, at which the parser would stop
            without a word.
    """
    if "\0" in text:
        split(text, "postgresql")  # tells where
    if text.startswith("\ufeff"):
        text = " " + text[1:]
    try:
        return list(_from_tree(text, postgast.parse(text)))
    except (postgast.PgQueryError, _TooDeepError):
        return list(_one_by_one(text))


def deparse_expression(node: Any) -> str:
    """Return an expression of the tree as SQL."""
    tree = postgast.pg_query_pb2.ParseResult()
    target = tree.stmts.add().stmt.select_stmt.target_list.add().res_target
    target.val.CopyFrom(node)
    return str(postgast.deparse(tree)).removeprefix("SELECT ")


def expression(sql: str) -> PostgresExpression:
    """Return an expression that a live catalogue printed.

    Raises:
        ValueError: it is no expression.
    """
    return PostgresExpression(_target(f"SELECT {sql}"))


def type_of(sql: str) -> Type:
    """Return a type as `format_type` of a live catalogue prints it.

    Raises:
        ValueError: it is no type.
    """
    return read_type(_target(f"SELECT NULL::{sql}").type_cast.type_name)


def bound(sql: str) -> PartitionBound:
    """Return the bound of a partition as `pg_get_expr` prints it, such as `FOR VALUES FROM (1) TO (2)`.

    Raises:
        ValueError: it is no bound.
    """
    try:
        tree = postgast.parse(f"CREATE TABLE a PARTITION OF b {sql}")
    except postgast.PgQueryError as error:
        raise ValueError(sql) from error
    return partition_bound(tree.stmts[0].stmt.create_stmt.partbound)


def _target(query: str) -> Any:
    try:
        tree = postgast.parse(query)
    except (postgast.PgQueryError, _TooDeepError) as error:
        raise ValueError(query) from error
    return tree.stmts[0].stmt.select_stmt.target_list[0].res_target.val


class _Places:
    """Byte offsets of the parser to character offsets, lines and columns of the text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = [0, *(match.end() for match in re.finditer("\n", text))]
        self.to_character: Callable[[int], int] = int
        if not text.isascii():
            # Where each character starts in UTF-8; one pass, then a binary search per statement.
            starts = list(
                accumulate((len(character.encode("utf-8", "surrogatepass")) for character in text), initial=0)
            )
            self.to_character = lambda offset: bisect_right(starts, offset) - 1

    def statement(self, start: int, end: int) -> Statement:
        """Return the statement between two character offsets, without what leads and follows it."""
        text = self.text
        if text[start].isspace() or text[start] in "-/":
            match = _LEADING.match(text, start, end)
            start = match.end() if match else start
        body = text[start:end].rstrip()
        line = bisect_right(self.lines, start)
        return Statement(body, start, start + len(body), line, start - self.lines[line - 1] + 1)


def _from_tree(text: str, tree: Any) -> Iterator[ParsedStatement]:
    places = _Places(text)
    last = len(text)
    for raw in tree.stmts:
        start = places.to_character(raw.stmt_location)
        end = places.to_character(raw.stmt_location + raw.stmt_len) if raw.stmt_len else last
        yield _parsed(places.statement(start, end), raw.stmt)


def _parsed(statement: Statement, node: Any) -> ParsedStatement:
    kind = node.WhichOneof("node")
    body = getattr(node, kind)
    if kind == "do_stmt":
        return ParsedStatement(statement, tuple(_block_operations(statement.text, body, _BLOCK_DEPTH)), block=True)
    return ParsedStatement(statement, tuple(operations_of(kind, body)))


def _one_by_one(text: str) -> Iterator[ParsedStatement]:
    for statement in split(text, "postgresql"):
        if statement.meta:
            word = statement.text.split()[0]
            if word not in _HARMLESS_META:
                reason = f"psql's {word} is not SQL: what it does is not in this file"
                yield ParsedStatement(statement, (Opaque(reason, statement.start),))
            continue
        try:
            tree = postgast.parse(statement.text)
        except postgast.PgQueryError as error:
            offset = None if error.cursorpos is None else statement.start + max(error.cursorpos - 1, 0)
            yield ParsedStatement(statement, (Opaque(str(error), offset),))
            continue
        except _TooDeepError:
            yield ParsedStatement(statement, (_shallow(statement.text),))
            continue
        for raw in tree.stmts:
            yield _parsed(statement, raw.stmt)


_INSERT = re.compile(r'insert\s+into\s+(?:(\w+|"[^"]+")\s*\.\s*)?(\w+|"[^"]+")', re.IGNORECASE)
_DOES_MORE = re.compile(r"\b(?:into|update|delete|insert)\b", re.IGNORECASE)


def _shallow(text: str) -> Operation:
    """Return what a valid statement does that is too deep to be looked into: only SELECT and INSERT show it."""
    if text[:6].lower() == "select" and not _DOES_MORE.search(text):
        return Query()
    insert = _INSERT.match(text)
    if insert is None:
        return Opaque(_TOO_DEEP)
    schema, name = (part.strip('"') if part else None for part in insert.groups())
    return Insert(Name(name or "", schema), re.search(r"\bselect\b", text, re.IGNORECASE) is not None)


def _block_operations(text: str, node: Any, depth: int) -> Iterator[Operation]:
    """Yield what the statements inside a DO block do; branches are taken as executed."""
    for argument in node.args:
        element = argument.def_elem
        if element.defname == "language" and element.arg.string.sval != "plpgsql":
            yield Opaque(f"a DO block in {element.arg.string.sval}")
            return
    try:
        functions = postgast.parse_plpgsql(text)
    except (postgast.PgQueryError, json.JSONDecodeError) as error:
        yield Opaque(f"the DO block cannot be read: {error}")
        return
    for kind, value in _plpgsql_statements(functions):
        if kind == "PLpgSQL_stmt_execsql":
            yield from _inner(value["sqlstmt"]["PLpgSQL_expr"]["query"], depth)
        elif kind == "PLpgSQL_stmt_dynexecute":
            query = value["query"]["PLpgSQL_expr"]["query"]
            constant = _string_constant(query)
            if constant is None:
                yield Opaque(f"EXECUTE of a string put together at run time: {query}")
            else:
                yield from _inner(constant, depth)


def _plpgsql_statements(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key in ("PLpgSQL_stmt_execsql", "PLpgSQL_stmt_dynexecute"):
                yield key, inner
            else:
                yield from _plpgsql_statements(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _plpgsql_statements(inner)


def _inner(sql: str, depth: int) -> Iterator[Operation]:
    if depth == 0:
        yield Opaque("a DO block inside a DO block")
        return
    try:
        tree = postgast.parse(sql)
    except postgast.PgQueryError as error:
        yield Opaque(f"{error}, in: {sql}")
        return
    except _TooDeepError:
        yield Opaque(_TOO_DEEP)
        return
    for raw in tree.stmts:
        kind = raw.stmt.WhichOneof("node")
        body = getattr(raw.stmt, kind)
        if kind == "do_stmt":
            yield from _block_operations(sql, body, depth - 1)
        else:
            yield from operations_of(kind, body)


def _string_constant(expression: str) -> str | None:
    try:
        tree = postgast.parse(f"SELECT {expression}")
    except (postgast.PgQueryError, _TooDeepError):
        return None
    value = tree.stmts[0].stmt.select_stmt.target_list[0].res_target.val
    if value.WhichOneof("node") != "a_const" or not value.a_const.HasField("sval"):
        return None
    return str(value.a_const.sval.sval)
