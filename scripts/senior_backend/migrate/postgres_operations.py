"""From libpg_query's tree to operations: the second half of the seam that `postgres.py` opens."""

from __future__ import annotations

import re
from functools import cache, cached_property
from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.operations import Column, Constraint, IndexColumn, Name, Operation, Type
from senior_backend.migrate.postgres_tree import NOTHING, Node, Parsed, expression_sql, opened, within
from senior_backend.migrate.postgres_uses import uses

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator


class PostgresExpression:
    """An expression of the tree; its parts are read when they are asked for."""

    def __init__(self, node: Node) -> None:
        self.node = node

    @cached_property
    def sql(self) -> str:
        """The expression as SQL."""
        return expression_sql(self.node)

    @cached_property
    def functions(self) -> frozenset[Name]:
        """The functions it calls."""
        return frozenset(_name_of(call["funcname"]) for kind, call in _nodes(self.node) if kind == "FuncCall")

    @cached_property
    def columns(self) -> frozenset[str]:
        """The columns it names."""
        return frozenset(
            node["fields"][-1]["String"]["sval"]
            for kind, node in _nodes(self.node)
            if kind == "ColumnRef" and "String" in node["fields"][-1]
        )

    @property
    def is_null(self) -> bool:
        """Whether it is NULL, or NULL cast to a type."""
        return "isnull" in self.without_casts.get("A_Const", NOTHING)

    @property
    def without_casts(self) -> Node:
        """What it casts to a type, or all of it."""
        node = self.node
        while "TypeCast" in node:
            node = node["TypeCast"]["arg"]
        return node

    @cached_property
    def not_null_columns(self) -> frozenset[str]:
        """The columns that it proves to be not null: `a IS NOT NULL`, alone or joined by AND."""
        return frozenset(_not_null_columns(self.node))

    @property
    def cast_of(self) -> str | None:
        """The column that it is, cast or not; None for anything more."""
        node = self.without_casts
        return _string(node["ColumnRef"]["fields"][-1]) if "ColumnRef" in node else None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PostgresExpression) and self.sql == other.sql

    def __hash__(self) -> int:
        return hash(self.sql)

    def __repr__(self) -> str:
        return f"PostgresExpression({self.sql!r})"


def _constant(node: Node) -> bool | None:
    """Return the truth of a condition that names no column; None where it is not that simple."""
    kind, body = opened(node)
    if kind == "A_Const" and "boolval" in body:
        return "boolval" in body["boolval"]
    if kind == "BoolExpr" and body["boolop"] == "NOT_EXPR":
        inner = _constant(body["args"][0])
        return None if inner is None else not inner
    if kind == "NullTest" and "A_Const" in body["arg"]:
        return ("isnull" in body["arg"]["A_Const"]) == bool(body["nulltesttype"] == "IS_NULL")
    if kind == "A_Expr" and "name" in body and (operator := _string(body["name"][-1])) in ("=", "<>"):
        sides = (body.get("lexpr", NOTHING), body.get("rexpr", NOTHING))
        if all("A_Const" in side and "isnull" not in side["A_Const"] for side in sides):
            same = PostgresExpression(sides[0]) == PostgresExpression(sides[1])
            return same == (operator == "=")
    return None


def _nodes(node: Node) -> Iterator[tuple[str, Node]]:
    """Yield the parts of a tree, each with its kind, or with the key under which it stands."""
    waiting = [("", node)]
    while waiting:
        kind, body = waiting.pop()
        yield kind, body
        for key, value in body.items():
            if isinstance(value, dict):
                waiting.append((key, value))
            elif isinstance(value, list):
                waiting.extend(("", item) for item in value if isinstance(item, dict))


def _not_null_columns(node: Node) -> Iterator[str]:
    kind, body = opened(node)
    if kind == "NullTest" and body["nulltesttype"] == "IS_NOT_NULL" and "ColumnRef" in body["arg"]:
        yield _string(body["arg"]["ColumnRef"]["fields"][-1])
    elif kind == "BoolExpr" and body["boolop"] == "AND_EXPR":
        for argument in body["args"]:
            yield from _not_null_columns(argument)


_QUERY_KEYS = ("targetList", "fromClause", "withClause")
"""One of them is in the tree of every query but VALUES."""


def operations_in(statement: Parsed) -> Iterable[Operation]:
    """Return what a statement of a script does; of one that only adds rows, the rows are not looked at.

    Raises:
        TooDeepError: it is nested too deeply.
    """
    kind = statement.kind
    if kind not in _READERS:
        return operations_of(kind, NOTHING)
    if kind == "InsertStmt" and not any(map(statement.mentions, _QUERY_KEYS)):
        return (ops.Insert(_relation(statement.relation)),)
    return operations_of(kind, statement.body)


def operations_of(kind: str, node: Node) -> Iterable[Operation]:
    """Return what a statement of `kind` (the tree's own word, such as `AlterTableStmt`) does."""
    reader = _READERS.get(kind)
    return (ops.Other(_words(kind.removesuffix("Stmt"))),) if reader is None else reader(node)


