"""What generated columns that a table has cost when other columns change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import mysql_types
from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import mysql_fixes as fixes
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.catalog import Catalog, Table

Change = ops.AddColumn | ops.DropColumn | ops.ModifyColumn | ops.AlterTable | ops.AddConstraint
CHANGES = (ops.AddColumn, ops.DropColumn, ops.ModifyColumn, ops.AlterTable, ops.AddConstraint)
_REBUILD = frozenset(("engine", "row-format", "force"))


def check(operation: Change, context: Context) -> Iterator[Hazard]:
    """Report a change that would let writers go on but for a generated column of the table."""
    table = context.table(operation.table)
    if table is None or context.is_new(operation.table):
        return
    found = hindrance(operation, table, context.catalog)
    if found is None:
        return
    what, change = found
    yield Hazard(
        f"{what}; nobody can write to the table{context.rows(operation.table)} meanwhile",
        "Leave out FIRST or AFTER where there is one; else drop the virtual column's index before "
        f"(a moment's work) and build it again behind, or:\n{fixes.online_copy(operation.table, change)}",
        str(operation.table),
    )


def hindrance(operation: Change, table: Table, catalog: Catalog) -> tuple[str, str] | None:
    """Return what the generated columns make of a change, and the change as a clause of ALTER TABLE."""
    virtual = [column.name for column in table.columns.values() if column.generated == "virtual"]
    indexed = mysql_types.indexed_virtual(table)
    mariadb = catalog.engine == "mariadb"
    last = next(reversed(table.columns), "")
    if isinstance(operation, ops.AddColumn):
        column, change = operation.column, f"ADD COLUMN {operation.column.name} …"
        moved = operation.position is not None and operation.position.lower() != f"after {last.lower()}"
        if virtual and moved and (mariadb or column.generated == "virtual"):
            return f"a column in front of others is added by a copy beside the virtual column {virtual[0]}", change
        if mariadb and indexed and not column.generated:
            return f"a column is added by building the table anew with the index of {indexed}", change
    elif not mariadb:
        return None
    elif isinstance(operation, ops.DropColumn):
        dropped = catalog.column(operation.table, operation.column)
        if indexed and dropped is not None and not dropped.generated:
            return f"a column is dropped by a copy beside the index of {indexed}", f"DROP COLUMN {operation.column}"
    elif isinstance(operation, ops.ModifyColumn):
        if indexed and operation.position is not None:
            return f"a column is moved by building the table anew with the index of {indexed}", "MODIFY …"
    elif isinstance(operation, ops.AlterTable):
        if indexed and operation.action in _REBUILD:
            return f"the table is built anew with the index of {indexed}", "FORCE"
    elif operation.constraint.kind == "primary-key" and mysql_types.copies_to_rebuild(table):
        return "beside a generated column another key is a copy", "DROP PRIMARY KEY, ADD PRIMARY KEY (…)"
    return None


_VIRTUAL = (
    "CREATE TABLE sums (id INT NOT NULL PRIMARY KEY, a INT, b INT, v INT AS (a + 1) VIRTUAL) DEFAULT CHARSET=utf8mb4;"
)
_INDEXED = _VIRTUAL.replace(") DEFAULT", ", KEY sums_v (v)) DEFAULT")
_STORED = _VIRTUAL.replace("VIRTUAL", "STORED")
RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-generated-columns-block",
    summary="With generated columns in the table, MariaDB copies it where it otherwise would not",
    why="Values that are computed have to be computed again for the rows and indexes that are built anew.",
    catalogue="B2.3 (generated columns)",
    severity="error",
    lock="SHARED",
    effect="rewrite",
    on=CHANGES,
    check=check,
    bad=(
        Example("ALTER TABLE sums ADD COLUMN z INT FIRST;", setup=_VIRTUAL, engine="mariadb"),
        Example("ALTER TABLE sums ADD COLUMN z INT AS (b) VIRTUAL AFTER id;", setup=_VIRTUAL),
        Example("ALTER TABLE sums ADD COLUMN z INT;", setup=_INDEXED, engine="mariadb"),
        Example("ALTER TABLE sums DROP COLUMN b;", setup=_INDEXED, engine="mariadb"),
        Example("ALTER TABLE sums MODIFY b INT AFTER id;", setup=_INDEXED, engine="mariadb"),
        Example("ALTER TABLE sums FORCE;", setup=_INDEXED, engine="mariadb"),
        Example("ALTER TABLE sums DROP PRIMARY KEY, ADD PRIMARY KEY (id, b);", setup=_STORED, engine="mariadb"),
    ),
    good=(
        Example("ALTER TABLE sums ADD COLUMN z INT FIRST;", setup=_VIRTUAL, engine="mysql"),
        Example("ALTER TABLE sums ADD COLUMN z INT;", setup=_VIRTUAL),
        Example("ALTER TABLE sums ADD COLUMN z INT AFTER v;", setup=_VIRTUAL),
        Example("ALTER TABLE sums ADD COLUMN z INT AS (b) VIRTUAL;", setup=_INDEXED),
        Example("ALTER TABLE sums ADD COLUMN z INT FIRST;", setup=_STORED),
        Example("ALTER TABLE sums DROP COLUMN b;", setup=_VIRTUAL),
        Example("ALTER TABLE sums DROP COLUMN v;", setup=_VIRTUAL),
    ),
)
