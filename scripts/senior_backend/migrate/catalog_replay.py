"""Operations applied to a catalogue: what earlier migrations left behind, without a server."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from senior_backend.migrate import mysql_types
from senior_backend.migrate import operations as ops
from senior_backend.migrate.catalog import DEFAULT_SCHEMA, Catalog, Dependent, Domain, Index, Table, TableKind
from senior_backend.migrate.operations import Column, Constraint, ConstraintKind, Name, Operation

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from senior_backend.migrate.operations import Expression, Type

_SERIALS = frozenset(("serial", "serial4", "bigserial", "serial8", "smallserial", "serial2"))
SERIAL_TYPES = {
    "serial": "int4", "serial4": "int4", "bigserial": "int8", "serial8": "int8", "smallserial": "int2",
    "serial2": "int2",
}  # fmt: skip
"""The type that a column declared as serial really has."""


def apply(catalog: Catalog, operation: Operation, unit: int | None = None) -> None:
    """Change `catalog` as `operation` would; `unit` is the number of the migration it belongs to.

    An operation on something unknown is taken as true: the object exists from then on, incompletely described.
    """
    handler = _HANDLERS.get(type(operation))
    if handler is not None:
        handler(catalog, operation, unit)


def _table(catalog: Catalog, name: Name) -> Table:
    """Return a table; one that nothing described becomes an incomplete one."""
    key = catalog.key(name)
    found = catalog.tables.get(key)
    if found is None:
        found = catalog.tables[key] = Table(Name(name.name, key[0]), complete=False)
    return found


def _create_table(catalog: Catalog, op: ops.CreateTable, unit: int | None) -> None:
    key = _new_key(catalog, op.table)
    if op.if_not_exists and key in catalog.tables:
        return
    _forget(catalog, Name(op.table.name, key[0]))
    kind = "foreign" if op.foreign else "partitioned" if op.partitioned else "table"
    table = Table(
        Name(op.table.name, key[0]),
        "foreign" if op.foreign else "partitioned" if op.partitioned else "table",
        complete=not (op.from_query or op.inherits),
        temporary=op.temporary,
        unit=unit,
        charset=op.charset,
        collation=op.collation,
        rows=None,
        partition_key=op.partition_key,
        bound=op.bound,
    )
    catalog.tables[key] = table
    for source_name in (*op.like, *((op.partition_of,) if op.partition_of else ()), *op.inherits):
        source = catalog.table(source_name)
        if source is None:
            table.complete = False
        else:
            table.columns.update(source.columns)
            table.complete = table.complete and source.complete
    if op.partition_of is not None:
        parent = _table(catalog, op.partition_of)
        table.parent = parent.name
        if parent is not table:
            parent.partitions.add(table.name)
            parent.kind = "partitioned" if kind != "foreign" and parent.kind == "table" else parent.kind
            _inherit_indexes(catalog, parent, table)
    for column in op.columns:
        _add_column(catalog, table, column)
    for constraint in op.constraints:
        _add_constraint(catalog, table, constraint)
    if catalog.engine == "postgresql":
        _forget_doubles(catalog, table)
    for index in op.indexes:
        _create_index(catalog, index, unit)


def _forget_doubles(catalog: Catalog, table: Table) -> None:
    """Forget unique constraints on the columns of the primary key, which CREATE TABLE does not make twice."""
    for name in [
        name
        for name, constraint in table.constraints.items()
        if constraint.kind == "unique" and constraint.columns == table.primary_key
    ]:
        del table.constraints[name]
        del table.indexes[name]
        del catalog.index_tables[(table.name.schema or DEFAULT_SCHEMA, name)]


def _new_key(catalog: Catalog, name: Name) -> tuple[str, str]:
    """Return where CREATE puts a relation: the first schema of the search path, whatever others hold."""
    schema = name.schema or (catalog.search_path[0] if catalog.search_path else DEFAULT_SCHEMA)
    return catalog.fold(schema), catalog.fold(name.name)


def _add_column(catalog: Catalog, table: Table, column: Column) -> None:
    type_, not_null = column.type, column.not_null or column.identity is not None or column.auto_increment
    if type_ is not None and type_.name in _SERIALS and catalog.engine == "postgresql":
        type_, not_null = type_._replace(name=SERIAL_TYPES[type_.name]), True
    default = _kept_default(catalog, type_, column.default)
    if type_ is not column.type or not_null != column.not_null or default is not column.default:
        column = replace(column, type=type_, not_null=not_null, default=default)
    table.columns[catalog.fold(column.name)] = column
    for constraint in column.constraints:
        _add_constraint(catalog, table, constraint)


def _kept_default(catalog: Catalog, type_: Type | None, default: Expression | None) -> Expression | None:
    """Return the default that the server keeps: PostgreSQL drops DEFAULT NULL, except where it overrides a domain's."""
    if default is None or not default.is_null or catalog.engine != "postgresql":
        return default
    return default if type_ is not None and type_.name in catalog.domains else None