@cache
def _words(kind: str) -> str:
    """Return a kind of node in kebab-case."""
    return re.sub("(?<=[a-z])(?=[A-Z])", "-", kind).lower()


def _string(node: Node) -> str:
    """Return the text of a string; empty for a node of another kind."""
    return str(node["String"]["sval"]) if "String" in node else ""


def _strings(nodes: Iterable[Node]) -> list[str]:
    return [node["String"]["sval"] if "String" in node else "" for node in nodes]


def _name_of(nodes: Iterable[Node]) -> Name:
    parts = _strings(nodes)
    return Name(parts[-1], parts[-2] if len(parts) > 1 else None)


def _relation(node: Node) -> Name:
    return Name(node["relname"], node.get("schemaname"))


def _any_name(node: Node) -> Name:
    """Return the name that a DROP, RENAME or COMMENT statement holds as a node of one of several kinds."""
    kind, body = opened(node)
    if kind == "List":
        return _name_of(body["items"])
    if kind == "String":
        return Name(body["sval"])
    if kind == "TypeName":
        return _name_of(body["names"])
    if kind == "ObjectWithArgs":
        return _name_of(body["objname"])
    if kind == "RangeVar":
        return _relation(body)
    return Name(_words(kind))


def read_type(node: Node) -> Type:
    """Return the type that a `TypeName` of the tree names."""
    names = node["names"]
    name = names[-1]["String"]["sval"]
    schema = names[-2]["String"]["sval"] if len(names) > 1 else None
    if schema == "pg_catalog":
        schema = None
    modifiers: tuple[int | str, ...] = ()
    if "typmods" in node:
        constants = [item.get("A_Const", NOTHING) for item in node["typmods"]]
        modifiers = tuple(
            one["sval"]["sval"] if "sval" in one else within(one, "ival").get("ival", 0) for one in constants
        )
        if name == "interval":
            modifiers = modifiers[1:]
    return Type(name, modifiers, len(node.get("arrayBounds", ())), schema)


_CONSTRAINT_KINDS: dict[str, ops.ConstraintKind] = {
    "CONSTR_NOTNULL": "not-null",
    "CONSTR_CHECK": "check",
    "CONSTR_PRIMARY": "primary-key",
    "CONSTR_UNIQUE": "unique",
    "CONSTR_EXCLUSION": "exclude",
    "CONSTR_FOREIGN": "foreign-key",
}
_IDENTITY_WORDS = {"a": "always", "d": "by default"}
_FK_ACTIONS = {"c": "cascade", "n": "set null", "d": "set default", "r": "restrict"}


def _constraint(node: Node, column: str | None = None) -> Constraint:
    kind = _CONSTRAINT_KINDS[node["contype"]]
    name = node.get("conname")
    valid = "skip_validation" not in node
    if kind == "check":
        return Constraint(
            kind, name, expression=PostgresExpression(node["raw_expr"]), valid=valid, enforced="is_enforced" in node
        )
    if kind == "foreign-key":
        return Constraint(
            kind,
            name,
            (column,) if column else tuple(_strings(node["fk_attrs"])),
            references=_relation(node["pktable"]),
            reference_columns=tuple(_strings(node.get("pk_attrs", ()))),
            valid=valid,
            on_delete=_FK_ACTIONS.get(node["fk_del_action"]),
            on_update=_FK_ACTIONS.get(node["fk_upd_action"]),
            deferrable="deferrable" in node,
            enforced="is_enforced" in node,
        )
    if kind == "exclude":
        columns = tuple(item["List"]["items"][0]["IndexElem"].get("name", "") for item in node["exclusions"])
        return Constraint(kind, name, columns, deferrable="deferrable" in node)
    keys = (column,) if column else tuple(_strings(node.get("keys", ())))
    return Constraint(kind, name, keys, valid=valid, using_index=node.get("indexname"), deferrable="deferrable" in node)


def _column(node: Node) -> Column:
    name = node["colname"]
    not_null, default, generation, identity = False, None, None, None
    generated: ops.Generated | None = None
    constraints: list[Constraint] = []
    for item in node.get("constraints", ()):
        constraint = item["Constraint"]
        kind = constraint["contype"]
        if kind == "CONSTR_NOTNULL":
            not_null = True
        elif kind == "CONSTR_DEFAULT":
            default = PostgresExpression(constraint["raw_expr"])
        elif kind == "CONSTR_IDENTITY":
            identity = _IDENTITY_WORDS.get(constraint["generated_when"], "always")
        elif kind == "CONSTR_GENERATED":
            generation = PostgresExpression(constraint["raw_expr"])
            generated = "virtual" if constraint["generated_kind"] == "v" else "stored"
        elif kind in _CONSTRAINT_KINDS:
            constraints.append(_constraint(constraint, name))
    return Column(
        name,
        read_type(node["typeName"]) if "typeName" in node else None,
        not_null,
        default,
        generated,
        generation,
        identity,
        _collation(node),
        constraints=tuple(constraints),
    )


