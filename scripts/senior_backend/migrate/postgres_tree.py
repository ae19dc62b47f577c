"""libpg_query, called through ctypes: SQL text in, its parse tree as plain dicts and lists out.

The tree is that of libpg_query's JSON. A node of any kind is a dict of one key, its kind (`{"ColumnDef": {…}}`); one of
a known kind is its body alone. What is false, zero, empty or missing is left out; enumerations are their C names.

The library comes with `postgast`, whose own module makes a class for each of 270 kinds of messages; that takes longer
than to check a migration. So the two functions that are needed are declared here, as `pg_query.h` does, and the module
is imported only where an expression is printed, since the library prints protobuf only.
"""

from __future__ import annotations

import ctypes
import functools
import importlib
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

Node = dict[str, Any]
NOTHING: Node = {}
"""What stands for a part that a node does not have; never changed."""
_MOST_LEVELS = 100
"""Protobuf, through which expressions are printed, reads no deeper tree: a sum of fifty terms is one."""


class ParseError(Exception):
    """The text is not SQL; `cursorpos` is the place of the error, counted from one."""

    def __init__(self, message: str, cursorpos: int) -> None:
        super().__init__(message)
        self.cursorpos = cursorpos


class TooDeepError(Exception):
    """Expressions are nested deeper than can be read."""


class _Error(ctypes.Structure):
    _fields_ = (
        ("message", ctypes.c_char_p),
        ("funcname", ctypes.c_char_p),
        ("filename", ctypes.c_char_p),
        ("lineno", ctypes.c_int),
        ("cursorpos", ctypes.c_int),
        ("context", ctypes.c_char_p),
    )


class _Tree(ctypes.Structure):
    _fields_ = (
        ("parse_tree", ctypes.c_char_p),
        ("stderr_buffer", ctypes.c_char_p),
        ("error", ctypes.POINTER(_Error)),
    )


class _PlpgsqlTree(ctypes.Structure):
    _fields_ = (("plpgsql_funcs", ctypes.c_char_p), ("error", ctypes.POINTER(_Error)))


def _loaded() -> Any:
    package = find_spec("postgast")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("No module named 'postgast'", name="postgast")
    folder = Path(package.origin).parent
    vendored = (folder / name for name in ("libpg_query.so", "libpg_query.dylib", "pg_query.dll"))
    path = next((str(path) for path in vendored if path.is_file()), None)
    if path is None:
        from ctypes.util import find_library

        path = find_library("pg_query")  # the system's, as the package takes it that was built from its sources
    if path is None:
        raise ModuleNotFoundError("postgast is there without libpg_query", name="postgast")
    library: Any = ctypes.CDLL(path)
    library.pg_query_parse.argtypes = library.pg_query_parse_plpgsql.argtypes = (ctypes.c_char_p,)
    library.pg_query_parse.restype = _Tree
    library.pg_query_parse_plpgsql.restype = _PlpgsqlTree
    library.pg_query_free_parse_result.argtypes = (_Tree,)
    library.pg_query_free_plpgsql_parse_result.argtypes = (_PlpgsqlTree,)
    return library


_library = _loaded()
_decoder = json.JSONDecoder()
_STATEMENT = '{"stmt":'
_TAIL = 70
"""Characters in which the place of a statement fits, and what follows it in the tree."""