def _set_column(catalog: Catalog, table: Table, name: str, **changes: object) -> None:
    key = catalog.fold(name)
    column = table.columns.get(key) or Column(name, None)
    table.columns[key] = replace(column, **changes)  # type: ignore[arg-type]


_SUFFIXES = {
    "check": "check", "foreign-key": "fkey", "unique": "key", "primary-key": "pkey", "exclude": "excl",
    "not-null": "not_null",
}  # fmt: skip


def constraint_name(table: Table, constraint: Constraint) -> str:
    """Return the name that PostgreSQL gives to a constraint without one (ChooseConstraintName)."""
    columns = constraint.columns
    if constraint.kind == "check" and constraint.expression is not None and len(constraint.expression.columns) == 1:
        columns = tuple(constraint.expression.columns)
    middle = () if constraint.kind == "primary-key" else columns
    base = _object_name(table.name.name, "_".join(middle), _SUFFIXES[constraint.kind])
    if base not in table.constraints:
        return base
    number = 1
    while f"{base}{number}" in table.constraints:
        number += 1
    return f"{base}{number}"


_LONGEST = 63


def _object_name(table: str, columns: str, suffix: str) -> str:
    """Return a name as PostgreSQL puts it together (makeObjectName): the longer part gives way where it is too long."""
    room = _LONGEST - len(suffix) - (2 if columns else 1)
    first, second = table.encode(), columns.encode()
    while len(first) + len(second) > room:
        if len(first) > len(second):
            first = first[:-1]
        else:
            second = second[:-1]
    parts = (first.decode(errors="ignore"), second.decode(errors="ignore"), suffix)
    return "_".join(part for part in parts if part)


def _free_index_name(catalog: Catalog, table: Table, base: str) -> str:
    """Return `base`, or `base` with the first number that makes it new in the schema (ChooseRelationName)."""
    schema, name, number = table.name.schema or DEFAULT_SCHEMA, base, 0
    while (schema, catalog.fold(name)) in catalog.index_tables or name in table.constraints:
        number += 1
        name = f"{base}{number}"
    return name


def _add_constraint(catalog: Catalog, table: Table, constraint: Constraint) -> None:
    name = constraint.name or constraint.using_index
    if name is None:
        name = constraint_name(table, constraint)
        if constraint.kind == "unique" and catalog.engine in ("mysql", "mariadb"):
            name = _mysql_index_name(table, tuple(map(catalog.fold, constraint.columns)))
        elif constraint.kind in ("unique", "primary-key", "exclude"):
            name = _free_index_name(catalog, table, name)
    columns = tuple(map(catalog.fold, constraint.columns))
    if constraint.using_index is not None:
        index = table.indexes.pop(constraint.using_index, None)
        if index is not None:
            columns = tuple(column for column in index.columns if column is not None)
            _add_index(catalog, table, replace(index, name=name, backs=constraint.kind))
    elif constraint.kind in ("unique", "primary-key", "exclude"):
        _add_index(
            catalog,
            table,
            Index(
                name,
                columns,
                unique=constraint.kind != "exclude",
                mentioned=frozenset(columns),
                backs=constraint.kind,
                method="gist" if constraint.kind == "exclude" else "btree",
            ),
        )
    elif constraint.kind == "not-null":
        for column in columns:
            _set_column(catalog, table, column, not_null=constraint.valid)
    if constraint.kind == "primary-key":
        for column in columns:
            _set_column(catalog, table, column, not_null=True)
    references = constraint.references
    if references is not None:
        parent = catalog.key(references)
        references = Name(references.name, parent[0])  # whatever the search path will be later
        catalog.referrers.setdefault(parent, set()).add(catalog.key(table.name))
        if catalog.engine in ("mysql", "mariadb") and not table.indexed_first(columns):
            _add_index(catalog, table, Index(name, columns, mentioned=frozenset(columns)))  # InnoDB makes one itself
    if (name, columns, references) != (constraint.name, constraint.columns, constraint.references):
        constraint = replace(constraint, name=name, columns=columns, references=references)
    table.constraints[name] = constraint


def _add_index(catalog: Catalog, table: Table, index: Index) -> None:
    key = catalog.fold(index.name)
    place = (table.name.schema or DEFAULT_SCHEMA, key)
    former = catalog.tables.get(catalog.index_tables.get(place, place))
    if former is not None and former is not table and catalog.engine not in ("mysql", "mariadb"):
        former.indexes.pop(key, None)  # a schema has one index of a name: that one must be gone
    table.indexes[key] = index
    catalog.index_tables[place] = catalog.key(table.name)
    for partition in () if index.on_parent_only else table.partitions:
        child = catalog.table(partition)
        if child is not None:
            _inherit_index(catalog, index, child)


