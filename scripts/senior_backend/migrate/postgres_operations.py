"""From libpg_query's tree to operations: the second half of the seam that `postgres.py` opens."""

from __future__ import annotations

import importlib
from functools import cached_property
from typing import TYPE_CHECKING, Any, cast

from senior_backend.migrate import operations as ops
from senior_backend.migrate.operations import Column, Constraint, IndexColumn, Name, Operation, Type
from senior_backend.migrate.postgres_uses import uses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

# Its type stubs have a syntax error, over which mypy would stop.
tree: Any = importlib.import_module("postgast.pg_query_pb2")
Node = Any
"""A protobuf message of the parse tree; its classes are made at run time, so that types cannot name them."""


class PostgresExpression:
    """An expression of the tree; its parts are read when they are asked for."""

    def __init__(self, node: Node) -> None:
        self.node = node

    @cached_property
    def sql(self) -> str:
        """The expression as SQL."""
        from senior_backend.migrate.postgres import deparse_expression

        return deparse_expression(self.node)

    @cached_property
    def functions(self) -> frozenset[Name]:
        """The functions it calls."""
        return frozenset(_name_of(message.funcname) for kind, message in _messages(self.node) if kind == "FuncCall")

    @cached_property
    def columns(self) -> frozenset[str]:
        """The columns it names."""
        return frozenset(
            message.fields[-1].string.sval
            for kind, message in _messages(self.node)
            if kind == "ColumnRef" and message.fields[-1].HasField("string")
        )

    @cached_property
    def is_null(self) -> bool:
        """Whether it is NULL, or NULL cast to a type."""
        node = self.node
        while node.WhichOneof("node") == "type_cast":
            node = node.type_cast.arg
        return bool(node.WhichOneof("node") == "a_const" and node.a_const.isnull)

    @cached_property
    def not_null_columns(self) -> frozenset[str]:
        """The columns that it proves to be not null: `a IS NOT NULL`, alone or joined by AND."""
        return frozenset(_not_null_columns(self.node))

    @cached_property
    def cast_of(self) -> str | None:
        """The column that it is, cast or not; None for anything more."""
        node = self.node
        while node.WhichOneof("node") == "type_cast":
            node = node.type_cast.arg
        if node.WhichOneof("node") != "column_ref":
            return None
        return str(node.column_ref.fields[-1].string.sval)

    @cached_property
    def constant_true(self) -> bool:
        """Whether it is true whatever the row: TRUE, NOT FALSE, 1 = 1, NULL IS NULL."""
        return _constant(self.node) is True

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PostgresExpression) and self.sql == other.sql

    def __hash__(self) -> int:
        return hash(self.sql)

    def __repr__(self) -> str:
        return f"PostgresExpression({self.sql!r})"


def _constant(node: Node) -> bool | None:
    """Return the truth of a condition that names no column; None where it is not that simple."""
    kind = node.WhichOneof("node")
    if kind == "a_const" and node.a_const.HasField("boolval"):
        return bool(node.a_const.boolval.boolval)
    if kind == "bool_expr" and node.bool_expr.boolop == tree.NOT_EXPR:
        inner = _constant(node.bool_expr.args[0])
        return None if inner is None else not inner
    if kind == "null_test" and node.null_test.arg.HasField("a_const"):
        return bool(node.null_test.arg.a_const.isnull == (node.null_test.nulltesttype == tree.IS_NULL))
    if kind == "a_expr" and node.a_expr.name and node.a_expr.name[-1].string.sval in ("=", "<>"):
        sides = (node.a_expr.lexpr, node.a_expr.rexpr)
        if all(side.HasField("a_const") and not side.a_const.isnull for side in sides):
            same = PostgresExpression(sides[0]) == PostgresExpression(sides[1])
            return bool(same == (node.a_expr.name[-1].string.sval == "="))
    return None


def _messages(node: Node) -> Iterator[tuple[str, Node]]:
    waiting = [node]
    while waiting:
        message = waiting.pop()
        yield message.DESCRIPTOR.name, message
        for field, value in message.ListFields():
            if field.message_type is not None:
                waiting.extend(value if hasattr(value, "append") else [value])


def _not_null_columns(node: Node) -> Iterator[str]:
    kind = node.WhichOneof("node")
    if (
        kind == "null_test"
        and node.null_test.nulltesttype == tree.IS_NOT_NULL
        and node.null_test.arg.HasField("column_ref")
    ):
        yield node.null_test.arg.column_ref.fields[-1].string.sval
    elif kind == "bool_expr" and node.bool_expr.boolop == tree.AND_EXPR:
        for argument in node.bool_expr.args:
            yield from _not_null_columns(argument)


def operations_of(kind: str, node: Node) -> Iterable[Operation]:
    """Return what a statement of `kind` (the tree's own word, such as `alter_table_stmt`) does."""
    reader = _READERS.get(kind)
    return (ops.Other(kind.removesuffix("_stmt").replace("_", "-")),) if reader is None else reader(node)