def _collation(column: Node) -> str | None:
    return _name_of(column["collClause"]["collname"]).name if "collClause" in column else None


def _create_table(node: Node, *, foreign: bool = False) -> Iterator[Operation]:
    columns: list[Column] = []
    constraints: list[Constraint] = []
    like: list[Name] = []
    for element in node.get("tableElts", ()):
        kind, body = opened(element)
        if kind == "ColumnDef":
            columns.append(_column(body))
        elif kind == "Constraint":
            if body["contype"] in _CONSTRAINT_KINDS:
                constraints.append(_constraint(body))
        elif kind == "TableLikeClause":
            like.append(_relation(body["relation"]))
    parents = tuple(_relation(parent["RangeVar"]) for parent in node.get("inhRelations", ()))
    partition = "partbound" in node
    key = _partition_key(node["partspec"]) if "partspec" in node else None
    yield ops.CreateTable(
        _relation(node["relation"]),
        tuple(columns),
        tuple(constraints),
        if_not_exists="if_not_exists" in node,
        temporary=node["relation"]["relpersistence"] == "t",
        partition_of=parents[0] if partition else None,
        partitioned=key is not None,
        partition_key=key,
        bound=partition_bound(node["partbound"]) if partition else None,
        like=tuple(like),
        inherits=() if partition else parents,
        foreign=foreign,
    )


_STRATEGIES = {
    "PARTITION_STRATEGY_RANGE": "range",
    "PARTITION_STRATEGY_LIST": "list",
    "PARTITION_STRATEGY_HASH": "hash",
}


def _partition_key(node: Node) -> ops.PartitionKey:
    columns = tuple(item["PartitionElem"].get("name") for item in node["partParams"])
    return ops.PartitionKey(_STRATEGIES[node["strategy"]], columns)


def partition_bound(node: Node) -> ops.PartitionBound:
    """Return the rows of a partition that FOR VALUES or DEFAULT of the tree names."""
    if "is_default" in node:
        return ops.PartitionBound("default")
    strategy = {"r": "range", "l": "list"}.get(node["strategy"], "hash")
    lower, upper, values = (
        tuple(_bound_value(item) for item in node.get(key, ())) for key in ("lowerdatums", "upperdatums", "listdatums")
    )
    return ops.PartitionBound(strategy, lower, upper, values)


def _bound_value(node: Node) -> str | None:
    """Return a value of a bound as it was written; None for MINVALUE, MAXVALUE and NULL."""
    value = PostgresExpression(node)
    if value.is_null:
        return None
    if "ColumnRef" in node and value.columns <= {"minvalue", "maxvalue"}:
        return None
    return value.sql


def _create_table_as(node: Node) -> Iterator[Operation]:
    relation = node["into"]["rel"]
    name = _relation(relation)
    if node["objtype"] == "OBJECT_MATVIEW":
        query = node["query"]
        yield ops.CreateView(name, materialized=True, reads=_tables_read(query), uses=tuple(uses(query)))
    else:
        yield ops.CreateTable(
            name,
            if_not_exists="if_not_exists" in node,
            temporary=relation["relpersistence"] == "t",
            from_query=True,
        )


def _tables_read(query: Node) -> tuple[Name, ...]:
    return tuple(dict.fromkeys(_relation(node) for _, node in _nodes(query) if "relname" in node))


def _index(node: Node) -> Iterator[Operation]:
    yield ops.CreateIndex(
        _relation(node["relation"]),
        node.get("idxname"),
        tuple(_index_key(item["IndexElem"]) for item in node["indexParams"]),
        "unique" in node,
        "concurrent" in node,
        "if_not_exists" in node,
        "inh" not in node["relation"],
        node["accessMethod"],
        PostgresExpression(node["whereClause"]) if "whereClause" in node else None,
        tuple(item["IndexElem"].get("name", "") for item in node.get("indexIncludingParams", ())),
        nulls_distinct="nulls_not_distinct" not in node,
    )


def _index_key(node: Node) -> IndexColumn:
    name = node.get("name")
    descending = node["ordering"] == "SORTBY_DESC"
    named = [f'COLLATE "{one}"' for one in _strings(node.get("collation", ()))[-1:]]
    named += [f'"{one}"' for one in _strings(node.get("opclass", ()))[-1:]]
    if "opclassopts" in node:
        settings = (f"{item['DefElem']['defname']}={_value(item['DefElem'])}" for item in node["opclassopts"])
        named[-1] += f" ({', '.join(settings)})"
    order = ["DESC"] if descending else []
    default = "SORTBY_NULLS_FIRST" if descending else "SORTBY_NULLS_LAST"
    if node["nulls_ordering"] not in ("SORTBY_NULLS_DEFAULT", default):
        order.append("NULLS LAST" if descending else "NULLS FIRST")
    return IndexColumn(name, None if name else PostgresExpression(node["expr"]), None, " ".join((*named, *order)))


