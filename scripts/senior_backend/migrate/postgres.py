"""PostgreSQL text in, statements with their operations out.

A file is parsed in few pieces; only where that fails is it taken apart,
so that one statement that is not understood does not hide the others.
"""

from __future__ import annotations

import contextlib
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
from senior_backend.migrate.postgres_operations import (
    PostgresExpression,
    operations_in,
    operations_of,
    partition_bound,
    read_type,
)
from senior_backend.migrate.postgres_tree import (
    NOTHING,
    Node,
    Parsed,
    ParseError,
    TooDeepError,
    opened,
    parse,
    parse_plpgsql,
    statements_of,
    tree_of,
    within,
)
from senior_backend.migrate.statements import Statement, split

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from senior_backend.migrate.operations import PartitionBound, Type

_LEADING = re.compile(r"(?:\s+|--[^\n]*(?:\n|$)|/\*(?:[^*]|\*(?!/))*\*/)*")
_HARMLESS_META = frozenset(
    "\\" + word
    for word in (
        *("echo", "qecho", "warn", "set", "unset", "pset", "timing", "restrict", "unrestrict"),
        *("encoding", "x", "a", "t", ".", "conninfo"),
    )
)
"""psql's commands that change what is shown, not the database. The others (`\\i`, `\\gexec`, `\\if`, `\\!`) could."""
Functions = dict[str, tuple[str, Node]]
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
        with contextlib.suppress(ParseError, TooDeepError, _CutError):
            return list(_from_trees(text, _parsed_ahead(pieces)))
    try:
        return list(_from_trees(text, [(0, parse(text))]))
    except (ParseError, TooDeepError):
        return list(_one_by_one(text))


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
    return read_type(_target(f"SELECT NULL::{sql}")["TypeCast"]["typeName"])


def bound(sql: str) -> PartitionBound:
    """Return the bound of a partition as `pg_get_expr` prints it, such as `FOR VALUES FROM (1) TO (2)`.

    Raises:
        ValueError: it is no bound.
    """
    try:
        statements = parse(f"CREATE TABLE a PARTITION OF b {sql}")
    except ParseError as error:
        raise ValueError(sql) from error
    return partition_bound(statements[0].body["partbound"])


def _target(query: str) -> Node:
    try:
        target: Node = parse(query)[0].body["targetList"][0]["ResTarget"]["val"]
    except (ParseError, TooDeepError) as error:
        raise ValueError(query) from error
    return target


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
        body = self.text[start:end].strip()
        start = self.text.index(body, start)
        if body[0] in "-/" and (match := _LEADING.match(self.text, start, end)):
            start = match.end()
            body = self.text[start:end].rstrip()
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


def _parsed_ahead(pieces: list[str]) -> Iterator[tuple[int, list[Parsed]]]:
    """Yield the statements of each piece, with the bytes before it; a thread parses the next ones meanwhile.

    A cut inside of a quote, a block comment or parentheses leaves a piece that cannot be parsed; one behind a line
    comment leaves a statement without its semicolon.

    Raises:
        ParseError, _CutError: a piece is not made of whole statements.
    """
    from concurrent.futures import ThreadPoolExecutor

    offset = 0
    with ThreadPoolExecutor(1) as pool:
        for piece, tree in zip(pieces, pool.map(tree_of, pieces), strict=True):
            statements = statements_of(tree)
            if piece is not pieces[-1] and statements and statements[-1].end is None:
                raise _CutError
            yield offset, statements
            offset += len(piece.encode())


def _from_trees(text: str, trees: Iterable[tuple[int, list[Parsed]]]) -> Iterator[ParsedStatement]:
    """Yield the statements of a text whose parts were parsed into `trees`, each with the bytes before it."""
    places = _Places(text)
    last = len(text)
    functions: Functions = {}
    to_character = places.to_character
    for offset, statements in trees:
        for one in statements:
            start = to_character(offset + one.start)
            end = last if one.end is None else to_character(offset + one.end)
            yield _parsed(places.statement(start, end), one, functions)


