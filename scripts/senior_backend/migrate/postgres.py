"""The one seam over libpg_query: PostgreSQL text in, statements with their operations out.

Nothing else in the tool imports `postgast`. A file is parsed in few pieces; only where that fails is it taken apart,
so that one statement that is not understood does not hide the others.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import re
from bisect import bisect_right
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

from senior_backend.migrate.operations import (
    CreateIndex,
    Insert,
    Name,
    Opaque,
    Operation,
    Other,
    ParsedStatement,
    Query,
)
from senior_backend.migrate.postgres_operations import PostgresExpression, operations_of, partition_bound, read_type
from senior_backend.migrate.statements import Statement, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

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
Functions = dict[str, tuple[str, Any]]
"""The functions that a script has created so far: name, and its statement as text and tree."""
_TOO_DEEP = "its expressions are nested too deeply to be read"
_PIECE = 50_000
"""Characters that are parsed at once; a few hundred statements, so that the reader soon has something to read."""
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
    pieces = _pieces(text)
    if len(pieces) > 1:
        with contextlib.suppress(postgast.PgQueryError, _TooDeepError, _CutError):
            return list(_from_trees(text, _parsed_ahead(pieces)))
    try:
        return list(_from_trees(text, [(0, postgast.parse(text))]))
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


class _CutError(Exception):
    """A piece of a text ends inside of a statement."""


def _pieces(text: str) -> list[str]:
    """Cut a long text where statements seem to end: behind a semicolon at the end of a line."""
    cuts = [0]
    while (end := text.find(";\n", cuts[-1] + _PIECE)) >= 0:
        cuts.append(end + 2)
    return [text[start:end] for start, end in pairwise((*cuts, len(text))) if start < end]


def _parsed_ahead(pieces: list[str]) -> Iterator[tuple[int, Any]]:
    """Yield the tree of each piece, with the bytes before it; a thread parses the next ones meanwhile.

    A cut inside of a quote, a block comment or parentheses leaves a piece that cannot be parsed; one behind a line
    comment leaves a statement without its semicolon.

    Raises:
        PgQueryError, _TooDeepError, _CutError: a piece is not made of whole statements.
    """
    from concurrent.futures import ThreadPoolExecutor

    offset = 0
    with ThreadPoolExecutor(1) as pool:
        for piece, tree in zip(pieces, pool.map(postgast.parse, pieces), strict=True):
            if piece is not pieces[-1] and tree.stmts and not tree.stmts[-1].stmt_len:
                raise _CutError
            yield offset, tree
            offset += len(piece.encode())


def _from_trees(text: str, trees: Iterable[tuple[int, Any]]) -> Iterator[ParsedStatement]:
    """Yield the statements of a text whose parts were parsed into `trees`, each with the bytes before it."""
    places = _Places(text)
    last = len(text)
    functions: Functions = {}
    for offset, tree in trees:
        for raw in tree.stmts:
            location = offset + raw.stmt_location
            start = places.to_character(location)
            end = places.to_character(location + raw.stmt_len) if raw.stmt_len else last
            yield _parsed(places.statement(start, end), raw.stmt, functions)


def _parsed(statement: Statement, node: Any, functions: Functions) -> ParsedStatement:
    kind = node.WhichOneof("node")
    body = getattr(node, kind)
    if kind == "do_stmt":
        return ParsedStatement(statement, tuple(_block_operations(statement.text, body, _BLOCK_DEPTH)), block=True)
    if kind == "create_function_stmt":
        functions[body.funcname[-1].string.sval] = (statement.text, body)
    elif functions and kind in ("select_stmt", "call_stmt"):
        called = [functions[name] for name in _called(kind, body) if name in functions]
        if called:
            inside = (one for text, function in called for one in _function_operations(text, function))
            return ParsedStatement(statement, tuple(inside) or (Query(),), block=True)
    return ParsedStatement(statement, tuple(operations_of(kind, body)))


def _called(kind: str, node: Any) -> Iterator[str]:
    """Yield the functions that CALL, or SELECT as its columns, calls."""
    if kind == "call_stmt":
        yield node.funccall.funcname[-1].string.sval
        return
    for item in node.target_list:
        call = item.res_target.val.func_call
        if call.funcname:
            yield call.funcname[-1].string.sval


def _function_operations(text: str, node: Any) -> Iterator[Operation]:
    """Yield what the body of a function does that the same script has created."""
    options = {item.def_elem.defname: item.def_elem.arg for item in node.options}
    language = options["language"].string.sval.lower() if "language" in options else "sql"
    if language == "plpgsql":
        yield from _plpgsql_operations(text, _BLOCK_DEPTH)
    elif language == "sql" and "as" in options:
        yield from _inner(options["as"].list.items[0].string.sval, _BLOCK_DEPTH)
    elif language != "sql":
        yield Opaque(f"a function in {language}")


def _one_by_one(text: str) -> Iterator[ParsedStatement]:
    functions: Functions = {}
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
            yield _parsed(statement, raw.stmt, functions)


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
    yield from _plpgsql_operations(text, depth)


def _plpgsql_operations(text: str, depth: int) -> Iterator[Operation]:
    """Yield what the PL/pgSQL of a DO block or CREATE FUNCTION does."""
    try:
        functions = postgast.parse_plpgsql(text)
    except (postgast.PgQueryError, json.JSONDecodeError) as error:
        yield Opaque(f"the block cannot be read: {error}")
        return
    unread: list[str] = []
    for kind, value in _plpgsql_statements(functions):
        if kind == "PLpgSQL_stmt_execsql":
            yield from _inner(value["sqlstmt"]["PLpgSQL_expr"]["query"], depth)
        elif kind == "PLpgSQL_stmt_dynexecute":
            query = value["query"]["PLpgSQL_expr"]["query"]
            operations = _executed(query, depth)
            if operations is None:
                unread.append(query)
            else:
                yield from operations
    if unread:
        more = f" (and {len(unread) - 1} more)" if len(unread) > 1 else ""
        yield Opaque(f"EXECUTE of a string put together at run time: {unread[0]}{more}")


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


_UNKNOWN = "known_at_run_time"
_PLACEHOLDER = re.compile(r"%(?:\d+\$)?-?\d*([sILM%])")
_UNKNOWN_PARTS = (_UNKNOWN, f"'{_UNKNOWN}'", "1")
"""What stands for a part that only the run tells: a name, a text or a number, whichever makes it a statement."""


def _executed(expression: str, depth: int) -> list[Operation] | None:
    """Return what EXECUTE of an expression does; None where the parts that only the run tells decide that."""
    if expression == "current_setting('db_migrate.views')":
        return []  # what `rewrite` keeps there makes views again that it has dropped
    try:
        node = _target(f"SELECT {expression}")
    except ValueError:
        return None
    constant = _text(node, None)
    if constant is not None:
        return list(_inner(constant, depth))
    for part in _UNKNOWN_PARTS:
        text = _text(node, part)
        operations = list(_inner(text, depth)) if text is not None else []
        if operations and all(isinstance(one, (Other, Query)) for one in operations):
            return []
        named = part == _UNKNOWN and operations
        if named and all(isinstance(one, CreateIndex) and _UNKNOWN not in str(one.table) for one in operations):
            return operations
    return None


def _text(node: Any, unknown: str | None) -> str | None:
    """Return the string that an expression makes, with `unknown` for each part that only the run tells.

    None where there is such a part and `unknown` is None, or where nothing of the string is known.
    """
    kind = node.WhichOneof("node")
    if kind == "a_const" and node.a_const.HasField("sval"):
        return str(node.a_const.sval.sval)
    if kind == "a_expr" and node.a_expr.name[-1].string.sval == "||":
        left, right = _text(node.a_expr.lexpr, unknown), _text(node.a_expr.rexpr, unknown)
        left, right = unknown if left is None else left, unknown if right is None else right
        return None if left is None or right is None else left + right
    if kind == "func_call" and node.func_call.args and node.func_call.funcname[-1].string.sval == "format":
        pattern = _text(node.func_call.args[0], None)
        arguments = [_text(argument, None) for argument in node.func_call.args[1:]]
        if pattern is None or (unknown is None and None in arguments):
            return None
        return _formatted(pattern, arguments, unknown or "")
    return None


def _formatted(pattern: str, arguments: list[str | None], unknown: str) -> str:
    """Return what `format()` makes of a pattern; arguments that only the run tells are None."""
    waiting = iter(arguments)

    def part(match: re.Match[str]) -> str:
        kind = match[1]
        if kind == "%":
            return "%"
        value = next(waiting, None)
        if value is None:
            return f"'{_UNKNOWN}'" if kind == "L" else _UNKNOWN if kind == "I" else unknown
        if kind == "L":
            return "'" + value.replace("'", "''") + "'"
        return '"' + value.replace('"', '""') + '"' if kind == "I" else value

    return _PLACEHOLDER.sub(part, pattern)