_OBJECT_WORDS = {
    "OBJECT_MATVIEW": "materialized-view",
    "OBJECT_TABCONSTRAINT": "constraint",
    "OBJECT_DOMCONSTRAINT": "domain-constraint",
}
_VIEWS = ("OBJECT_VIEW", "OBJECT_MATVIEW")
_NO_TABLES = frozenset((*_VIEWS, "OBJECT_SEQUENCE", "OBJECT_TYPE"))
"""What ALTER TABLE of the tree changes beside tables and indexes."""


def _object_word(value: str) -> str:
    """Return the word for a kind of object, of which the tree says `OBJECT_TABLE` and the like."""
    return _OBJECT_WORDS.get(value) or value.removeprefix("OBJECT_").lower().replace("_", "-")


def _alter_table(node: Node) -> Iterator[Operation]:
    table = _relation(node["relation"])
    kind = node["objtype"]
    commands = [item["AlterTableCmd"] for item in node["cmds"]]
    if kind == "OBJECT_INDEX":
        for command in commands:
            if command["subtype"] == "AT_AttachPartition":
                yield ops.AttachIndex(table, _relation(command["def"]["PartitionCmd"]["name"]))
            else:
                yield ops.AlterObject("index", table, _ACTIONS.get(command["subtype"], "options"))
        return
    if kind in _NO_TABLES:
        other = "attribute" if kind == "OBJECT_TYPE" else "options"
        for command in commands:
            yield ops.AlterObject(_object_word(kind), table, _ACTIONS.get(command["subtype"], other))
        return
    for command in commands:
        reader = _COMMANDS.get(command["subtype"])
        if reader is not None:
            yield reader(table, command)
        else:
            yield ops.AlterTable(table, _ACTIONS.get(command["subtype"], "other"), _detail(command))


def _detail(command: Node) -> str | None:
    """Return what an action is about: a name, the kind of a replica identity, storage parameters and their values."""
    if command["subtype"] == "AT_ReplicaIdentity":
        return _IDENTITIES.get(command["def"]["ReplicaIdentityStmt"]["identity_type"])
    if command["subtype"] == "AT_SetRelOptions":
        parameters = (item["DefElem"] for item in command["def"]["List"]["items"])
        return " ".join(_parameter(one) for one in parameters)
    name: str | None = command.get("name")
    return name


def _parameter(element: Node) -> str:
    """Return a storage parameter with its value, in lower case."""
    space = element.get("defnamespace")
    return f"{space + '.' if space else ''}{element['defname']}={_value(element)}".lower()


def _value(element: Node) -> str:
    """Return the value of a storage parameter; a bare word is read as the name of a type."""
    if "arg" not in element:
        return "true"
    kind, argument = opened(element["arg"])
    if kind == "TypeName":
        return _string(argument["names"][-1])
    return str(argument.get(_VALUES.get(kind, "")) or 0)


_VALUES = {"String": "sval", "Float": "fval", "Integer": "ival"}
_IDENTITIES = {"n": "nothing", "d": "default", "f": "full", "i": "index"}


def _alter_type(table: Name, command: Node) -> Operation:
    column = command["def"]["ColumnDef"]
    return ops.AlterColumnType(
        table,
        command["name"],
        read_type(column["typeName"]),
        PostgresExpression(column["raw_default"]) if "raw_default" in column else None,
        _collation(column),
    )


def _column_default(table: Name, command: Node) -> Operation:
    if "def" in command:
        return ops.SetDefault(table, command["name"], PostgresExpression(command["def"]))
    return ops.DropDefault(table, command["name"])


def _attach(table: Name, command: Node) -> Operation:
    partition = command["def"]["PartitionCmd"]
    return ops.AttachPartition(table, _relation(partition["name"]), partition_bound(partition["bound"]))


def _detach(table: Name, command: Node) -> Operation:
    partition = command["def"]["PartitionCmd"]
    return ops.DetachPartition(table, _relation(partition["name"]), "concurrent" in partition)


def _detach_finalize(table: Name, command: Node) -> Operation:
    return ops.DetachPartition(table, _relation(command["def"]["PartitionCmd"]["name"]), finalize=True)


def _drop_column(table: Name, command: Node) -> Operation:
    return ops.DropColumn(table, command["name"], "missing_ok" in command, _cascades(command))


def _drop_constraint(table: Name, command: Node) -> Operation:
    return ops.DropConstraint(table, command["name"], None, "missing_ok" in command, _cascades(command))


def _cascades(node: Node) -> bool:
    return bool(node["behavior"] == "DROP_CASCADE")