def _parsed(statement: Statement, one: Parsed, functions: Functions) -> ParsedStatement:
    """Return a statement with what it does.

    Raises:
        TooDeepError: it is nested too deeply.
    """
    kind = one.kind
    if kind == "DoStmt":
        return ParsedStatement(statement, tuple(_block_operations(statement.text, one.body, _BLOCK_DEPTH)), block=True)
    if kind == "CreateFunctionStmt":
        functions[_last_name(one.body["funcname"])] = (statement.text, one.body)
    elif functions and kind in ("SelectStmt", "CallStmt"):
        called = [functions[name] for name in _called(kind, one.body) if name in functions]
        if called:
            inside = (one for text, function in called for one in _function_operations(text, function))
            return ParsedStatement(statement, tuple(inside) or (Query(),), block=True)
    return ParsedStatement(statement, tuple(operations_in(one)))


def _last_name(names: list[Node]) -> str:
    name: str = names[-1]["String"]["sval"]
    return name


def _called(kind: str, node: Node) -> Iterator[str]:
    """Yield the functions that CALL, or SELECT as its columns, calls."""
    if kind == "CallStmt":
        yield _last_name(node["funccall"]["funcname"])
        return
    for item in node.get("targetList", ()):
        call = within(item, "ResTarget", "val", "FuncCall")
        if call:
            yield _last_name(call["funcname"])


def _function_operations(text: str, node: Node) -> Iterator[Operation]:
    """Yield what the body of a function does that the same script has created."""
    elements = [item["DefElem"] for item in node.get("options", ())]
    options = {element["defname"]: element.get("arg", NOTHING) for element in elements}
    language = options["language"]["String"]["sval"].lower() if "language" in options else "sql"
    if language == "plpgsql":
        yield from _plpgsql_operations(text, _BLOCK_DEPTH)
    elif language == "sql" and "as" in options:
        yield from _inner(options["as"]["List"]["items"][0]["String"]["sval"], _BLOCK_DEPTH)
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
            yield from [_parsed(statement, one, functions) for one in parse(statement.text)]
        except ParseError as error:
            offset = statement.start + max(error.cursorpos - 1, 0)
            yield ParsedStatement(statement, (Opaque(str(error), offset),))
        except TooDeepError:
            yield ParsedStatement(statement, (_shallow(statement.text),))


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


def _block_operations(text: str, node: Node, depth: int) -> Iterator[Operation]:
    """Yield what the statements inside a DO block do; branches are taken as executed."""
    for argument in node["args"]:
        element = argument["DefElem"]
        if element["defname"] == "language" and (language := element["arg"]["String"]["sval"]) != "plpgsql":
            yield Opaque(f"a DO block in {language}")
            return
    yield from _plpgsql_operations(text, depth)


def _plpgsql_operations(text: str, depth: int) -> Iterator[Operation]:
    """Yield what the PL/pgSQL of a DO block or CREATE FUNCTION does."""
    try:
        functions = parse_plpgsql(text)
    except (ParseError, json.JSONDecodeError) as error:
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
        statements = [(one.kind, one.body) for one in parse(sql)]
    except ParseError as error:
        yield Opaque(f"{error}, in: {sql}")
        return
    except TooDeepError:
        yield Opaque(_TOO_DEEP)
        return
    for kind, body in statements:
        if kind == "DoStmt":
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


def _text(node: Node, unknown: str | None) -> str | None:
    """Return the string that an expression makes, with `unknown` for each part that only the run tells.

    None where there is such a part and `unknown` is None, or where nothing of the string is known.
    """
    kind, body = opened(node)
    if kind == "A_Const" and "sval" in body:
        return str(body["sval"]["sval"])
    if kind == "A_Expr" and _last_name(body["name"]) == "||":
        left, right = (_text(body.get(side, NOTHING), unknown) for side in ("lexpr", "rexpr"))
        left, right = unknown if left is None else left, unknown if right is None else right
        return None if left is None or right is None else left + right
    if kind == "FuncCall" and "args" in body and _last_name(body["funcname"]) == "format":
        pattern, *arguments = (_text(argument, None) for argument in body["args"])
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