def _strings(nodes: Iterable[Node]) -> list[str]:
    return [node.string.sval for node in nodes]


def _name_of(nodes: Iterable[Node]) -> Name:
    parts = _strings(nodes)
    return Name(parts[-1], parts[-2] if len(parts) > 1 else None)


def _relation(node: Node) -> Name:
    return Name(node.relname, node.schemaname or None)


def _any_name(node: Node) -> Name:
    """Return the name that a DROP, RENAME or COMMENT statement holds as a node of one of several kinds."""
    kind = node.WhichOneof("node")
    if kind == "list":
        return _name_of(node.list.items)
    if kind == "string":
        return Name(node.string.sval)
    if kind == "type_name":
        return _name_of(node.type_name.names)
    if kind == "object_with_args":
        return _name_of(node.object_with_args.objname)
    if kind == "range_var":
        return _relation(node.range_var)
    return Name(str(kind))


def _expression(node: Node) -> PostgresExpression:
    return PostgresExpression(node)


def read_type(node: Node) -> Type:
    """Return the type that a `TypeName` of the tree names."""
    names = node.names
    name = names[-1].string.sval
    schema = names[-2].string.sval if len(names) > 1 else None
    if schema == "pg_catalog":
        schema = None
    modifiers: tuple[int | str, ...] = ()
    if node.typmods:
        constants = [item.a_const for item in node.typmods]
        modifiers = tuple(item.ival.ival if not item.HasField("sval") else item.sval.sval for item in constants)
        if name == "interval":
            modifiers = modifiers[1:]
    return Type(name, modifiers, len(node.array_bounds), schema)


_CONSTRAINT_KINDS: dict[int, ops.ConstraintKind] = {
    tree.CONSTR_NOTNULL: "not-null",
    tree.CONSTR_CHECK: "check",
    tree.CONSTR_PRIMARY: "primary-key",
    tree.CONSTR_UNIQUE: "unique",
    tree.CONSTR_EXCLUSION: "exclude",
    tree.CONSTR_FOREIGN: "foreign-key",
}
_IDENTITY_WORDS = {"a": "always", "d": "by default"}
_FK_ACTIONS = {"c": "cascade", "n": "set null", "d": "set default", "r": "restrict"}


def _constraint(node: Node, column: str | None = None) -> Constraint:
    kind = _CONSTRAINT_KINDS[node.contype]
    name = node.conname or None
    if kind == "check":
        return Constraint(
            kind,
            name,
            expression=PostgresExpression(node.raw_expr),
            valid=not node.skip_validation,
            enforced=node.is_enforced,
        )
    if kind == "foreign-key":
        return Constraint(
            kind,
            name,
            (column,) if column else tuple(_strings(node.fk_attrs)),
            references=_relation(node.pktable),
            reference_columns=tuple(_strings(node.pk_attrs)),
            valid=not node.skip_validation,
            on_delete=_FK_ACTIONS.get(node.fk_del_action),
            on_update=_FK_ACTIONS.get(node.fk_upd_action),
            deferrable=node.deferrable,
            enforced=node.is_enforced,
        )
    if kind == "exclude":
        columns = tuple(item.list.items[0].index_elem.name for item in node.exclusions)
        return Constraint(kind, name, columns, deferrable=node.deferrable)
    keys = (column,) if column else tuple(_strings(node.keys))
    return Constraint(
        kind,
        name,
        keys,
        valid=not node.skip_validation,
        using_index=node.indexname or None,
        deferrable=node.deferrable,
    )


def _column(node: Node) -> Column:
    name = node.colname
    not_null, default, generated, generation, identity = False, None, None, None, None
    constraints: list[Constraint] = []
    for item in node.constraints:
        constraint = item.constraint
        kind = constraint.contype
        if kind == tree.CONSTR_NOTNULL:
            not_null = True
        elif kind == tree.CONSTR_DEFAULT:
            default = PostgresExpression(constraint.raw_expr)
        elif kind == tree.CONSTR_IDENTITY:
            identity = _IDENTITY_WORDS.get(constraint.generated_when, "always")
        elif kind == tree.CONSTR_GENERATED:
            generation = PostgresExpression(constraint.raw_expr)
            generated = "virtual" if constraint.generated_kind == "v" else "stored"
        elif kind in _CONSTRAINT_KINDS:
            constraints.append(_constraint(constraint, name))
    return Column(
        name,
        read_type(node.type_name) if node.HasField("type_name") else None,
        not_null,
        default,
        cast("ops.Generated | None", generated),
        generation,
        identity,
        _name_of(node.coll_clause.collname).name if node.HasField("coll_clause") else None,
        constraints=tuple(constraints),
    )