def _create_index(catalog: Catalog, op: ops.CreateIndex, unit: int | None) -> None:
    del unit
    table = _table(catalog, op.table)
    columns = tuple(catalog.fold(column.name) if column.name else None for column in op.columns)
    name = op.name or _index_name(catalog, table, columns)
    if op.if_not_exists and catalog.fold(name) in table.indexes:
        return
    mentioned = {column for column in columns if column} | set(map(catalog.fold, op.include))
    for expression in (*(column.expression for column in op.columns), op.where):
        if expression is not None:
            mentioned |= expression.columns
    _add_index(
        catalog,
        table,
        Index(
            name,
            columns,
            op.unique,
            method=op.kind or op.method,
            where=op.where,
            valid=not (op.only and table.partitions),
            mentioned=frozenset(mentioned),
            on_parent_only=op.only,
            keys=tuple(key._replace(name=column) for key, column in zip(op.columns, columns, strict=True)),
            include=tuple(map(catalog.fold, op.include)),
            nulls_distinct=op.nulls_distinct,
        ),
    )


def _index_name(catalog: Catalog, table: Table, columns: tuple[str | None, ...]) -> str:
    """Return the name that the server gives to an index without one."""
    if catalog.engine in ("mysql", "mariadb"):
        return _mysql_index_name(table, columns)
    base = _object_name(table.name.name, "_".join(column or "expr" for column in columns), "idx")
    return _free_index_name(catalog, table, base)


def _mysql_index_name(table: Table, columns: tuple[str | None, ...]) -> str:
    """Return the first column, with a number behind it where the table has such an index already."""
    base = (columns[0] if columns else None) or "functional_index"
    name, number = base, 1
    while name in table.indexes:
        number += 1
        name = f"{base}_{number}"
    return name


def _inherit_indexes(catalog: Catalog, parent: Table, child: Table) -> None:
    """Give a new partition the constraints and indexes of its parent that it has not got."""
    for constraint in parent.constraints.values():
        if constraint.kind in ("check", "foreign-key") and constraint.name not in child.constraints:
            _add_constraint(catalog, child, constraint)
    for index in list(parent.indexes.values()):
        _inherit_index(catalog, index, child)


def _inherit_index(catalog: Catalog, index: Index, child: Table) -> None:
    """Give a partition an index of its parent, unless it has one like it; PostgreSQL chooses the name."""
    if any(
        (own.columns, own.unique, own.where) == (index.columns, index.unique, index.where)
        for own in child.indexes.values()
    ):
        return
    middle = () if index.backs == "primary-key" else tuple(column or "expr" for column in index.columns)
    suffix = {"primary-key": "pkey", "unique": "key", "exclude": "excl"}.get(index.backs or "", "idx")
    name = "_".join((child.name.name, *middle, suffix))
    number = 1
    while name in child.indexes:
        name, number = f"{'_'.join((child.name.name, *middle, suffix))}{number}", number + 1
    if index.backs in ("primary-key", "unique"):
        kind: ConstraintKind = "primary-key" if index.backs == "primary-key" else "unique"
        columns = tuple(column for column in index.columns if column)
        child.constraints[name] = Constraint(kind, name, columns)
    _add_index(catalog, child, replace(index, name=name, valid=True, on_parent_only=False))


def _attach_index(catalog: Catalog, op: ops.AttachIndex, unit: int | None) -> None:
    del unit
    table = catalog.table_of_index(op.index)
    if table is not None:
        key = catalog.fold(op.index.name)
        table.indexes[key] = replace(table.indexes[key], valid=True, on_parent_only=False)


def _drop_index(catalog: Catalog, op: ops.DropIndex, unit: int | None) -> None:
    del unit
    table = catalog.table(op.table) if op.table else catalog.table_of_index(op.index)
    if table is not None:
        key = catalog.fold(op.index.name)
        table.indexes.pop(key, None)
        catalog.index_tables.pop((table.name.schema or DEFAULT_SCHEMA, key), None)


def _drop_table(catalog: Catalog, op: ops.DropTable, unit: int | None) -> None:
    del unit
    _forget_views_on(catalog, catalog.key(op.table))  # where it says no CASCADE, others have dropped them
    _forget(catalog, op.table)


def _forget_views_on(catalog: Catalog, key: tuple[str, str]) -> None:
    """Forget the views that read a table or view, and those that read them."""
    for view_key in sorted(catalog.views):
        view = catalog.tables.get(view_key)
        if view is not None and any(catalog.key(source) == key for source in view.reads):
            _forget(catalog, view.name)  # first: views replaced by others may read each other
            _forget_views_on(catalog, view_key)