class Parsed:
    """A statement of the tree, still as JSON: what nobody asks for is never made into objects.

    `start` is its place in the text, in bytes, `end` the one behind it; None for a last one without a semicolon.
    """

    __slots__ = ("end", "kind", "start", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.kind = text[2 : text.index('"', 2)]
        tail = text[-_TAIL:]
        # Each is cut off at the comma or bracket behind it, and left out where it is zero.
        place, _, length = tail.partition('"stmt_location":')[2].partition(',"stmt_len":')
        self.start = int(place.partition("}")[0] or 0)
        length = length or tail.partition('"stmt_len":')[2]
        self.end = self.start + int(length.partition("}")[0]) if length else None

    @property
    def body(self) -> Node:
        """What it holds.

        Raises:
            TooDeepError: it is nested too deeply.
        """
        try:
            node, _ = _decoder.raw_decode(self.text)
        except RecursionError as error:
            raise TooDeepError from error
        if self.text.count("{") >= _MOST_LEVELS and _too_deep(node):
            raise TooDeepError
        body: Node = node[self.kind]
        return body

    def mentions(self, key: str) -> bool:
        """Whether it, or any part of it, has a key; quotes inside of its strings are escaped."""
        return f'"{key}":' in self.text

    @property
    def relation(self) -> Node:
        """The table of a statement whose tree starts with it."""
        relation: Node
        relation, _ = _decoder.raw_decode(self.text, self.text.index(":", len(self.kind) + 4) + 1)
        return relation


def parse(text: str) -> list[Parsed]:
    """Return the statements of a text.

    Raises:
        ParseError: it is not SQL.
    """
    return statements_of(tree_of(text))


def tree_of(text: str) -> str:
    """Return the tree of a text as JSON; other threads run meanwhile.

    Raises:
        ParseError: it is not SQL.
    """
    result = _library.pg_query_parse(text.encode())
    try:
        _check(result)
        return str(result.parse_tree.decode())
    finally:
        _library.pg_query_free_parse_result(result)


def statements_of(tree: str) -> list[Parsed]:
    """Return the statements of a tree."""
    return [Parsed(text) for text in tree.split(_STATEMENT)[1:]]


def parse_plpgsql(text: str) -> Any:
    """Return the functions of a text as libpg_query's JSON shows their PL/pgSQL.

    Raises:
        ParseError: it is not PL/pgSQL.
        JSONDecodeError: the library's JSON is broken, as it is for some statements.
    """
    result = _library.pg_query_parse_plpgsql(text.encode())
    try:
        _check(result)
        return json.loads(result.plpgsql_funcs)
    finally:
        _library.pg_query_free_plpgsql_parse_result(result)


def expression_sql(node: Node) -> str:
    """Return an expression of the tree as SQL."""
    # Its type stubs have a syntax error, over which mypy would stop.
    postgast: Any = importlib.import_module("postgast")
    target = {"res_target": {"val": _renamed(node, _protobuf_names())}}
    tree = postgast.ParseResult(stmts=[{"stmt": {"select_stmt": {"target_list": [target]}}}])
    return str(postgast.deparse(tree)).removeprefix("SELECT ")


def opened(node: Node) -> tuple[str, Node]:
    """Return the kind and the body of a node that may be of any kind."""
    return next(iter(node.items()), ("", NOTHING))


def within(node: Node, *path: str) -> Node:
    """Return what a path of keys leads to; `NOTHING` where it leads nowhere."""
    for key in path:
        node = node.get(key, NOTHING)
    return node


def _check(result: Any) -> None:
    if result.error:
        error = result.error.contents
        raise ParseError(error.message.decode(), error.cursorpos)


def _too_deep(statement: Node) -> bool:
    level: list[Any] = [statement]
    for _ in range(_MOST_LEVELS - 1):
        level = [part for node in level for value in node.values() for part in _nodes(value)]
        if not level:
            return False
    return True


def _nodes(value: Any) -> list[Node]:
    """Return the nodes that are a value, or in a list."""
    if isinstance(value, dict):
        return [value]
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []


@functools.cache
def _protobuf_names() -> dict[str, str]:
    """Return how protobuf spells the keys of the tree."""
    messages = importlib.import_module("postgast").pg_query_pb2.DESCRIPTOR.message_types_by_name.values()
    return {field.json_name: field.name for message in messages for field in message.fields}


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        return {names[key]: _renamed(inner, names) for key, inner in value.items()}
    if isinstance(value, list):
        return [_renamed(inner, names) for inner in value]
    return value