def _create_table(node: Node, *, foreign: bool = False) -> Iterator[Operation]:
    columns: list[Column] = []
    constraints: list[Constraint] = []
    like: list[Name] = []
    for element in node.table_elts:
        kind = element.WhichOneof("node")
        if kind == "column_def":
            columns.append(_column(element.column_def))
        elif kind == "constraint":
            if element.constraint.contype in _CONSTRAINT_KINDS:
                constraints.append(_constraint(element.constraint))
        elif kind == "table_like_clause":
            like.append(_relation(element.table_like_clause.relation))
    parents = tuple(_relation(parent.range_var) for parent in node.inh_relations)
    partition = node.HasField("partbound")
    key = _partition_key(node.partspec) if node.HasField("partspec") else None
    yield ops.CreateTable(
        _relation(node.relation),
        tuple(columns),
        tuple(constraints),
        if_not_exists=node.if_not_exists,
        temporary=node.relation.relpersistence == "t",
        partition_of=parents[0] if partition else None,
        partitioned=key is not None,
        partition_key=key,
        bound=partition_bound(node.partbound) if partition else None,
        like=tuple(like),
        inherits=() if partition else parents,
        foreign=foreign,
    )


_STRATEGIES = {
    tree.PARTITION_STRATEGY_RANGE: "range",
    tree.PARTITION_STRATEGY_LIST: "list",
    tree.PARTITION_STRATEGY_HASH: "hash",
}


def _partition_key(node: Node) -> ops.PartitionKey:
    columns = tuple(item.partition_elem.name or None for item in node.part_params)
    return ops.PartitionKey(_STRATEGIES[node.strategy], columns)


def partition_bound(node: Node) -> ops.PartitionBound:
    """Return the rows of a partition that FOR VALUES or DEFAULT of the tree names."""
    if node.is_default:
        return ops.PartitionBound("default")
    strategy = {"r": "range", "l": "list"}.get(node.strategy, "hash")
    lower, upper, values = (
        tuple(_bound_value(item) for item in items) for items in (node.lowerdatums, node.upperdatums, node.listdatums)
    )
    return ops.PartitionBound(strategy, lower, upper, values)


def _bound_value(node: Node) -> str | None:
    """Return a value of a bound as it was written; None for MINVALUE, MAXVALUE and NULL."""
    value = PostgresExpression(node)
    if value.is_null:
        return None
    if node.HasField("column_ref") and value.columns <= {"minvalue", "maxvalue"}:
        return None
    return value.sql


def _create_table_as(node: Node) -> Iterator[Operation]:
    relation = node.into.rel
    name = _relation(relation)
    if node.objtype == tree.OBJECT_MATVIEW:
        yield ops.CreateView(name, materialized=True, reads=_tables_read(node.query), uses=tuple(uses(node.query)))
    else:
        yield ops.CreateTable(
            name, if_not_exists=node.if_not_exists, temporary=relation.relpersistence == "t", from_query=True
        )


def _tables_read(query: Node) -> tuple[Name, ...]:
    return tuple(dict.fromkeys(_relation(message) for kind, message in _messages(query) if kind == "RangeVar"))


def _index(node: Node) -> Iterator[Operation]:
    yield ops.CreateIndex(
        _relation(node.relation),
        node.idxname or None,
        tuple(_index_key(element.index_elem) for element in node.index_params),
        node.unique,
        node.concurrent,
        node.if_not_exists,
        not node.relation.inh,
        node.access_method,
        PostgresExpression(node.where_clause) if node.HasField("where_clause") else None,
        tuple(element.index_elem.name for element in node.index_including_params),
        nulls_distinct=not node.nulls_not_distinct,
    )


def _index_key(node: Node) -> IndexColumn:
    name = node.name or None
    descending, nulls = node.ordering == tree.SORTBY_DESC, node.nulls_ordering
    named = [f'COLLATE "{one}"' for one in _strings(node.collation)[-1:]]
    named += [f'"{one}"' for one in _strings(node.opclass)[-1:]]
    if node.opclassopts:
        settings = (f"{item.def_elem.defname}={_value(item.def_elem)}" for item in node.opclassopts)
        named[-1] += f" ({', '.join(settings)})"
    order = ["DESC"] if descending else []
    if nulls not in (tree.SORTBY_NULLS_DEFAULT, tree.SORTBY_NULLS_FIRST if descending else tree.SORTBY_NULLS_LAST):
        order.append("NULLS LAST" if descending else "NULLS FIRST")
    return IndexColumn(name, None if name else PostgresExpression(node.expr), None, " ".join((*named, *order)))