def _forget(catalog: Catalog, name: Name) -> None:
    key = catalog.key(name)
    table = catalog.tables.pop(key, None)
    if table is None:
        return
    catalog.views.discard(key)
    if table.kind in ("view", "materialized-view"):
        _release(catalog, table.reads, {table.kind}, table.name)
    for partition in list(table.partitions):
        _forget(catalog, partition)
    for index in table.indexes:
        catalog.index_tables.pop((key[0], index), None)
    for child_key in catalog.referrers.pop(key, set()):
        child = catalog.tables.get(child_key)
        if child is not None:
            for constraint_key in [
                name
                for name, constraint in child.constraints.items()
                if constraint.references is not None and catalog.key(constraint.references) == key
            ]:
                del child.constraints[constraint_key]
    for constraint in table.constraints.values():
        if constraint.references is not None:
            catalog.referrers.get(catalog.key(constraint.references), set()).discard(key)
    if table.parent is not None and (parent := catalog.table(table.parent)) is not None:
        parent.partitions.discard(table.name)


def _move(catalog: Catalog, old: Name, new: Name) -> None:
    """Give a table another name or schema, in everything that names it."""
    key = catalog.key(old)
    table = _table(catalog, old)
    del catalog.tables[key]
    new_key = (catalog.fold(new.schema or key[0]), catalog.fold(new.name))
    if new_key != key:
        _forget(catalog, Name(new.name, new_key[0]))
    for view_key in catalog.views:
        view = catalog.tables[view_key] if view_key != key else table
        view.reads = tuple(
            Name(new.name, new_key[0]) if catalog.key(source) == key else source for source in view.reads
        )
    if key in catalog.views:
        catalog.views.remove(key)
        catalog.views.add(new_key)
        for source in filter(None, map(catalog.table, table.reads)):
            source.dependents = [
                replace(one, name=Name(new.name, new_key[0])) if one.name == table.name else one
                for one in source.dependents
            ]
    table.name = Name(new.name, new_key[0])
    catalog.tables[new_key] = table
    for index in table.indexes:
        catalog.index_tables.pop((key[0], index), None)
        catalog.index_tables[(new_key[0], index)] = new_key
    children = catalog.referrers.pop(key, set())
    if children:
        catalog.referrers[new_key] = {new_key if child == key else child for child in children}
        for child_key in catalog.referrers[new_key]:
            child = catalog.tables.get(child_key)
            if child is not None:
                for name, constraint in list(child.constraints.items()):
                    if constraint.references is not None and catalog.key(constraint.references) == key:
                        child.constraints[name] = replace(constraint, references=table.name)
    for constraint in table.constraints.values():
        if constraint.references is not None:
            referrers = catalog.referrers.get(catalog.key(constraint.references))
            if referrers and key in referrers:
                referrers.discard(key)
                referrers.add(new_key)


def _rename_table(catalog: Catalog, op: ops.RenameTable, unit: int | None) -> None:
    del unit
    _move(catalog, op.table, Name(op.new_name, op.schema or op.table.schema))


def _set_schema(catalog: Catalog, op: ops.SetSchema, unit: int | None) -> None:
    del unit
    if op.kind in ("table", "view", "materialized-view", "foreign-table"):
        _move(catalog, op.name, Name(op.name.name, op.schema))


def _add_column_op(catalog: Catalog, op: ops.AddColumn, unit: int | None) -> None:
    del unit
    table = _table(catalog, op.table)
    if op.if_not_exists and catalog.fold(op.column.name) in table.columns:
        return
    _add_column(catalog, table, op.column)
    for partition in table.partitions:
        child = catalog.table(partition)
        if child is not None:
            child.columns[catalog.fold(op.column.name)] = table.columns[catalog.fold(op.column.name)]


def _drop_column(catalog: Catalog, op: ops.DropColumn, unit: int | None) -> None:
    del unit
    table = _table(catalog, op.table)
    column = catalog.fold(op.column)
    table.columns.pop(column, None)
    for name in [index.name for index in table.indexes.values() if column in index.mentioned]:
        key = catalog.fold(name)
        del table.indexes[key]
        catalog.index_tables.pop((table.name.schema or DEFAULT_SCHEMA, key), None)
    for name in [
        name
        for name, constraint in table.constraints.items()
        if column in constraint.columns
        or (constraint.expression is not None and column in constraint.expression.columns)
    ]:
        _forget_reference(catalog, table, table.constraints.pop(name))
    for key in [
        key
        for key, other in table.columns.items()
        if other.generation is not None and column in other.generation.columns
    ]:
        del table.columns[key]  # CASCADE drops what is generated from it
    for dependent in [one for one in table.dependents if one.uses(column)]:
        table.dependents.remove(dependent)
        if dependent.kind in ("view", "materialized-view"):
            _forget_views_on(catalog, catalog.key(dependent.name))
            _forget(catalog, dependent.name)


