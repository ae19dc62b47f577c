"""Which columns a query or a condition names, as far as its text tells: what PostgreSQL records in pg_depend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from senior_backend.migrate.operations import ColumnUse, Name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Scope = dict[str, "Name | None"]
"""The sources of one level of a query by the name under which its columns are found; None for what is no table."""


def uses(node: Any, sources: Mapping[str, Name | None] | None = None) -> Iterator[ColumnUse]:
    """Yield the columns named in a part of the tree; `sources` are those that its surroundings give it."""
    yield from _walk(node, (dict(sources),) if sources else (), frozenset())


def _walk(node: Any, scopes: tuple[Scope, ...], queries: frozenset[str]) -> Iterator[ColumnUse]:
    kind = node.DESCRIPTOR.name
    if kind == "ColumnRef":
        yield from _column(node, scopes)
        return
    if kind in ("SelectStmt", "UpdateStmt", "DeleteStmt", "InsertStmt"):
        queries |= {item.common_table_expr.ctename for item in node.with_clause.ctes}
        scope: Scope = {}
        for item in node.from_clause if kind == "SelectStmt" else ():
            scope |= _sources(item, queries)
        scopes = (scope, *scopes) if scope else scopes
    elif kind == "JoinExpr":
        for name in node.using_clause:
            yield ColumnUse(name.string.sval, (tuple(scopes[0].values()),))
    for field, value in node.ListFields():
        if field.message_type is not None:
            for part in value if hasattr(value, "append") else (value,):
                yield from _walk(part, scopes, queries)


def _sources(node: Any, queries: frozenset[str]) -> Scope:
    """Return what one item of a FROM clause gives, by alias or name."""
    kind = node.WhichOneof("node")
    item = getattr(node, kind)
    if kind == "join_expr":
        return _sources(item.larg, queries) | _sources(item.rarg, queries)
    if kind != "range_var":
        return {item.alias.aliasname: None} if hasattr(item, "alias") else {}
    query = not item.schemaname and item.relname in queries
    table = None if query else Name(item.relname, item.schemaname or None)
    return {item.alias.aliasname or item.relname: table}


def _column(node: Any, scopes: tuple[Scope, ...]) -> Iterator[ColumnUse]:
    last = node.fields[-1]
    column = last.string.sval if last.HasField("string") else None
    if len(node.fields) == 1:
        levels = scopes[:1] if column is None else scopes
        yield ColumnUse(column, tuple(tuple(scope.values()) for scope in levels))
        return
    source = node.fields[-2].string.sval
    for scope in scopes:
        if source in scope:
            yield ColumnUse(column, ((scope[source],),))
            return