_OBJECT_WORDS = {
    value.number: value.name.removeprefix("OBJECT_").lower().replace("_", "-")
    for value in tree.ObjectType.DESCRIPTOR.values
} | {
    tree.OBJECT_MATVIEW: "materialized-view",
    tree.OBJECT_TABCONSTRAINT: "constraint",
    tree.OBJECT_DOMCONSTRAINT: "domain-constraint",
}
_VIEWS = (tree.OBJECT_VIEW, tree.OBJECT_MATVIEW)
_CASCADE = tree.DROP_CASCADE


def _alter_table(node: Node) -> Iterator[Operation]:
    table = _relation(node.relation)
    if node.objtype == tree.OBJECT_INDEX:
        for item in node.cmds:
            command = item.alter_table_cmd
            if command.subtype == tree.AT_AttachPartition:
                yield ops.AttachIndex(table, _relation(getattr(command, "def").partition_cmd.name))
            else:
                yield ops.AlterObject("index", table, _ACTIONS.get(command.subtype, "options"))
        return
    if node.objtype in (*_VIEWS, tree.OBJECT_SEQUENCE, tree.OBJECT_TYPE):
        kind = _OBJECT_WORDS[node.objtype]
        for item in node.cmds:
            word = _ACTIONS.get(item.alter_table_cmd.subtype, "attribute" if kind == "type" else "options")
            yield ops.AlterObject(kind, table, word)
        return
    for item in node.cmds:
        command = item.alter_table_cmd
        reader = _COMMANDS.get(command.subtype)
        if reader is not None:
            yield reader(table, command)
        else:
            yield ops.AlterTable(table, _ACTIONS.get(command.subtype, "other"), _detail(command))


def _detail(command: Node) -> str | None:
    """Return what an action is about: a name, the kind of a replica identity, storage parameters and their values."""
    if command.subtype == tree.AT_ReplicaIdentity:
        return _IDENTITIES.get(_definition(command).replica_identity_stmt.identity_type)
    if command.subtype == tree.AT_SetRelOptions:
        parameters = (item.def_elem for item in _definition(command).list.items)
        return " ".join(f"{one.defnamespace}.{one.defname}={_value(one)}".lstrip(".").lower() for one in parameters)
    return command.name or None


def _value(element: Node) -> str:
    """Return the value of a storage parameter; a bare word is read as the name of a type."""
    if not element.HasField("arg"):
        return "true"
    argument = element.arg
    if argument.HasField("type_name"):
        return str(argument.type_name.names[-1].string.sval)
    return str(argument.string.sval or argument.float.fval or argument.integer.ival)


_IDENTITIES = {"n": "nothing", "d": "default", "f": "full", "i": "index"}


def _definition(command: Node) -> Node:
    return getattr(command, "def")


def _alter_type(table: Name, command: Node) -> Operation:
    column = _definition(command).column_def
    return ops.AlterColumnType(
        table,
        command.name,
        read_type(column.type_name),
        PostgresExpression(column.raw_default) if column.HasField("raw_default") else None,
        _name_of(column.coll_clause.collname).name if column.HasField("coll_clause") else None,
    )


def _column_default(table: Name, command: Node) -> Operation:
    if command.HasField("def"):
        return ops.SetDefault(table, command.name, PostgresExpression(_definition(command)))
    return ops.DropDefault(table, command.name)


def _detach(table: Name, command: Node) -> Operation:
    partition = _definition(command).partition_cmd
    return ops.DetachPartition(table, _relation(partition.name), partition.concurrent)