def _rename_column(catalog: Catalog, op: ops.RenameColumn, unit: int | None) -> None:
    del unit
    table = _table(catalog, op.table)
    _rename_in(catalog, table, catalog.fold(op.column), op.new_name)


def _rename_in(catalog: Catalog, table: Table, old: str, new_name: str) -> None:
    new = catalog.fold(new_name)
    # The order of the columns stays.
    table.columns = {
        (new if key == old else key): (replace(column, name=new_name) if key == old else column)
        for key, column in table.columns.items()
    }
    if new not in table.columns:
        table.columns[new] = Column(new_name, None)
    for key, index in list(table.indexes.items()):
        if old in index.mentioned:
            table.indexes[key] = replace(
                index,
                columns=tuple(new if column == old else column for column in index.columns),
                mentioned=index.mentioned - {old} | {new},
                keys=tuple(key._replace(name=new) if key.name == old else key for key in index.keys),
                include=tuple(new if column == old else column for column in index.include),
            )
    for key, constraint in list(table.constraints.items()):
        if old in constraint.columns:
            columns = tuple(new if column == old else column for column in constraint.columns)
            table.constraints[key] = replace(constraint, columns=columns)
    table.dependents = [
        replace(one, columns=one.columns - {old} | {new}) if one.columns and old in one.columns else one
        for one in table.dependents
    ]


def _alter_type(catalog: Catalog, op: ops.AlterColumnType, unit: int | None) -> None:
    del unit
    changes: dict[str, object] = {"type": op.type}
    if op.collation is not None:
        changes["collation"] = op.collation
    _set_column(catalog, _table(catalog, op.table), op.column, **changes)


def _modify(catalog: Catalog, op: ops.ModifyColumn, unit: int | None) -> None:
    del unit
    table = _table(catalog, op.table)
    old = catalog.fold(op.column)
    if catalog.fold(op.definition.name) != old:
        _rename_in(catalog, table, old, op.definition.name)
    _add_column(catalog, table, op.definition)
    key = catalog.fold(op.definition.name)
    if key in table.primary_key:
        _set_column(catalog, table, op.definition.name, not_null=True)


def _set_not_null(catalog: Catalog, op: ops.SetNotNull, unit: int | None) -> None:
    del unit
    _set_column(catalog, _table(catalog, op.table), op.column, not_null=True)


def _drop_not_null(catalog: Catalog, op: ops.DropNotNull, unit: int | None) -> None:
    del unit
    _set_column(catalog, _table(catalog, op.table), op.column, not_null=False)


def _set_default(catalog: Catalog, op: ops.SetDefault, unit: int | None) -> None:
    del unit
    table = _table(catalog, op.table)
    known = table.columns.get(catalog.fold(op.column))
    default = _kept_default(catalog, known.type if known else None, op.default)
    _set_column(catalog, table, op.column, default=default)


def _drop_default(catalog: Catalog, op: ops.DropDefault, unit: int | None) -> None:
    del unit
    _set_column(catalog, _table(catalog, op.table), op.column, default=None)


def _identity(catalog: Catalog, op: ops.AlterIdentity, unit: int | None) -> None:
    del unit
    _set_column(catalog, _table(catalog, op.table), op.column, identity=None if op.action == "drop" else "by default")


def _generation(catalog: Catalog, op: ops.AlterGeneration, unit: int | None) -> None:
    del unit
    if op.expression is None:
        _set_column(catalog, _table(catalog, op.table), op.column, generated=None, generation=None)
    else:
        _set_column(catalog, _table(catalog, op.table), op.column, generation=op.expression)


def _add_constraint_op(catalog: Catalog, op: ops.AddConstraint, unit: int | None) -> None:
    del unit
    _add_constraint(catalog, _table(catalog, op.table), op.constraint)


def _validate(catalog: Catalog, op: ops.ValidateConstraint, unit: int | None) -> None:
    del unit
    table = catalog.table(op.table)
    constraint = table.constraints.get(op.name) if table else None
    if table is None or constraint is None:
        return
    table.constraints[op.name] = replace(constraint, valid=True)
    if constraint.kind == "not-null":
        for column in constraint.columns:
            _set_column(catalog, table, column, not_null=True)


