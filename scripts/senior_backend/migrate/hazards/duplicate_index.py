"""Indexes that are there already under another name; every engine keeps both up to date."""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Hazard
from senior_backend.migrate.operations import IndexColumn

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from senior_backend.migrate.catalog import Index, Table
    from senior_backend.migrate.hazards.rule import Context
    from senior_backend.migrate.operations import Expression, ParsedStatement


class Twin(NamedTuple):
    """A new index, or unique constraint, and the older index that does all that it does."""

    operation: ops.CreateIndex | ops.AddConstraint
    statement: ParsedStatement
    older: Index


_NOTES = "duplicate-index"
_Kind = tuple[str, bool, tuple[str | None, ...]]
"""What two indexes have in common that are worth a closer look: method, uniqueness, columns."""
_Definition = tuple[tuple[tuple[str | None, str, int | None, str], ...], tuple[str, ...], str, bool]
"""The rest: keys, included columns, condition, whether nulls are distinct."""


def check(operation: ops.CreateIndex | ops.AddConstraint, context: Context) -> Iterator[Hazard]:
    """Note what is made anew; whether it is a double shows at the end, when what it replaces is gone."""
    if isinstance(operation, ops.AddConstraint):
        constraint = operation.constraint
        made = constraint.kind == "unique" and constraint.using_index is None and not constraint.deferrable
    else:
        made = not operation.only and not context.is_there(operation)
    if made:
        context.notes.setdefault(_NOTES, []).append(
            (context.catalog.key(operation.table), operation, context.statement)
        )
    yield from ()


def hazards(context: Context, scope: str) -> Iterator[Hazard]:
    """Report each twin; an older index is dropped in the same `scope`, a statement or a migration, to be replaced."""
    for operation, statement, older in twins(context):
        yield Hazard(
            f"{operation.table} has this index already, as {older.name}: every write keeps both and no query needs the "
            "second",
            f"Leave it out. Where it is to take the place of {older.name}, drop that one in the same {scope}.",
            str(operation.table),
            statement=statement,
        )


def twins(context: Context) -> Iterator[Twin]:
    """Yield what the migration has made although the table has the same; nothing where it did what nobody can read."""
    noted = context.notes.get(_NOTES, ())
    if not noted or any(isinstance(one, ops.Opaque) for parsed in context.statements for one in parsed.operations):
        return
    for key, made in groupby(sorted(noted, key=itemgetter(0)), key=itemgetter(0)):
        table = context.catalog.tables.get(key)
        if table is not None:
            yield from _twins(table, [(operation, statement) for _, operation, statement in made], context)


def _twins(
    table: Table, made: list[tuple[ops.CreateIndex | ops.AddConstraint, ParsedStatement]], context: Context
) -> Iterator[Twin]:
    kinds: dict[_Kind, list[Index]] = {}
    for index in table.indexes.values():
        if index.valid and not index.on_parent_only and not _something_else(index, table, context):
            kinds.setdefault((index.method, index.unique, index.columns), []).append(index)
    looked_at = [(_kind(one, context), one, statement) for one, statement in made]
    looked_at = [one for one in looked_at if len(kinds.get(one[0], ())) > 1]
    alike: dict[tuple[_Kind, _Definition], list[Index]] = {}
    for kind in {kind for kind, *_ in looked_at}:
        for index in kinds[kind]:
            alike.setdefault((kind, _definition(index)), []).append(index)
    descriptions = [(kind, _defined(operation, context)) for kind, operation, _ in looked_at]
    waiting = Counter(descriptions)
    for description, (_, operation, statement) in zip(descriptions, looked_at, strict=True):
        same = alike.get(description, [])
        older = len(same) - waiting[description]
        waiting[description] -= 1
        if older > 0:
            name = _name(operation)
            yield Twin(operation, statement, next(one for one in same if one.name != name))


def _name(operation: ops.CreateIndex | ops.AddConstraint) -> str | None:
    return operation.name if isinstance(operation, ops.CreateIndex) else operation.constraint.name


def _kind(operation: ops.CreateIndex | ops.AddConstraint, context: Context) -> _Kind:
    fold = context.catalog.fold
    if isinstance(operation, ops.AddConstraint):
        return "btree", True, tuple(map(fold, operation.constraint.columns))
    columns = tuple(key.name and fold(key.name) for key in operation.columns)
    return operation.kind or operation.method, operation.unique, columns


def _defined(operation: ops.CreateIndex | ops.AddConstraint, context: Context) -> _Definition:
    fold = context.catalog.fold
    if isinstance(operation, ops.AddConstraint):
        return _keys(IndexColumn(fold(column)) for column in operation.constraint.columns), (), "", True
    keys = _keys(key._replace(name=key.name and fold(key.name)) for key in operation.columns)
    return keys, tuple(map(fold, operation.include)), _text(operation.where), operation.nulls_distinct


def _definition(index: Index) -> _Definition:
    keys = index.keys or map(IndexColumn, index.columns)
    return _keys(keys), index.include, _text(index.where), index.nulls_distinct


def _keys(keys: Iterable[IndexColumn]) -> tuple[tuple[str | None, str, int | None, str], ...]:
    return tuple((key.name, _text(key.expression), key.length, key.options) for key in keys)


def _text(expression: Expression | None) -> str:
    """Return an expression as both a user and PostgreSQL's catalogue write it, which names the type of each text."""
    return "" if expression is None else expression.sql.replace("::text", "")


def _something_else(index: Index, table: Table, context: Context) -> bool:
    """Whether it is checked at the commit only, or InnoDB's own: the table itself, or one that gives way to the new."""
    if index.backs == "primary-key" and context.catalog.engine in ("mysql", "mariadb"):
        return True
    constraint = table.constraints.get(index.name)
    return constraint is not None and (constraint.deferrable or constraint.kind == "foreign-key")