_COMMANDS: dict[int, Callable[[Name, Node], Operation]] = {
    tree.AT_AddColumn: lambda table, cmd: ops.AddColumn(table, _column(_definition(cmd).column_def), cmd.missing_ok),
    tree.AT_ColumnDefault: _column_default,
    tree.AT_DropNotNull: lambda table, cmd: ops.DropNotNull(table, cmd.name),
    tree.AT_SetNotNull: lambda table, cmd: ops.SetNotNull(table, cmd.name),
    tree.AT_SetExpression: lambda table, cmd: ops.AlterGeneration(
        table, cmd.name, PostgresExpression(_definition(cmd))
    ),
    tree.AT_DropExpression: lambda table, cmd: ops.AlterGeneration(table, cmd.name),
    tree.AT_DropColumn: lambda table, cmd: ops.DropColumn(table, cmd.name, cmd.missing_ok, cmd.behavior == _CASCADE),
    tree.AT_AddConstraint: lambda table, cmd: ops.AddConstraint(table, _constraint(_definition(cmd).constraint)),
    tree.AT_ValidateConstraint: lambda table, cmd: ops.ValidateConstraint(table, cmd.name),
    tree.AT_DropConstraint: lambda table, cmd: ops.DropConstraint(
        table, cmd.name, None, cmd.missing_ok, cmd.behavior == _CASCADE
    ),
    tree.AT_AlterColumnType: _alter_type,
    tree.AT_AttachPartition: lambda table, cmd: ops.AttachPartition(
        table,
        _relation(_definition(cmd).partition_cmd.name),
        partition_bound(_definition(cmd).partition_cmd.bound),
    ),
    tree.AT_DetachPartition: _detach,
    tree.AT_DetachPartitionFinalize: lambda table, cmd: ops.DetachPartition(
        table, _relation(_definition(cmd).partition_cmd.name), finalize=True
    ),
    tree.AT_AddIdentity: lambda table, cmd: ops.AlterIdentity(table, cmd.name, "add"),
    tree.AT_SetIdentity: lambda table, cmd: ops.AlterIdentity(table, cmd.name, "set"),
    tree.AT_DropIdentity: lambda table, cmd: ops.AlterIdentity(table, cmd.name, "drop"),
}
_ACTIONS = {
    tree.AT_SetStatistics: "set-statistics",
    tree.AT_SetOptions: "set-options",
    tree.AT_ResetOptions: "reset-options",
    tree.AT_SetStorage: "set-storage",
    tree.AT_SetCompression: "set-compression",
    tree.AT_AlterConstraint: "alter-constraint",
    tree.AT_ChangeOwner: "owner",
    tree.AT_ClusterOn: "cluster-on",
    tree.AT_DropCluster: "drop-cluster",
    tree.AT_SetLogged: "set-logged",
    tree.AT_SetUnLogged: "set-unlogged",
    tree.AT_SetAccessMethod: "set-access-method",
    tree.AT_SetTableSpace: "set-tablespace",
    tree.AT_SetRelOptions: "set-parameters",
    tree.AT_ResetRelOptions: "reset-parameters",
    tree.AT_EnableTrig: "enable-trigger",
    tree.AT_EnableAlwaysTrig: "enable-trigger",
    tree.AT_EnableReplicaTrig: "enable-trigger",
    tree.AT_EnableTrigAll: "enable-trigger",
    tree.AT_EnableTrigUser: "enable-trigger",
    tree.AT_DisableTrig: "disable-trigger",
    tree.AT_DisableTrigAll: "disable-trigger",
    tree.AT_DisableTrigUser: "disable-trigger",
    tree.AT_EnableRule: "enable-rule",
    tree.AT_EnableAlwaysRule: "enable-rule",
    tree.AT_EnableReplicaRule: "enable-rule",
    tree.AT_DisableRule: "disable-rule",
    tree.AT_AddInherit: "inherit",
    tree.AT_DropInherit: "no-inherit",
    tree.AT_AddOf: "of",
    tree.AT_DropOf: "not-of",
    tree.AT_ReplicaIdentity: "replica-identity",
    tree.AT_EnableRowSecurity: "enable-rls",
    tree.AT_DisableRowSecurity: "disable-rls",
    tree.AT_ForceRowSecurity: "force-rls",
    tree.AT_NoForceRowSecurity: "no-force-rls",
}


def _rename(node: Node) -> Iterator[Operation]:
    kind = _OBJECT_WORDS.get(node.rename_type, "object")
    if kind == "table":
        yield ops.RenameTable(_relation(node.relation), node.newname)
    elif kind == "column":
        view = node.relation_type in _VIEWS
        yield ops.RenameColumn(_relation(node.relation), node.subname, node.newname, view)
    elif kind in ("constraint", "policy", "trigger", "rule"):
        table = _relation(node.relation)
        yield ops.RenameObject(kind, Name(node.subname), node.newname, table)
    elif node.HasField("relation") and node.relation.relname:
        yield ops.RenameObject(kind, _relation(node.relation), node.newname)
    else:
        name = _any_name(node.object) if node.HasField("object") else Name(node.subname)
        yield ops.RenameObject(kind, name, node.newname)


def _drop(node: Node) -> Iterator[Operation]:
    kind = _OBJECT_WORDS.get(node.remove_type, "object")
    cascade = node.behavior == _CASCADE
    for item in node.objects:
        if kind in ("trigger", "rule", "policy"):
            parts = _strings(item.list.items)
            table = Name(parts[-2], parts[-3] if len(parts) > 2 else None)
            yield ops.DropObject(kind, Name(parts[-1]), node.missing_ok, cascade, table)
            continue
        name = _any_name(item)
        if kind in ("table", "foreign-table"):
            yield ops.DropTable(name, node.missing_ok, cascade)
        elif kind == "index":
            yield ops.DropIndex(name, None, node.concurrent, node.missing_ok, cascade)
        else:
            yield ops.DropObject(kind, name, node.missing_ok, cascade)


def _create_domain(node: Node) -> Iterator[Operation]:
    kinds = {_CONSTRAINT_KINDS.get(item.constraint.contype) for item in node.constraints}
    rules = [item.constraint for item in node.constraints]
    yield ops.CreateDomain(
        _name_of(node.domainname),
        read_type(node.type_name),
        bool(kinds & {"check", "not-null"}),
        tuple(_constraint(one) for one in rules if one.contype == tree.CONSTR_CHECK),
        "not-null" in kinds,
        next((PostgresExpression(one.raw_expr) for one in rules if one.contype == tree.CONSTR_DEFAULT), None),
    )


