"""Which columns a query or a condition names, as far as its text tells: what PostgreSQL records in pg_depend."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate.operations import ColumnUse, Name
from senior_backend.migrate.postgres_tree import NOTHING, Node, opened, within

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Scope = dict[str, "Name | None"]
"""The sources of one level of a query by the name under which its columns are found; None for what is no table."""
_QUERIES = ("SelectStmt", "UpdateStmt", "DeleteStmt", "InsertStmt")


def uses(node: Node, sources: Mapping[str, Name | None] | None = None) -> Iterator[ColumnUse]:
    """Yield the columns named in a part of the tree; `sources` are those that its surroundings give it."""
    yield from _walk("", node, (dict(sources),) if sources else (), frozenset())


def _walk(kind: str, node: Node, scopes: tuple[Scope, ...], queries: frozenset[str]) -> Iterator[ColumnUse]:
    """Yield the columns of a node; `kind` is its kind, or the key under which it stands."""
    if kind == "ColumnRef":
        yield from _column(node, scopes)
        return
    if kind in _QUERIES:
        queries |= {item["CommonTableExpr"]["ctename"] for item in within(node, "withClause").get("ctes", ())}
        scope: Scope = {}
        for item in node.get("fromClause", ()) if kind == "SelectStmt" else ():
            scope |= _sources(item, queries)
        scopes = (scope, *scopes) if scope else scopes
    elif kind == "JoinExpr":
        for name in node.get("usingClause", ()):
            yield ColumnUse(name["String"]["sval"], (tuple(scopes[0].values()),))
    for key, value in node.items():
        if isinstance(value, dict):
            # The sides of a UNION are the only queries that stand in the tree without their kind.
            side = kind == "SelectStmt" and key in ("larg", "rarg")
            yield from _walk("SelectStmt" if side else key, value, scopes, queries)
        elif isinstance(value, list):
            for item in value:
                yield from _walk("", item, scopes, queries)


def _sources(node: Node, queries: frozenset[str]) -> Scope:
    """Return what one item of a FROM clause gives, by alias or name."""
    kind, item = opened(node)
    if kind == "JoinExpr":
        return _sources(item["larg"], queries) | _sources(item["rarg"], queries)
    alias = item.get("alias", NOTHING).get("aliasname", "")
    if kind != "RangeVar":
        return {} if kind == "RangeTableSample" else {alias: None}
    query = "schemaname" not in item and item["relname"] in queries
    table = None if query else Name(item["relname"], item.get("schemaname"))
    return {alias or item["relname"]: table}


def _column(node: Node, scopes: tuple[Scope, ...]) -> Iterator[ColumnUse]:
    fields = node["fields"]
    column = fields[-1]["String"]["sval"] if "String" in fields[-1] else None
    if len(fields) == 1:
        levels = scopes[:1] if column is None else scopes
        yield ColumnUse(column, tuple(tuple(scope.values()) for scope in levels))
        return
    source = fields[-2]["String"]["sval"]
    for scope in scopes:
        if source in scope:
            yield ColumnUse(column, ((scope[source],),))
            return