_COMMANDS: dict[str, Callable[[Name, Node], Operation]] = {
    "AT_AddColumn": lambda table, cmd: ops.AddColumn(table, _column(cmd["def"]["ColumnDef"]), "missing_ok" in cmd),
    "AT_ColumnDefault": _column_default,
    "AT_DropNotNull": lambda table, cmd: ops.DropNotNull(table, cmd["name"]),
    "AT_SetNotNull": lambda table, cmd: ops.SetNotNull(table, cmd["name"]),
    "AT_SetExpression": lambda table, cmd: ops.AlterGeneration(table, cmd["name"], PostgresExpression(cmd["def"])),
    "AT_DropExpression": lambda table, cmd: ops.AlterGeneration(table, cmd["name"]),
    "AT_DropColumn": _drop_column,
    "AT_AddConstraint": lambda table, cmd: ops.AddConstraint(table, _constraint(cmd["def"]["Constraint"])),
    "AT_ValidateConstraint": lambda table, cmd: ops.ValidateConstraint(table, cmd["name"]),
    "AT_DropConstraint": _drop_constraint,
    "AT_AlterColumnType": _alter_type,
    "AT_AttachPartition": _attach,
    "AT_DetachPartition": _detach,
    "AT_DetachPartitionFinalize": _detach_finalize,
    "AT_AddIdentity": lambda table, cmd: ops.AlterIdentity(table, cmd["name"], "add"),
    "AT_SetIdentity": lambda table, cmd: ops.AlterIdentity(table, cmd["name"], "set"),
    "AT_DropIdentity": lambda table, cmd: ops.AlterIdentity(table, cmd["name"], "drop"),
}
_ACTIONS = {
    "AT_SetStatistics": "set-statistics",
    "AT_SetOptions": "set-options",
    "AT_ResetOptions": "reset-options",
    "AT_SetStorage": "set-storage",
    "AT_SetCompression": "set-compression",
    "AT_AlterConstraint": "alter-constraint",
    "AT_ChangeOwner": "owner",
    "AT_ClusterOn": "cluster-on",
    "AT_DropCluster": "drop-cluster",
    "AT_SetLogged": "set-logged",
    "AT_SetUnLogged": "set-unlogged",
    "AT_SetAccessMethod": "set-access-method",
    "AT_SetTableSpace": "set-tablespace",
    "AT_SetRelOptions": "set-parameters",
    "AT_ResetRelOptions": "reset-parameters",
    "AT_EnableTrig": "enable-trigger",
    "AT_EnableAlwaysTrig": "enable-trigger",
    "AT_EnableReplicaTrig": "enable-trigger",
    "AT_EnableTrigAll": "enable-trigger",
    "AT_EnableTrigUser": "enable-trigger",
    "AT_DisableTrig": "disable-trigger",
    "AT_DisableTrigAll": "disable-trigger",
    "AT_DisableTrigUser": "disable-trigger",
    "AT_EnableRule": "enable-rule",
    "AT_EnableAlwaysRule": "enable-rule",
    "AT_EnableReplicaRule": "enable-rule",
    "AT_DisableRule": "disable-rule",
    "AT_AddInherit": "inherit",
    "AT_DropInherit": "no-inherit",
    "AT_AddOf": "of",
    "AT_DropOf": "not-of",
    "AT_ReplicaIdentity": "replica-identity",
    "AT_EnableRowSecurity": "enable-rls",
    "AT_DisableRowSecurity": "disable-rls",
    "AT_ForceRowSecurity": "force-rls",
    "AT_NoForceRowSecurity": "no-force-rls",
}


def _rename(node: Node) -> Iterator[Operation]:
    kind = _object_word(node["renameType"])
    new_name = node["newname"]
    if kind == "table":
        yield ops.RenameTable(_relation(node["relation"]), new_name)
    elif kind == "column":
        view = node["relationType"] in _VIEWS
        yield ops.RenameColumn(_relation(node["relation"]), node["subname"], new_name, view)
    elif kind in ("constraint", "policy", "trigger", "rule"):
        yield ops.RenameObject(kind, Name(node["subname"]), new_name, _relation(node["relation"]))
    elif "relation" in node:
        yield ops.RenameObject(kind, _relation(node["relation"]), new_name)
    else:
        name = _any_name(node["object"]) if "object" in node else Name(node["subname"])
        yield ops.RenameObject(kind, name, new_name)


def _drop(node: Node) -> Iterator[Operation]:
    kind = _object_word(node["removeType"])
    missing_ok, cascade = "missing_ok" in node, _cascades(node)
    for item in node["objects"]:
        if kind in ("trigger", "rule", "policy"):
            parts = _strings(item["List"]["items"])
            table = Name(parts[-2], parts[-3] if len(parts) > 2 else None)
            yield ops.DropObject(kind, Name(parts[-1]), missing_ok, cascade, table)
            continue
        name = _any_name(item)
        if kind in ("table", "foreign-table"):
            yield ops.DropTable(name, missing_ok, cascade)
        elif kind == "index":
            yield ops.DropIndex(name, None, "concurrent" in node, missing_ok, cascade)
        else:
            yield ops.DropObject(kind, name, missing_ok, cascade)


def _create_domain(node: Node) -> Iterator[Operation]:
    rules = [item["Constraint"] for item in node.get("constraints", ())]
    kinds = {_CONSTRAINT_KINDS.get(rule["contype"]) for rule in rules}
    yield ops.CreateDomain(
        _name_of(node["domainname"]),
        read_type(node["typeName"]),
        bool(kinds & {"check", "not-null"}),
        tuple(_constraint(one) for one in rules if one["contype"] == "CONSTR_CHECK"),
        "not-null" in kinds,
        next((PostgresExpression(one["raw_expr"]) for one in rules if one["contype"] == "CONSTR_DEFAULT"), None),
    )