_DOMAIN_ACTIONS = {"T": "default", "N": "drop-not-null", "O": "set-not-null", "C": "add", "X": "drop", "V": "validate"}


def _alter_domain(node: Node) -> Iterator[Operation]:
    action = _DOMAIN_ACTIONS.get(node.subtype, "other")
    constraint = None
    if action == "add":
        constraint = _constraint(_definition(node).constraint)
    yield ops.AlterDomain(_name_of(node.type_name), action, constraint, node.name or None)


def _alter_enum(node: Node) -> Iterator[Operation]:
    name = _name_of(node.type_name)
    if node.old_val:
        yield ops.RenameEnumValue(name, node.old_val, node.new_val)
    else:
        yield ops.AddEnumValue(name, node.new_val, bool(node.new_val_neighbor), node.skip_if_new_val_exists)


def _set(node: Node) -> Iterator[Operation]:
    if node.kind in (tree.VAR_RESET, tree.VAR_RESET_ALL):
        yield ops.SetVariable(node.name or "all", None, node.is_local)
        return
    words = []
    for item in node.args:
        constant = item.a_const
        if constant.HasField("sval"):
            words.append(constant.sval.sval)
        elif constant.HasField("ival"):
            words.append(str(constant.ival.ival))
        elif constant.HasField("fval"):
            words.append(constant.fval.fval)
        else:
            words.append("on" if constant.boolval.boolval else "off")
    if node.name.startswith("TRANSACTION") or node.name.startswith("SESSION CHARACTERISTICS"):
        yield ops.Other("set-transaction")
    else:
        yield ops.SetVariable(node.name, ", ".join(words) if node.kind != tree.VAR_SET_DEFAULT else None, node.is_local)


_TRANSACTIONS: dict[int, ops.TransactionKind] = {
    tree.TRANS_STMT_BEGIN: "begin",
    tree.TRANS_STMT_START: "begin",
    tree.TRANS_STMT_COMMIT: "commit",
    tree.TRANS_STMT_ROLLBACK: "rollback",
    tree.TRANS_STMT_SAVEPOINT: "savepoint",
    tree.TRANS_STMT_RELEASE: "release",
    tree.TRANS_STMT_ROLLBACK_TO: "rollback-to",
    tree.TRANS_STMT_PREPARE: "prepare",
    tree.TRANS_STMT_COMMIT_PREPARED: "commit",
    tree.TRANS_STMT_ROLLBACK_PREPARED: "rollback",
}


def _transaction(node: Node) -> Iterator[Operation]:
    yield ops.Transaction(_TRANSACTIONS[node.kind])


_REINDEX_KINDS: dict[int, ops.ReindexKind] = {
    tree.REINDEX_OBJECT_INDEX: "index",
    tree.REINDEX_OBJECT_TABLE: "table",
    tree.REINDEX_OBJECT_SCHEMA: "schema",
    tree.REINDEX_OBJECT_SYSTEM: "system",
    tree.REINDEX_OBJECT_DATABASE: "database",
}


def _option_on(options: Iterable[Node], name: str) -> bool:
    """Whether an option list such as (CONCURRENTLY false, FULL) switches `name` on; the last one counts."""
    on = False
    for item in options:
        element = item.def_elem
        if element.defname.lower() == name:
            argument = element.arg
            text = (argument.string.sval or str(argument.integer.ival if argument.HasField("integer") else "")).lower()
            on = not element.HasField("arg") or text not in ("false", "off", "0", "no", "f")
            if argument.HasField("boolean"):
                on = argument.boolean.boolval
    return on


def _reindex(node: Node) -> Iterator[Operation]:
    kind = _REINDEX_KINDS[node.kind]
    name = _relation(node.relation) if node.relation.relname else (Name(node.name) if node.name else None)
    yield ops.Reindex(kind, name, _option_on(node.params, "concurrently"))


def _vacuum(node: Node) -> Iterator[Operation]:
    rewrites = node.is_vacuumcmd and _option_on(node.options, "full")
    command = "vacuum" if node.is_vacuumcmd else "analyze"
    if not node.rels:
        yield ops.Vacuum(command, None, rewrites)
    for item in node.rels:
        yield ops.Vacuum(command, _relation(item.vacuum_relation.relation), rewrites)


def _cluster(node: Node) -> Iterator[Operation]:
    table = _relation(node.relation) if node.relation.relname else None
    yield ops.Vacuum("cluster", table, rewrites=True)


