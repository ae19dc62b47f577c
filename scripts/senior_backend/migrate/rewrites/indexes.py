"""CREATE, DROP INDEX, REINDEX, REFRESH and DETACH: the server has a form of its own beside the application."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.operations import IndexColumn, Name
from senior_backend.migrate.rewrites.model import Context, Rewrite, Step, Unknown
from senior_backend.migrate.rewrites.sql import ident, in_schema, made, names, table_name

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Operation

OPERATIONS = (ops.CreateIndex, ops.DropIndex, ops.Reindex, ops.RefreshView, ops.DetachPartition)

_CREATE = re.compile(
    r"(?P<head>CREATE\s+(?:UNIQUE\s+)?INDEX\s+)(?:CONCURRENTLY\s+)?(?:IF\s+NOT\s+EXISTS\s+)?(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_ON = re.compile(r"ON\s", re.IGNORECASE)
_REINDEX = re.compile(
    r"(?P<head>REINDEX\s*(?:\([^)]*\)\s*)?(?:INDEX|TABLE|SCHEMA|DATABASE)\s+)(?:CONCURRENTLY\s+)?(?P<rest>.*)",
    re.IGNORECASE | re.DOTALL,
)
_REFRESH = re.compile(r"(?P<head>REFRESH\s+MATERIALIZED\s+VIEW\s+)(?P<rest>.*)", re.IGNORECASE | re.DOTALL)


def rewrite(operation: Operation, context: Context) -> Rewrite | Unknown | None:
    """Return the same operation in its CONCURRENTLY form."""
    if isinstance(operation, ops.CreateIndex):
        return _create(operation, context)
    if isinstance(operation, ops.DropIndex):
        return _drop(operation, context)
    if isinstance(operation, ops.Reindex):
        return _reindex(operation, context)
    if isinstance(operation, ops.RefreshView):
        return _refresh(operation, context)
    assert isinstance(operation, ops.DetachPartition)
    return _detach(operation, context)


def _create(operation: ops.CreateIndex, context: Context) -> Rewrite | Unknown | None:
    known = context.table(operation.table)
    if context.is_new(operation.table) or operation.only:
        return None
    done = operation.concurrently and not operation.if_not_exists and not context.transaction
    if done and (known is None or known.kind != "partitioned"):
        return None
    if known is not None and known.kind == "partitioned":
        return _create_partitioned(operation, context)
    match = _CREATE.match(context.text)
    if match is None:
        return Unknown("the statement has an unusual form", "Write CREATE INDEX CONCURRENTLY in a file of its own.")
    name = operation.name or index_name(operation, context)
    rest = f"{ident(name)} {match['rest']}" if _ON.match(match["rest"]) else match["rest"]
    step = Step(
        "validate",
        f"build the index {name} beside the application",
        (f"{match['head']}CONCURRENTLY {rest}",),
        (f"DROP INDEX CONCURRENTLY IF EXISTS {in_schema(operation.table, name)}",),
        transaction=False,
        tables=frozenset({str(operation.table)}),
    )
    return Rewrite((step,), undone_by=(f"index {name}",))


def index_name(operation: ops.CreateIndex, context: Context) -> str:
    """Return the name that PostgreSQL would choose: the first that is free."""
    base = made(operation.table.name, *(column.name or "expr" for column in operation.columns), "idx")
    name, number = base, 0
    while context.catalog.table_of_index(Name(name, operation.table.schema)) is not None:
        number += 1
        name = f"{base}{number}"
    return name


def _create_partitioned(operation: ops.CreateIndex, context: Context) -> Rewrite | Unknown:
    known = context.table(operation.table)
    assert known is not None
    match = re.search(r"\bON\s+(?:ONLY\s+)?(?:\"[^\"]+\"|[\w$.])+(?P<tail>.*)", context.text, re.IGNORECASE | re.DOTALL)
    if not known.partitions or match is None:
        return Unknown(
            f"the partitions of {operation.table} are not known",
            "CREATE INDEX … ON ONLY the parent, CREATE INDEX CONCURRENTLY on each partition, ALTER INDEX … ATTACH "
            "PARTITION; name the database with --database-url to have it written.",
        )
    kind = "CREATE UNIQUE INDEX" if operation.unique else "CREATE INDEX"
    name, tail = operation.name or index_name(operation, context), match["tail"].strip()
    children = [(partition, made(partition.name, name)) for partition in sorted(known.partitions)]
    parent = in_schema(operation.table, name)
    steps = [
        Step(
            "validate",
            f"make the index {name} of the parent, which reads nothing and is invalid until each partition has its own",
            (f"{kind} {ident(name)} ON ONLY {table_name(operation.table)} {tail}",),
            (f"DROP INDEX IF EXISTS {parent}",),
            tables=frozenset({str(operation.table)}),
            alone=True,
        )
    ]
    for partition, child in children:
        create = f"{kind} CONCURRENTLY {ident(child)} ON {table_name(partition)} {tail}"
        attach = f"ALTER INDEX {parent} ATTACH PARTITION {in_schema(partition, child)}"
        steps += [
            Step("validate", f"build the index of {partition} beside the application", (create,), transaction=False),
            Step("validate", f"attach it to {name}", (attach,), tables=frozenset({str(partition)}), alone=True),
        ]
    return Rewrite(tuple(steps), undone_by=(f"index {name}",))


def _drop(operation: ops.DropIndex, context: Context) -> Rewrite | Unknown | None:
    known = context.catalog.table_of_index(operation.index)
    if operation.concurrently and not context.transaction:
        return None
    if known is not None and context.is_new(known.name):
        return None
    if operation.cascade or (known is not None and known.kind == "partitioned"):
        return Unknown(
            f"{operation.index} cannot be dropped CONCURRENTLY (CASCADE, or on a partitioned table)",
            "Keep the drop in a file of its own, with a lock_timeout.",
        )
    name = table_name(operation.index)
    step = Step(
        "validate",
        f"drop the index {operation.index} beside the application",
        (f"DROP INDEX CONCURRENTLY IF EXISTS {name}",),
        _create_again(operation, context),
        transaction=False,
        tables=frozenset({str(known.name)}) if known else frozenset(),
    )
    if not step.down:
        return Rewrite((replace(step, irreversible=f"what {operation.index} was is not known"),))
    return Rewrite((step,), undone_by=(f"index {operation.index.name}",))


def _create_again(operation: ops.DropIndex, context: Context) -> tuple[str, ...]:
    known = context.catalog.table_of_index(operation.index)
    index = known.indexes.get(operation.index.name) if known else None
    if known is None or index is None:
        return ()
    keys = [_key(key) for key in index.keys or map(IndexColumn, index.columns)]
    if not all(keys):
        return ()
    include = f" INCLUDE ({names(index.include)})" if index.include else ""
    nulls = "" if index.nulls_distinct else " NULLS NOT DISTINCT"
    where = f" WHERE {index.where.sql}" if index.where else ""
    method = "" if index.method == "btree" else f"USING {index.method} "
    kind = "UNIQUE INDEX" if index.unique else "INDEX"
    create = f"CREATE {kind} CONCURRENTLY {ident(index.name)} ON {table_name(known.name)}"
    return (f"{create} {method}({', '.join(keys)}){include}{nulls}{where}",)


def _key(key: IndexColumn) -> str:
    """Return a key as SQL, nothing where it is not known."""
    if key.name is None and key.expression is None:
        return ""
    text = ident(key.name) if key.name else f"({key.expression.sql})"  # type: ignore[union-attr]
    return f"{text} {key.options}".rstrip()


def _reindex(operation: ops.Reindex, context: Context) -> Rewrite | Unknown | None:
    if operation.concurrently and not context.transaction:
        return None
    match = _REINDEX.match(context.text)
    if match is None or operation.kind == "system":
        return Unknown("the system catalogues have no online REINDEX", "Run it in a maintenance window.")
    step = Step(
        "validate",
        "rebuild the index beside the application",
        (f"{match['head']}CONCURRENTLY {match['rest']}",),
        transaction=False,
    )
    return Rewrite((step,))


def _refresh(operation: ops.RefreshView, context: Context) -> Rewrite | Unknown | None:
    known = context.table(operation.name)
    if operation.concurrently or not operation.with_data or context.is_new(operation.name):
        return None
    if known is None or not any(index.unique and index.where is None for index in known.indexes.values()):
        return Unknown(
            f"REFRESH … CONCURRENTLY needs a unique index on {operation.name}, and none is known",
            "CREATE UNIQUE INDEX on the view first, then REFRESH MATERIALIZED VIEW CONCURRENTLY.",
        )
    match = _REFRESH.match(context.text)
    assert match is not None
    step = Step(
        "validate",
        f"refresh {operation.name} while it can be read",
        (f"{match['head']}CONCURRENTLY {match['rest']}",),
        transaction=False,
    )
    return Rewrite((step,))


def _detach(operation: ops.DetachPartition, context: Context) -> Rewrite | Unknown | None:
    if operation.finalize or (operation.concurrently and not context.transaction):
        return None
    text = context.text if operation.concurrently else f"{context.text} CONCURRENTLY"
    step = Step(
        "validate",
        f"detach {operation.child} beside the application",
        (text,),
        transaction=False,
        irreversible="the bounds of the partition are not in this file",
        tables=frozenset({str(operation.table)}),
    )
    return Rewrite((step,))