def _drop_constraint(catalog: Catalog, op: ops.DropConstraint, unit: int | None) -> None:
    del unit
    table = catalog.table(op.table)
    if table is None:
        return
    name = op.name
    if name is None:
        name = next((key for key, item in table.constraints.items() if item.kind == op.kind), None)
    if name is None:
        return
    constraint = table.constraints.pop(name, None)
    index = table.indexes.get(catalog.fold(name))
    if index is not None and index.backs is not None:
        del table.indexes[catalog.fold(name)]
        catalog.index_tables.pop((table.name.schema or DEFAULT_SCHEMA, catalog.fold(name)), None)
    if constraint is not None:
        _forget_reference(catalog, table, constraint)


def _forget_reference(catalog: Catalog, table: Table, constraint: Constraint) -> None:
    """Forget that a table refers to another one, unless a constraint that is left does."""
    if constraint.references is None:
        return
    parent = catalog.key(constraint.references)
    left = (other.references for other in table.constraints.values() if other.references is not None)
    if not any(catalog.key(other) == parent for other in left):
        catalog.referrers.get(parent, set()).discard(catalog.key(table.name))


def _rename_dependent(table: Table, kind: str, old: str, new: str) -> None:
    if kind == "trigger" and old in table.triggers:
        table.triggers.remove(old)
        table.triggers.add(new)
    if kind == "trigger" and old in table.trigger_functions:
        table.trigger_functions[new] = table.trigger_functions.pop(old)
    table.dependents = [
        replace(one, name=Name(new)) if (one.kind, one.name.name) == (kind, old) else one for one in table.dependents
    ]


def _rename_constraint(table: Table | None, old: str, new: str) -> None:
    constraint = table.constraints.pop(old, None) if table is not None else None
    if table is not None and constraint is not None:
        table.constraints[new] = replace(constraint, name=new)


def _rename_object(catalog: Catalog, op: ops.RenameObject, unit: int | None) -> None:
    del unit
    if op.kind == "index":
        table = catalog.table(op.table) if op.table else catalog.table_of_index(op.name)
        if table is not None and (index := table.indexes.pop(catalog.fold(op.name.name), None)) is not None:
            _drop_index(catalog, ops.DropIndex(op.name), None)
            _add_index(catalog, table, replace(index, name=op.new_name))
            _rename_constraint(table, op.name.name, op.new_name)
    elif op.kind == "constraint" and op.table is not None:
        table = catalog.table(op.table)
        _rename_constraint(table, op.name.name, op.new_name)
        index = table.indexes.get(op.name.name) if table is not None else None
        if table is not None and index is not None and index.backs is not None:
            _drop_index(catalog, ops.DropIndex(Name(index.name, table.name.schema)), None)
            _add_index(catalog, table, replace(index, name=op.new_name))
    elif op.kind in ("trigger", "policy", "rule") and op.table is not None:
        _rename_dependent(_table(catalog, op.table), op.kind, op.name.name, op.new_name)
    elif op.kind == "function":
        _rename_function(catalog, op.name.name, op.new_name)
    elif op.kind in ("view", "materialized-view"):
        _move(catalog, op.name, Name(op.new_name, op.name.schema))
    elif op.kind == "schema":
        for key in [key for key in catalog.tables if key[0] == op.name.name]:
            _move(catalog, Name(key[1], key[0]), Name(key[1], op.new_name))
    elif op.kind in ("type", "domain"):
        _rename_type(catalog, op.name.name, op.new_name)


def _rename_function(catalog: Catalog, old: str, new: str) -> None:
    if old in catalog.functions:
        catalog.functions[new] = catalog.functions.pop(old)
    for table in catalog.tables.values():
        for trigger, function in table.trigger_functions.items():
            if function.name == old:
                table.trigger_functions[trigger] = Name(new, function.schema)


def _rename_type(catalog: Catalog, old: str, new: str) -> None:
    for table in catalog.tables.values():
        for key, column in table.columns.items():
            if column.type is not None and column.type.name == old:
                table.columns[key] = replace(column, type=column.type._replace(name=new))
    if old in catalog.enums:
        catalog.enums[new] = catalog.enums.pop(old)
    if old in catalog.domains:
        catalog.domains[new] = catalog.domains.pop(old)


def _drop_object(catalog: Catalog, op: ops.DropObject, unit: int | None) -> None:
    del unit
    if op.kind in ("view", "materialized-view"):
        _forget_views_on(catalog, catalog.key(op.name))
        _forget(catalog, op.name)
    elif op.kind == "schema":
        for key in [key for key in catalog.tables if key[0] == op.name.name]:
            _forget_views_on(catalog, key)
            _forget(catalog, Name(key[1], key[0]))
        _forget_triggers(catalog, lambda function: function.schema == op.name.name)
    elif op.kind in ("type", "domain"):
        catalog.enums.pop(op.name.name, None)
        catalog.domains.pop(op.name.name, None)
    elif op.kind in ("function", "routine"):
        catalog.functions.pop(op.name.name, None)
        _forget_triggers(catalog, lambda function: function.name == op.name.name)
    elif op.table is not None and (table := catalog.table(op.table)) is not None:
        if op.kind == "trigger":
            _forget_trigger(table, op.name.name)
        table.dependents = [one for one in table.dependents if (one.kind, one.name) != (op.kind, op.name)]


