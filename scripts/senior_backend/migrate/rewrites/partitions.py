"""New partitions: rows are checked beside the application, so that attaching reads none of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from senior_backend.migrate import operations as ops
from senior_backend.migrate.rewrites import parts
from senior_backend.migrate.rewrites.model import Context, Rewrite, Step, Unknown
from senior_backend.migrate.rewrites.sql import ident, made, table_name

if TYPE_CHECKING:
    from senior_backend.migrate.catalog import Table
    from senior_backend.migrate.operations import Name, Operation, PartitionBound

OPERATIONS = (ops.AttachPartition,)


class Proof(NamedTuple):
    """A CHECK that spares a scan: the steps that add it, and the one that drops it when it has done its work."""

    add: tuple[Step, ...]
    drop: Step


def rewrite(operation: Operation, context: Context) -> Rewrite | Unknown | None:
    """Return the steps in place of one ATTACH PARTITION; None where PostgreSQL has nothing to read."""
    assert isinstance(operation, ops.AttachPartition)
    parent, child, bound = context.table(operation.table), context.table(operation.child), operation.bound
    if parent is None or child is None or bound is None or parent.partition_key is None:
        return Unknown(
            f"how {operation.table} is partitioned, or what {operation.child} holds, is not known here",
            "Give the schema with --database-url or --schema.",
        )
    proofs: list[Proof] = []
    if not context.is_new(operation.child):
        found = _of_child(parent, child, bound)
        if isinstance(found, Unknown):
            return found
        proofs.extend(found)
    proofs.extend(beside_default(parent, bound, operation.child, context))
    if not proofs:
        return None
    attach = Step(
        "switch",
        f"attach {operation.child}: its rows are known to fit, so none is read",
        (context.text,),
        (f"ALTER TABLE {table_name(operation.table)} DETACH PARTITION {table_name(operation.child)}",),
        tables=frozenset({str(operation.table), str(operation.child)}),
    )
    return Rewrite(
        (*(step for one in proofs for step in one.add), attach, *(one.drop for one in proofs)),
        undone_by=(f"partition {operation.child.name}",),
    )


def _of_child(parent: Table, child: Table, bound: PartitionBound) -> list[Proof] | Unknown:
    """Return what proves that the rows of `child` fit, nothing where that is known already."""
    from senior_backend.migrate.postgres_bounds import fits, inside

    assert parent.partition_key is not None
    column = parent.partition_key.columns[0]
    if bound.strategy == "default" and parent.complete and not parent.partitions:
        return []
    if bound.strategy in ("default", "hash"):
        return Unknown(
            f"no CHECK proves that the rows of {child.name} belong to a {bound.strategy} partition",
            "Attach it while it is empty, and fill it through the parent.",
        )
    if column is None:
        return Unknown(
            f"{parent.name} is partitioned by an expression",
            "Add a CHECK that implies the bounds NOT VALID, validate it, attach, and drop it.",
        )
    if fits(child, column, bound):
        return []
    name = made(child.name.name, "bounds")
    return [_proof(child.name, name, inside(ident(column), bound), f"a check of the bounds of {child.name}")]


def beside_default(parent: Table, bound: PartitionBound, child: Name, context: Context) -> list[Proof]:
    """Return what spares the scan of the default partition for a new partition `child`, nothing where there is none."""
    from senior_backend.migrate.postgres_bounds import outside, scanned_default

    default = scanned_default(parent, bound, context.table)
    column = parent.partition_key.columns[0] if parent.partition_key is not None else None
    if default is None or column is None or bound.strategy not in ("range", "list") or context.is_new(default.name):
        return []
    context.assumptions.append(
        f"no row of {default.name} belongs to {child}; with one, VALIDATE fails and changes nothing"
    )
    name = made(default.name.name, "without", child.name)
    return [_proof(default.name, name, outside(ident(column), bound), f"a check that no row belongs to {child}")]


def _proof(table: Name, name: str, condition: str, what: str) -> Proof:
    drop = Step(
        "switch",
        f"drop {name}, which has done its work",
        (f"ALTER TABLE {table_name(table)} DROP CONSTRAINT {ident(name)}",),
        tables=frozenset({str(table)}),
    )
    return Proof(parts.validated(table, name, f"CHECK ({condition})", what), drop)