_DOMAIN_ACTIONS = {"T": "default", "N": "drop-not-null", "O": "set-not-null", "C": "add", "X": "drop", "V": "validate"}


def _alter_domain(node: Node) -> Iterator[Operation]:
    action = _DOMAIN_ACTIONS.get(node["subtype"], "other")
    constraint = _constraint(node["def"]["Constraint"]) if action == "add" else None
    yield ops.AlterDomain(_name_of(node["typeName"]), action, constraint, node.get("name"))


def _alter_enum(node: Node) -> Iterator[Operation]:
    name, value = _name_of(node["typeName"]), node.get("newVal", "")
    if "oldVal" in node:
        yield ops.RenameEnumValue(name, node["oldVal"], value)
    else:
        yield ops.AddEnumValue(name, value, "newValNeighbor" in node, "skipIfNewValExists" in node)


def _set(node: Node) -> Iterator[Operation]:
    kind, name, local = node["kind"], node.get("name", ""), "is_local" in node
    if kind in ("VAR_RESET", "VAR_RESET_ALL"):
        yield ops.SetVariable(name or "all", None, local)
    elif name.startswith(("TRANSACTION", "SESSION CHARACTERISTICS")):
        yield ops.Other("set-transaction")
    else:
        words = (_constant_text(item.get("A_Const", NOTHING)) for item in node.get("args", ()))
        yield ops.SetVariable(name, ", ".join(words) if kind != "VAR_SET_DEFAULT" else None, local)


def _constant_text(constant: Node) -> str:
    """Return a constant as the value of a setting."""
    if "sval" in constant:
        return str(constant["sval"]["sval"])
    if "ival" in constant:
        return str(constant["ival"].get("ival", 0))
    if "fval" in constant:
        return str(constant["fval"]["fval"])
    return "on" if "boolval" in within(constant, "boolval") else "off"


_TRANSACTIONS: dict[str, ops.TransactionKind] = {
    "TRANS_STMT_BEGIN": "begin",
    "TRANS_STMT_START": "begin",
    "TRANS_STMT_COMMIT": "commit",
    "TRANS_STMT_ROLLBACK": "rollback",
    "TRANS_STMT_SAVEPOINT": "savepoint",
    "TRANS_STMT_RELEASE": "release",
    "TRANS_STMT_ROLLBACK_TO": "rollback-to",
    "TRANS_STMT_PREPARE": "prepare",
    "TRANS_STMT_COMMIT_PREPARED": "commit",
    "TRANS_STMT_ROLLBACK_PREPARED": "rollback",
}


def _transaction(node: Node) -> Iterator[Operation]:
    yield ops.Transaction(_TRANSACTIONS[node["kind"]])


_REINDEX_KINDS: dict[str, ops.ReindexKind] = {
    "REINDEX_OBJECT_INDEX": "index",
    "REINDEX_OBJECT_TABLE": "table",
    "REINDEX_OBJECT_SCHEMA": "schema",
    "REINDEX_OBJECT_SYSTEM": "system",
    "REINDEX_OBJECT_DATABASE": "database",
}


def _option_on(options: Iterable[Node], name: str) -> bool:
    """Whether an option list such as (CONCURRENTLY false, FULL) switches `name` on; the last one counts."""
    on = False
    for item in options:
        element = item["DefElem"]
        if element["defname"].lower() == name:
            kind, argument = opened(element.get("arg", NOTHING))
            if kind == "Boolean":
                on = "boolval" in argument
            else:
                on = not kind or _value(element).lower() not in ("false", "off", "0", "no", "f")
    return on


def _reindex(node: Node) -> Iterator[Operation]:
    kind = _REINDEX_KINDS[node["kind"]]
    name = _relation(node["relation"]) if "relation" in node else (Name(node["name"]) if "name" in node else None)
    yield ops.Reindex(kind, name, _option_on(node.get("params", ()), "concurrently"))


def _vacuum(node: Node) -> Iterator[Operation]:
    vacuums = "is_vacuumcmd" in node
    rewrites = vacuums and _option_on(node.get("options", ()), "full")
    command = "vacuum" if vacuums else "analyze"
    if "rels" not in node:
        yield ops.Vacuum(command, None, rewrites)
    for item in node.get("rels", ()):
        yield ops.Vacuum(command, _relation(item["VacuumRelation"]["relation"]), rewrites)


def _cluster(node: Node) -> Iterator[Operation]:
    yield ops.Vacuum("cluster", _relation(node["relation"]) if "relation" in node else None, rewrites=True)


def _function(node: Node) -> Iterator[Operation]:
    volatility = "volatile"
    for item in node.get("options", ()):
        if item["DefElem"]["defname"] == "volatility":
            volatility = _string(item["DefElem"]["arg"])
    kind = "procedure" if "is_procedure" in node else "function"
    yield ops.CreateObject(kind, _name_of(node["funcname"]), "replace" in node, volatility=volatility)