def _forget_triggers(catalog: Catalog, gone: Callable[[Name], bool]) -> None:
    """Forget the triggers whose functions are dropped: PostgreSQL drops them too, or refuses."""
    for table in catalog.tables.values():
        for name in [name for name, function in table.trigger_functions.items() if gone(function)]:
            _forget_trigger(table, name)


def _forget_trigger(table: Table, name: str) -> None:
    table.triggers.discard(name)
    table.trigger_functions.pop(name, None)
    table.dependents = [one for one in table.dependents if (one.kind, one.name.name) != ("trigger", name)]


def _create_object(catalog: Catalog, op: ops.CreateObject, unit: int | None) -> None:
    del unit
    if op.kind == "function" and op.name is not None and op.volatility is not None:
        catalog.functions[op.name.name] = op.volatility
    elif op.uses and op.name is not None:
        _depend(catalog, op.kind, op.name, op.uses)


def _depend(catalog: Catalog, kind: str, name: Name, uses: Iterable[ops.ColumnUse]) -> None:
    """Write down which columns of which tables an object names."""
    named: dict[tuple[str, str], set[str] | None] = {}
    for use in uses:
        for table in _sources_of(catalog, use):
            key = catalog.key(table.name)
            if use.column is None:
                named[key] = set(table.columns) if table.complete else None
            elif (known := named.setdefault(key, set())) is not None:
                known.add(use.column)
    for key, columns in named.items():
        catalog.tables[key].dependents.append(Dependent(kind, name, None if columns is None else frozenset(columns)))


def _sources_of(catalog: Catalog, use: ops.ColumnUse) -> list[Table]:
    """Return the tables from which a column comes: of the innermost query that has one with such a column."""
    for level in use.sources:
        tables = [catalog.table(source) for source in level if source is not None]
        known = [table for table in tables if table is not None]
        if use.column is None:
            return known
        found = [table for table in known if use.column in table.columns]
        if found or (len(level) == 1 and known and not known[0].complete):
            return found or known
    return []


def _release(catalog: Catalog, sources: Iterable[Name], kinds: set[str], name: Name) -> None:
    """Forget that an object names columns of `sources`."""
    for source in sources:
        table = catalog.table(source)
        if table is not None:
            table.dependents = [one for one in table.dependents if one.kind not in kinds or one.name != name]


def _create_view(catalog: Catalog, op: ops.CreateView, unit: int | None) -> None:
    key = _new_key(catalog, op.name)
    old = catalog.tables.get(key)
    kind: TableKind = "materialized-view" if op.materialized else "view"
    unit = old.unit if old else unit
    name = Name(op.name.name, key[0])
    _forget(catalog, name)
    catalog.views.add(key)
    reads = tuple(Name(source.name, catalog.key(source)[0]) for source in op.reads)  # whatever the path will be later
    catalog.tables[key] = Table(name, kind, complete=False, unit=unit, reads=reads)
    _depend(catalog, kind, name, op.uses)


def _enum(catalog: Catalog, op: ops.CreateEnum, unit: int | None) -> None:
    del unit
    catalog.enums[op.name.name] = op.values


def _enum_value(catalog: Catalog, op: ops.AddEnumValue, unit: int | None) -> None:
    del unit
    catalog.enums[op.name.name] = (*catalog.enums.get(op.name.name, ()), op.value)


def _domain(catalog: Catalog, op: ops.CreateDomain, unit: int | None) -> None:
    del unit
    inherited = catalog.is_constrained(op.base)
    checks: dict[str, str] = {}
    for check in op.checks:
        _add_domain_check(checks, op.name, check)
    catalog.domains[op.name.name] = Domain(op.base, op.constrained or inherited, checks, op.not_null, op.default)


def _add_domain_check(checks: dict[str, str], domain: Name, check: Constraint) -> None:
    """Add a check under its name, or under the one that PostgreSQL chooses."""
    names = (f"{domain.name}_check{number or ''}" for number in range(len(checks) + 1))
    name = check.name or next(one for one in names if one not in checks)
    checks[name] = check.expression.sql if check.expression is not None else ""