def _function(node: Node) -> Iterator[Operation]:
    volatility = "volatile"
    for item in node.options:
        if item.def_elem.defname == "volatility":
            volatility = item.def_elem.arg.string.sval
    kind = "procedure" if node.is_procedure else "function"
    yield ops.CreateObject(kind, _name_of(node.funcname), node.replace, volatility=volatility)


def _common_tables(node: Node) -> Iterator[Operation]:
    """Yield what data-modifying WITH queries do."""
    if node.HasField("with_clause"):
        for item in node.with_clause.ctes:
            query = item.common_table_expr.ctequery
            kind = query.WhichOneof("node")
            if kind in ("update_stmt", "delete_stmt", "insert_stmt"):
                yield from operations_of(kind, getattr(query, kind))


def _filtered(node: Node) -> bool:
    return bool(node.HasField("where_clause") and not PostgresExpression(node.where_clause).constant_true)


def _update(node: Node) -> Iterator[Operation]:
    yield from _common_tables(node)
    plain = [item.res_target.name for item in node.target_list if not item.res_target.indirection]
    columns = tuple(dict.fromkeys(item.res_target.name for item in node.target_list))
    duplicates = tuple(name for name in columns if plain.count(name) > 1)
    yield ops.Update(_relation(node.relation), _filtered(node), columns, duplicates)


def _delete(node: Node) -> Iterator[Operation]:
    yield from _common_tables(node)
    yield ops.Delete(_relation(node.relation), _filtered(node))


def _insert(node: Node) -> Iterator[Operation]:
    yield from _common_tables(node)
    table, copies = _relation(node.relation), bool(node.select_stmt.select_stmt.from_clause)
    yield ops.Insert(table, copies, tuple(one for one in _tables_read(node) if one != table) if copies else ())


def _copy(node: Node) -> Iterator[Operation]:
    yield ops.Insert(_relation(node.relation)) if node.is_from else ops.Query()


def _select(node: Node) -> Iterator[Operation]:
    yield from _common_tables(node)
    if node.HasField("into_clause"):
        relation = node.into_clause.rel
        yield ops.CreateTable(_relation(relation), temporary=relation.relpersistence == "t", from_query=True)
        return
    if len(node.target_list) == 1 and not node.from_clause:
        call = node.target_list[0].res_target.val.func_call
        if call.funcname and _name_of(call.funcname).name == "set_config" and len(call.args) == 3:
            name, value = (argument.a_const.sval.sval for argument in call.args[:2])
            yield ops.SetVariable(name, value, call.args[2].a_const.boolval.boolval)
            return
    yield ops.Query()


_LOCK_MODES = ("", "ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE",
               "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE")  # fmt: skip


def _lock(node: Node) -> Iterator[Operation]:
    for item in node.relations:
        yield ops.LockTable(_relation(item.range_var), _LOCK_MODES[node.mode])


def _set_schema(node: Node) -> Iterator[Operation]:
    kind = _OBJECT_WORDS.get(node.object_type, "object")
    name = _relation(node.relation) if node.relation.relname else _any_name(node.object)
    yield ops.SetSchema(kind, name, node.newschema)


def _view(node: Node) -> Iterator[Operation]:
    yield ops.CreateView(
        _relation(node.view), replace=node.replace, reads=_tables_read(node.query), uses=tuple(uses(node.query))
    )


def _trigger(node: Node) -> Iterator[Operation]:
    table = _relation(node.relation)
    named = (ops.ColumnUse(column, ((table,),)) for column in _strings(node.columns))
    named_in_when = uses(node.when_clause, {"old": table, "new": table})
    yield ops.CreateTrigger(table, node.trigname, _name_of(node.funcname), (*named, *named_in_when))


def _truncate(node: Node) -> Iterator[Operation]:
    for item in node.relations:
        yield ops.Truncate(_relation(item.range_var), node.behavior == _CASCADE)


def _explain(node: Node) -> Iterator[Operation]:
    kind = node.query.WhichOneof("node")
    if _option_on(node.options, "analyze"):
        yield from operations_of(kind, getattr(node.query, kind))  # which runs it
    else:
        yield ops.Query()


def _named(kind: str, attribute: str) -> Callable[[Node], Iterator[Operation]]:
    def reader(node: Node) -> Iterator[Operation]:
        yield ops.CreateObject(
            kind, Name(getattr(node, attribute)), if_not_exists=getattr(node, "if_not_exists", False)
        )

    return reader


def _schema(node: Node) -> Iterator[Operation]:
    yield ops.CreateObject("schema", Name(node.schemaname) if node.schemaname else None)
    for element in node.schema_elts:
        kind = element.WhichOneof("node")
        yield from operations_of(kind, getattr(element, kind))


def _alter(kind: str, action: str, attribute: str | None = None) -> Callable[[Node], Iterator[Operation]]:
    def reader(node: Node) -> Iterator[Operation]:
        value = getattr(node, attribute) if attribute else None
        yield ops.AlterObject(kind, Name(value) if isinstance(value, str) and value else None, action)

    return reader