def _common_tables(node: Node) -> Iterator[Operation]:
    """Yield what data-modifying WITH queries do."""
    if "withClause" in node:
        for item in node["withClause"]["ctes"]:
            kind, query = opened(item["CommonTableExpr"]["ctequery"])
            if kind in ("UpdateStmt", "DeleteStmt", "InsertStmt"):
                yield from operations_of(kind, query)


def _filtered(node: Node) -> bool:
    return "whereClause" in node and _constant(node["whereClause"]) is not True


def _update(node: Node) -> Iterator[Operation]:
    yield from _common_tables(node)
    targets = [item["ResTarget"] for item in node["targetList"]]
    plain = [target["name"] for target in targets if "indirection" not in target]
    columns = tuple(dict.fromkeys(target["name"] for target in targets))
    duplicates = tuple(name for name in columns if plain.count(name) > 1)
    yield ops.Update(_relation(node["relation"]), _filtered(node), columns, duplicates)


def _delete(node: Node) -> Iterator[Operation]:
    yield from _common_tables(node)
    yield ops.Delete(_relation(node["relation"]), _filtered(node))


def _insert(node: Node) -> Iterator[Operation]:
    yield from _common_tables(node)
    table, copies = _relation(node["relation"]), "fromClause" in within(node, "selectStmt", "SelectStmt")
    yield ops.Insert(table, copies, tuple(one for one in _tables_read(node) if one != table) if copies else ())


def _copy(node: Node) -> Iterator[Operation]:
    yield ops.Insert(_relation(node["relation"])) if "is_from" in node else ops.Query()


def _select(node: Node) -> Iterator[Operation]:
    yield from _common_tables(node)
    if "intoClause" in node:
        relation = node["intoClause"]["rel"]
        yield ops.CreateTable(_relation(relation), temporary=relation["relpersistence"] == "t", from_query=True)
        return
    columns = node.get("targetList", ())
    if len(columns) == 1 and "fromClause" not in node:
        call = within(columns[0], "ResTarget", "val", "FuncCall")
        arguments = [within(argument, "A_Const") for argument in call.get("args", ())]
        if call and _name_of(call["funcname"]).name == "set_config" and len(arguments) == 3:
            name, value = (within(argument, "sval").get("sval", "") for argument in arguments[:2])
            yield ops.SetVariable(name, value, "boolval" in within(arguments[2], "boolval"))
            return
    yield ops.Query()


_LOCK_MODES = ("", "ACCESS SHARE", "ROW SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE", "SHARE",
               "SHARE ROW EXCLUSIVE", "EXCLUSIVE", "ACCESS EXCLUSIVE")  # fmt: skip


def _lock(node: Node) -> Iterator[Operation]:
    for item in node["relations"]:
        yield ops.LockTable(_relation(item["RangeVar"]), _LOCK_MODES[node["mode"]])


def _set_schema(node: Node) -> Iterator[Operation]:
    name = _relation(node["relation"]) if "relation" in node else _any_name(node["object"])
    yield ops.SetSchema(_object_word(node["objectType"]), name, node["newschema"])


def _view(node: Node) -> Iterator[Operation]:
    query = node["query"]
    yield ops.CreateView(
        _relation(node["view"]), replace="replace" in node, reads=_tables_read(query), uses=tuple(uses(query))
    )


def _trigger(node: Node) -> Iterator[Operation]:
    table = _relation(node["relation"])
    named = (ops.ColumnUse(column, ((table,),)) for column in _strings(node.get("columns", ())))
    named_in_when = uses(node.get("whenClause", NOTHING), {"old": table, "new": table})
    yield ops.CreateTrigger(table, node["trigname"], _name_of(node["funcname"]), (*named, *named_in_when))


def _truncate(node: Node) -> Iterator[Operation]:
    for item in node["relations"]:
        yield ops.Truncate(_relation(item["RangeVar"]), _cascades(node))


def _explain(node: Node) -> Iterator[Operation]:
    if _option_on(node.get("options", ()), "analyze"):
        yield from operations_of(*opened(node["query"]))  # which runs it
    else:
        yield ops.Query()


def _named(kind: str, attribute: str) -> Callable[[Node], Iterator[Operation]]:
    def reader(node: Node) -> Iterator[Operation]:
        yield ops.CreateObject(kind, Name(node[attribute]), if_not_exists="if_not_exists" in node)

    return reader


def _schema(node: Node) -> Iterator[Operation]:
    yield ops.CreateObject("schema", Name(node["schemaname"]) if "schemaname" in node else None)
    for element in node.get("schemaElts", ()):
        yield from operations_of(*opened(element))


def _alter(kind: str, action: str, attribute: str = "") -> Callable[[Node], Iterator[Operation]]:
    def reader(node: Node) -> Iterator[Operation]:
        yield ops.AlterObject(kind, Name(node[attribute]) if attribute in node else None, action)

    return reader


