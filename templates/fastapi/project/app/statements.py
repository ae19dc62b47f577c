"""The statements behind the operations, each built once.

Values are bound by name: `v_COLUMN` is written, `f_COLUMN` is a filter, `id`, `scope` and `expected` choose the row.
"""

from functools import lru_cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from app.resource import Resource


def _bind(prefix: str, column: sa.Column[Any]) -> sa.BindParameter[Any]:
    return sa.bindparam(f"{prefix}_{column.name}", type_=column.type)


def _row(resource: Resource, *, scoped: bool) -> list[sa.ColumnElement[bool]]:
    table = resource.table
    conditions = [table.c.id == sa.bindparam("id", type_=table.c.id.type)]
    return conditions + _scope(resource, scoped=scoped)


def _scope(resource: Resource, *, scoped: bool) -> list[sa.ColumnElement[bool]]:
    if not scoped or resource.scope is None:
        return []
    column = resource.table.c[resource.scope]
    return [column == sa.bindparam("scope", type_=column.type)]


@lru_cache(maxsize=1024)
def select_one(resource: Resource, *, scoped: bool) -> sa.Select[Any]:
    """Return the statement that reads one row."""
    return sa.select(*resource.visible).where(*_row(resource, scoped=scoped))


@lru_cache(maxsize=1024)
def exists(resource: Resource, *, scoped: bool) -> sa.Select[Any]:
    """Return the statement that tells whether a row can be seen."""
    return sa.select(resource.table.c.version).where(*_row(resource, scoped=scoped))


@lru_cache(maxsize=1024)
def insert(resource: Resource) -> sa.sql.dml.ReturningInsert[Any]:
    """Return the statement that makes a row and gives it back."""
    table = resource.table
    return sa.insert(table).values({column: _bind("v", column) for column in table.c}).returning(*resource.visible)


@lru_cache(maxsize=4096)
def update(
    resource: Resource, columns: frozenset[str], *, scoped: bool, expected: bool
) -> sa.sql.dml.ReturningUpdate[Any]:
    """Return the statement that changes some columns of a row, and only of the expected version where one is."""
    table = resource.table
    values: dict[Any, Any] = {table.c[name]: _bind("v", table.c[name]) for name in sorted(columns)}
    values[table.c.version] = table.c.version + 1
    values[table.c.updated_at] = _bind("v", table.c.updated_at)
    where = _row(resource, scoped=scoped) + _expected(resource, expected=expected)
    return sa.update(table).where(*where).values(values).returning(*resource.visible)


@lru_cache(maxsize=1024)
def delete(resource: Resource, *, scoped: bool, expected: bool) -> sa.sql.dml.ReturningDelete[Any]:
    """Return the statement that deletes a row."""
    where = _row(resource, scoped=scoped) + _expected(resource, expected=expected)
    return sa.delete(resource.table).where(*where).returning(resource.table.c.id)


def _expected(resource: Resource, *, expected: bool) -> list[sa.ColumnElement[bool]]:
    return [resource.table.c.version == sa.bindparam("expected", type_=sa.Integer())] if expected else []


@lru_cache(maxsize=4096)
def page(
    resource: Resource,
    sort: str,
    filters: frozenset[str],
    *,
    scoped: bool,
    after: bool,
    link: sa.Table | None = None,
    link_columns: tuple[str, str] = ("", ""),
) -> sa.Select[Any]:
    """Return the statement that reads one page in the order of `sort`, a column with `-` before it for descending.

    With `link`, a join table, only rows are read that it links to the row whose id is bound as `parent`.
    """
    table = resource.table
    descending = sort.startswith("-")
    column = table.c[sort.removeprefix("-")]
    statement = sa.select(*resource.visible).where(*_conditions(resource, filters, scoped=scoped))
    if link is not None:
        statement = _linked(statement, resource, link, link_columns)
    if after:
        key = sa.tuple_(column, table.c.id)
        end = sa.tuple_(sa.bindparam("after", type_=column.type), sa.bindparam("after_id", type_=table.c.id.type))
        statement = statement.where(key < end if descending else key > end)
    order = (column.desc(), table.c.id.desc()) if descending else (column, table.c.id)
    return statement.order_by(*order).limit(sa.bindparam("limit", type_=sa.Integer()))


@lru_cache(maxsize=1024)
def count(
    resource: Resource,
    filters: frozenset[str],
    *,
    scoped: bool,
    link: sa.Table | None = None,
    link_columns: tuple[str, str] = ("", ""),
) -> sa.Select[Any]:
    """Return the statement that counts what `page` reads on all its pages."""
    statement = sa.select(sa.func.count()).select_from(resource.table)
    statement = statement.where(*_conditions(resource, filters, scoped=scoped))
    return statement if link is None else _linked(statement, resource, link, link_columns)


def _conditions(resource: Resource, filters: frozenset[str], *, scoped: bool) -> list[sa.ColumnElement[bool]]:
    columns = [resource.table.c[name] for name in sorted(filters)]
    return [column == _bind("f", column) for column in columns] + _scope(resource, scoped=scoped)


def _linked(statement: sa.Select[Any], resource: Resource, link: sa.Table, columns: tuple[str, str]) -> sa.Select[Any]:
    parent, child = link.c[columns[0]], link.c[columns[1]]
    return statement.where(
        sa.exists().where(child == resource.table.c.id, parent == sa.bindparam("parent", type_=parent.type))
    )


@lru_cache(maxsize=1024)
def link(table: sa.Table, columns: tuple[str, str], dialect: str) -> sa.sql.dml.Insert:
    """Return the statement that links two rows, or does nothing when they are linked."""
    insert_into = sqlite.insert if dialect == "sqlite" else postgresql.insert
    values = dict(zip(columns, _ends(table, columns), strict=True))
    return insert_into(table).values(values).on_conflict_do_nothing()


@lru_cache(maxsize=1024)
def unlink(table: sa.Table, columns: tuple[str, str]) -> sa.sql.dml.ReturningDelete[Any]:
    """Return the statement that ends the link between two rows."""
    source, target = _ends(table, columns)
    found = sa.delete(table).where(table.c[columns[0]] == source, table.c[columns[1]] == target)
    return found.returning(table.c[columns[0]])


def _ends(table: sa.Table, columns: tuple[str, str]) -> tuple[sa.BindParameter[Any], sa.BindParameter[Any]]:
    return sa.bindparam("source", type_=table.c[columns[0]].type), sa.bindparam(
        "target", type_=table.c[columns[1]].type
    )