def _alter_domain(catalog: Catalog, op: ops.AlterDomain, unit: int | None) -> None:
    del unit
    domain = catalog.domains.get(op.name.name)
    if domain is None:
        return
    checks = dict(domain.checks)
    if op.action == "add" and op.constraint is not None and op.constraint.kind == "check":
        _add_domain_check(checks, op.name, op.constraint)
        domain = replace(domain, constrained=True, checks=checks)
    elif op.action in ("add", "set-not-null"):
        domain = replace(domain, constrained=True, not_null=True)
    elif op.action == "drop-not-null":
        domain = replace(domain, not_null=False)
    elif op.action == "drop" and op.constraint_name in checks:
        del checks[op.constraint_name]
        domain = replace(domain, checks=checks)
    elif op.action != "validate":
        domain = replace(domain, known=False)
    catalog.domains[op.name.name] = domain


def _attach(catalog: Catalog, op: ops.AttachPartition, unit: int | None) -> None:
    del unit
    parent, child = _table(catalog, op.table), _table(catalog, op.child)
    parent.kind = "partitioned"
    parent.partitions.add(child.name)
    child.parent, child.bound = parent.name, op.bound
    _inherit_indexes(catalog, parent, child)


def _detach(catalog: Catalog, op: ops.DetachPartition, unit: int | None) -> None:
    del unit
    parent, child = _table(catalog, op.table), _table(catalog, op.child)
    parent.partitions.discard(child.name)
    child.parent = child.bound = None


def _create_trigger(catalog: Catalog, op: ops.CreateTrigger, unit: int | None) -> None:
    del unit
    table = _table(catalog, op.table)
    table.triggers.add(op.name)
    if op.function is not None:
        table.trigger_functions[op.name] = op.function
    _depend(catalog, "trigger", Name(op.name), op.uses)


def _alter_table(catalog: Catalog, op: ops.AlterTable, unit: int | None) -> None:
    del unit
    if op.action in ("enable-rls", "disable-rls"):
        _table(catalog, op.table).row_security = op.action == "enable-rls"
    elif op.action in ("convert-charset", "default-charset", "collate"):
        _encode(_table(catalog, op.table), op)


def _encode(table: Table, op: ops.AlterTable) -> None:
    """Give a table another default encoding; with CONVERT its texts too, without it they keep what they have."""
    for key, column in table.columns.items():
        if column.type is None or column.type.name not in mysql_types.TEXTS:
            continue
        if op.action == "convert-charset":
            table.columns[key] = replace(column, type=column.type._replace(charset=None), collation=None)
        elif column.type.charset is None and column.collation is None:
            kept = replace(column, type=column.type._replace(charset=table.charset), collation=table.collation)
            table.columns[key] = kept
    name, _, collation = (op.detail or "").partition(" COLLATE ")
    if op.action == "collate":
        table.charset, table.collation = None, name.lower()
    else:
        table.charset, table.collation = name, collation or None


def _set_variable(catalog: Catalog, op: ops.SetVariable, unit: int | None) -> None:
    del unit
    if op.name == "search_path" and not op.local:
        schemas = [word.strip(" \"'") for word in (op.value or DEFAULT_SCHEMA).split(",")]
        catalog.search_path = tuple(word for word in schemas if word and word not in ("$user", "pg_catalog"))


_HANDLERS: dict[type[Operation], Callable[[Catalog, Any, int | None], None]] = {
    ops.CreateTable: _create_table,
    ops.DropTable: _drop_table,
    ops.RenameTable: _rename_table,
    ops.SetSchema: _set_schema,
    ops.AddColumn: _add_column_op,
    ops.DropColumn: _drop_column,
    ops.RenameColumn: _rename_column,
    ops.AlterColumnType: _alter_type,
    ops.ModifyColumn: _modify,
    ops.SetNotNull: _set_not_null,
    ops.DropNotNull: _drop_not_null,
    ops.SetDefault: _set_default,
    ops.DropDefault: _drop_default,
    ops.AlterIdentity: _identity,
    ops.AlterGeneration: _generation,
    ops.AddConstraint: _add_constraint_op,
    ops.ValidateConstraint: _validate,
    ops.DropConstraint: _drop_constraint,
    ops.CreateIndex: _create_index,
    ops.DropIndex: _drop_index,
    ops.RenameObject: _rename_object,
    ops.DropObject: _drop_object,
    ops.CreateObject: _create_object,
    ops.CreateView: _create_view,
    ops.CreateEnum: _enum,
    ops.AddEnumValue: _enum_value,
    ops.CreateDomain: _domain,
    ops.AlterDomain: _alter_domain,
    ops.AttachIndex: _attach_index,
    ops.AttachPartition: _attach,
    ops.DetachPartition: _detach,
    ops.CreateTrigger: _create_trigger,
    ops.AlterTable: _alter_table,
    ops.SetVariable: _set_variable,
}
