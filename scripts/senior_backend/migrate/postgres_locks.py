"""Which lock an operation takes on which table, as measured on PostgreSQL 15 (`tests/migrate/measured/`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from senior_backend.migrate import operations as ops

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from senior_backend.migrate.catalog import Catalog, Table
    from senior_backend.migrate.operations import Constraint, Name, Operation

ACCESS_EXCLUSIVE = "ACCESS EXCLUSIVE"
SHARE_ROW_EXCLUSIVE = "SHARE ROW EXCLUSIVE"
SHARE = "SHARE"
SHARE_UPDATE_EXCLUSIVE = "SHARE UPDATE EXCLUSIVE"
BLOCKING = frozenset((ACCESS_EXCLUSIVE, "EXCLUSIVE", SHARE_ROW_EXCLUSIVE, SHARE))
"""Modes that stop writers; ACCESS EXCLUSIVE stops readers too."""

_HARMLESS_ACTIONS = frozenset(("set-statistics", "set-parameters", "reset-parameters", "cluster-on", "drop-cluster",
                               "set-options", "reset-options"))  # fmt: skip
_TRIGGER_ACTIONS = frozenset(("enable-trigger", "disable-trigger"))
_EXCLUSIVE = (
    ops.AddColumn, ops.DropColumn, ops.RenameColumn, ops.RenameTable, ops.AlterColumnType, ops.SetNotNull,
    ops.DropNotNull, ops.SetDefault, ops.DropDefault, ops.AlterIdentity, ops.AlterGeneration, ops.DropTable,
    ops.Truncate, ops.DropConstraint,
)  # fmt: skip


def locks(operation: Operation, catalog: Catalog) -> Iterator[tuple[Name, str]]:
    """Yield the tables that `operation` locks against writers, with the mode of each."""
    if isinstance(operation, _EXCLUSIVE):
        yield operation.table, ACCESS_EXCLUSIVE
    if isinstance(operation, ops.TableOperation):
        reader = _ON_TABLES.get(type(operation))
        if reader is not None:
            yield from reader(operation, catalog)
    else:
        yield from _on_objects(operation, catalog)


def _references(constraints: Iterable[Constraint], mode: str) -> Iterator[tuple[Name, str]]:
    for constraint in constraints:
        if constraint.references is not None:
            yield constraint.references, mode


def _add_column(operation: ops.AddColumn, catalog: Catalog) -> Iterator[tuple[Name, str]]:
    del catalog
    yield from _references(operation.column.constraints, SHARE_ROW_EXCLUSIVE)


def _drop_constraint(operation: ops.DropConstraint, catalog: Catalog) -> Iterator[tuple[Name, str]]:
    table = catalog.table(operation.table)
    found = table.constraints.get(operation.name or "") if table else None
    if found is not None:
        yield from _references((found,), ACCESS_EXCLUSIVE)


def _drop_table(operation: ops.DropTable, catalog: Catalog) -> Iterator[tuple[Name, str]]:
    table = catalog.table(operation.table)
    yield from _references(table.constraints.values() if table else (), ACCESS_EXCLUSIVE)


def _add_constraint(operation: ops.AddConstraint, catalog: Catalog) -> Iterator[tuple[Name, str]]:
    del catalog
    foreign = operation.constraint.kind == "foreign-key"
    yield operation.table, SHARE_ROW_EXCLUSIVE if foreign else ACCESS_EXCLUSIVE
    yield from _references((operation.constraint,), SHARE_ROW_EXCLUSIVE)


def _create_index(operation: ops.CreateIndex, catalog: Catalog) -> Iterator[tuple[Name, str]]:
    del catalog
    if not operation.concurrently:
        yield operation.table, SHARE


def _alter_table(operation: ops.AlterTable, catalog: Catalog) -> Iterator[tuple[Name, str]]:
    del catalog
    if operation.action in _TRIGGER_ACTIONS:
        yield operation.table, SHARE_ROW_EXCLUSIVE
    elif operation.action not in _HARMLESS_ACTIONS:
        yield operation.table, ACCESS_EXCLUSIVE


def _create_table(operation: ops.CreateTable, catalog: Catalog) -> Iterator[tuple[Name, str]]:
    del catalog
    if operation.partition_of is not None:
        yield operation.partition_of, ACCESS_EXCLUSIVE
    for column in operation.columns:
        yield from _references(column.constraints, SHARE_ROW_EXCLUSIVE)
    yield from _references(operation.constraints, SHARE_ROW_EXCLUSIVE)


def _create_trigger(operation: ops.CreateTrigger, catalog: Catalog) -> Iterator[tuple[Name, str]]:
    del catalog
    yield operation.table, SHARE_ROW_EXCLUSIVE


def _detach(operation: ops.DetachPartition, catalog: Catalog) -> Iterator[tuple[Name, str]]:
    del catalog
    if not operation.concurrently and not operation.finalize:
        yield operation.table, ACCESS_EXCLUSIVE
        yield operation.child, ACCESS_EXCLUSIVE


def _attach(operation: ops.AttachPartition, catalog: Catalog) -> Iterator[tuple[Name, str]]:
    del catalog
    yield operation.child, ACCESS_EXCLUSIVE


def _lock(operation: ops.LockTable, catalog: Catalog) -> Iterator[tuple[Name, str]]:
    del catalog
    yield operation.table, operation.mode


_ON_TABLES: dict[type[Operation], Callable[[Any, Catalog], Iterator[tuple[Name, str]]]] = {
    ops.AddColumn: _add_column,
    ops.DropConstraint: _drop_constraint,
    ops.DropTable: _drop_table,
    ops.AddConstraint: _add_constraint,
    ops.CreateIndex: _create_index,
    ops.AlterTable: _alter_table,
    ops.CreateTable: _create_table,
    ops.CreateTrigger: _create_trigger,
    ops.DetachPartition: _detach,
    ops.AttachPartition: _attach,
    ops.LockTable: _lock,
}


def _on_objects(operation: Operation, catalog: Catalog) -> Iterator[tuple[Name, str]]:
    if isinstance(operation, ops.DropIndex):
        table = catalog.table_of_index(operation.index)
        if table is not None and not operation.concurrently:
            yield table.name, ACCESS_EXCLUSIVE
    elif isinstance(operation, (ops.DropObject, ops.CreateObject, ops.AlterObject, ops.RenameObject)):
        if operation.table is not None:
            yield operation.table, ACCESS_EXCLUSIVE
        elif (table := moved_index(operation, catalog)) is not None:
            yield table.name, ACCESS_EXCLUSIVE
    elif isinstance(operation, ops.RefreshView):
        yield operation.name, "EXCLUSIVE" if operation.concurrently else ACCESS_EXCLUSIVE
    elif isinstance(operation, ops.Vacuum):
        if operation.rewrites and operation.table is not None:
            yield operation.table, ACCESS_EXCLUSIVE
    elif isinstance(operation, ops.SetSchema) and operation.kind == "table":
        yield operation.name, ACCESS_EXCLUSIVE


def moved_index(operation: Operation, catalog: Catalog) -> Table | None:
    """Return the table, where it is known, whose queries wait while one of its indexes goes to another tablespace."""
    if (
        not isinstance(operation, ops.AlterObject)
        or (operation.kind, operation.action) != ("index", "set-tablespace")
        or operation.name is None
    ):
        return None
    return catalog.table_of_index(operation.name)