def _grant(node: Node) -> Iterator[Operation]:
    yield ops.Other("grant" if "is_grant" in node else "revoke")


def _owner(node: Node) -> Iterator[Operation]:
    name = _relation(node["relation"]) if "relation" in node else _any_name(node["object"])
    yield ops.AlterObject(_object_word(node["objectType"]), name, "owner")


def _rule(node: Node) -> Iterator[Operation]:
    table = _relation(node["relation"])
    rows: dict[str, Name | None] = {"old": table, "new": table}
    parts = (node.get("whereClause", NOTHING), *node.get("actions", ()))
    named = tuple(use for one in parts for use in uses(one, rows))
    yield ops.CreateObject("rule", Name(node["rulename"]), "replace" in node, table=table, uses=named)


def _create_policy(node: Node) -> Iterator[Operation]:
    table = _relation(node["table"])
    conditions = (node.get("qual", NOTHING), node.get("with_check", NOTHING))
    named = tuple(use for condition in conditions for use in uses(condition, {table.name: table}))
    yield ops.CreateObject("policy", Name(node["policy_name"]), table=table, uses=named)


def _alter_policy(node: Node) -> Iterator[Operation]:
    action = "roles" if "roles" in node and not ("qual" in node or "with_check" in node) else "condition"
    yield ops.AlterObject("policy", Name(node["policy_name"]), action, table=_relation(node["table"]))


_READERS: dict[str, Callable[[Node], Iterator[Operation]]] = {
    "AlterTableStmt": _alter_table,
    "IndexStmt": _index,
    "CreateStmt": _create_table,
    "CreateForeignTableStmt": lambda node: _create_table(node["base"], foreign=True),
    "CreateTableAsStmt": _create_table_as,
    "DropStmt": _drop,
    "RenameStmt": _rename,
    "AlterObjectSchemaStmt": _set_schema,
    "CreateDomainStmt": _create_domain,
    "AlterDomainStmt": _alter_domain,
    "CreateEnumStmt": lambda node: iter((ops.CreateEnum(_name_of(node["typeName"]), tuple(_strings(node["vals"]))),)),
    "AlterEnumStmt": _alter_enum,
    "VariableSetStmt": _set,
    "TransactionStmt": _transaction,
    "ReindexStmt": _reindex,
    "VacuumStmt": _vacuum,
    "ClusterStmt": _cluster,
    "CreateFunctionStmt": _function,
    "UpdateStmt": _update,
    "DeleteStmt": _delete,
    "InsertStmt": _insert,
    "MergeStmt": lambda node: iter((ops.Insert(_relation(node["relation"]), from_query=True),)),
    "CopyStmt": _copy,
    "SelectStmt": _select,
    "LockStmt": _lock,
    "ViewStmt": _view,
    "RefreshMatViewStmt": lambda node: iter(
        (ops.RefreshView(_relation(node["relation"]), "concurrent" in node, "skipData" not in node),)
    ),
    "CreateTrigStmt": _trigger,
    "TruncateStmt": _truncate,
    "ExplainStmt": _explain,
    "CreateSchemaStmt": _schema,
    "CreateExtensionStmt": _named("extension", "extname"),
    "AlterExtensionStmt": _alter("extension", "update", "extname"),
    "CreateSeqStmt": lambda node: iter((ops.CreateObject("sequence", _relation(node["sequence"])),)),
    "AlterSeqStmt": lambda node: iter((ops.AlterObject("sequence", _relation(node["sequence"]), "values"),)),
    "DropdbStmt": lambda node: iter((ops.DropObject("database", Name(node["dbname"]), "missing_ok" in node),)),
    "CreatedbStmt": _named("database", "dbname"),
    "DropOwnedStmt": lambda node: iter((ops.DropObject("owned", Name("role"), cascade=_cascades(node)),)),
    "CreatePolicyStmt": _create_policy,
    "AlterPolicyStmt": _alter_policy,
    "RuleStmt": _rule,
    "GrantStmt": _grant,
    "AlterOwnerStmt": _owner,
    "AlterFunctionStmt": _alter("function", "options"),
    "AlterTableMoveAllStmt": lambda node: iter(
        (ops.AlterObject(_object_word(node["objtype"]), Name(node["orig_tablespacename"]), "move-all"),)
    ),
    "AlterRoleStmt": _alter("role", "options"),
    "AlterRoleSetStmt": _alter("role", "options"),
    "AlterDatabaseStmt": _alter("database", "options", "dbname"),
    "AlterDatabaseSetStmt": _alter("database", "options", "dbname"),
    "AlterSystemStmt": _alter("system", "options"),
    "CompositeTypeStmt": lambda node: iter((ops.CreateObject("type", _relation(node["typevar"])),)),
    "ExecuteStmt": lambda node: iter((ops.Opaque(f"EXECUTE of the prepared statement {node['name']}"),)),
    "CallStmt": lambda _: iter((ops.Opaque("CALL of a procedure, which may do anything"),)),
}