def _grant(node: Node) -> Iterator[Operation]:
    yield ops.Other("grant" if node.is_grant else "revoke")


def _owner(node: Node) -> Iterator[Operation]:
    name = _relation(node.relation) if node.HasField("relation") and node.relation.relname else _any_name(node.object)
    yield ops.AlterObject(_OBJECT_WORDS.get(node.object_type, "object"), name, "owner")


def _rule(node: Node) -> Iterator[Operation]:
    table = _relation(node.relation)
    rows: dict[str, Name | None] = {"old": table, "new": table}
    named = tuple(use for part in (node.where_clause, *node.actions) for use in uses(part, rows))
    yield ops.CreateObject("rule", Name(node.rulename), node.replace, table=table, uses=named)


def _create_policy(node: Node) -> Iterator[Operation]:
    table = _relation(node.table)
    named = tuple(use for part in (node.qual, node.with_check) for use in uses(part, {table.name: table}))
    yield ops.CreateObject("policy", Name(node.policy_name), table=table, uses=named)


def _alter_policy(node: Node) -> Iterator[Operation]:
    action = "roles" if node.roles and not (node.HasField("qual") or node.HasField("with_check")) else "condition"
    yield ops.AlterObject("policy", Name(node.policy_name), action, table=_relation(node.table))


_READERS: dict[str, Callable[[Node], Iterator[Operation]]] = {
    "alter_table_stmt": _alter_table,
    "index_stmt": _index,
    "create_stmt": _create_table,
    "create_foreign_table_stmt": lambda node: _create_table(node.base_stmt, foreign=True),
    "create_table_as_stmt": _create_table_as,
    "drop_stmt": _drop,
    "rename_stmt": _rename,
    "alter_object_schema_stmt": _set_schema,
    "create_domain_stmt": _create_domain,
    "alter_domain_stmt": _alter_domain,
    "create_enum_stmt": lambda node: iter((ops.CreateEnum(_name_of(node.type_name), tuple(_strings(node.vals))),)),
    "alter_enum_stmt": _alter_enum,
    "variable_set_stmt": _set,
    "transaction_stmt": _transaction,
    "reindex_stmt": _reindex,
    "vacuum_stmt": _vacuum,
    "cluster_stmt": _cluster,
    "create_function_stmt": _function,
    "update_stmt": _update,
    "delete_stmt": _delete,
    "insert_stmt": _insert,
    "merge_stmt": lambda node: iter((ops.Insert(_relation(node.relation), from_query=True),)),
    "copy_stmt": _copy,
    "select_stmt": _select,
    "lock_stmt": _lock,
    "view_stmt": _view,
    "refresh_mat_view_stmt": lambda node: iter(
        (ops.RefreshView(_relation(node.relation), node.concurrent, not node.skip_data),)
    ),
    "create_trig_stmt": _trigger,
    "truncate_stmt": _truncate,
    "explain_stmt": _explain,
    "create_schema_stmt": _schema,
    "create_extension_stmt": _named("extension", "extname"),
    "alter_extension_stmt": _alter("extension", "update", "extname"),
    "create_seq_stmt": lambda node: iter((ops.CreateObject("sequence", _relation(node.sequence)),)),
    "alter_seq_stmt": lambda node: iter((ops.AlterObject("sequence", _relation(node.sequence), "values"),)),
    "dropdb_stmt": lambda node: iter((ops.DropObject("database", Name(node.dbname), node.missing_ok),)),
    "createdb_stmt": _named("database", "dbname"),
    "drop_owned_stmt": lambda node: iter((ops.DropObject("owned", Name("role"), cascade=node.behavior == _CASCADE),)),
    "create_policy_stmt": _create_policy,
    "alter_policy_stmt": _alter_policy,
    "rule_stmt": _rule,
    "grant_stmt": _grant,
    "alter_owner_stmt": _owner,
    "alter_function_stmt": _alter("function", "options"),
    "alter_table_move_all_stmt": lambda node: iter(
        (ops.AlterObject(_OBJECT_WORDS[node.objtype], Name(node.orig_tablespacename), "move-all"),)
    ),
    "alter_role_stmt": _alter("role", "options"),
    "alter_role_set_stmt": _alter("role", "options"),
    "alter_database_stmt": _alter("database", "options", "dbname"),
    "alter_database_set_stmt": _alter("database", "options", "dbname"),
    "alter_system_stmt": _alter("system", "options"),
    "composite_type_stmt": lambda node: iter((ops.CreateObject("type", _relation(node.typevar)),)),
    "execute_stmt": lambda node: iter((ops.Opaque(f"EXECUTE of the prepared statement {node.name}"),)),
    "call_stmt": lambda _: iter((ops.Opaque("CALL of a procedure, which may do anything"),)),
}
