"""Domains, defaults, views, functions and maintenance: what running code needs goes after the deploy."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.rewrites import parts
from senior_backend.migrate.rewrites.model import Context, Rewrite, Step, Unknown
from senior_backend.migrate.rewrites.partitions import beside_default
from senior_backend.migrate.rewrites.sql import ident, made, table_name

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Operation

OPERATIONS = (ops.DropObject, ops.DropDefault, ops.AlterDomain, ops.Vacuum, ops.LockTable, ops.CreateTable)

USED_BY_CODE = frozenset(
    ("view", "materialized-view", "function", "procedure", "type", "sequence", "domain", "trigger")
)
_PARTITION = re.compile(
    r"CREATE\s+(?:UNLOGGED\s+)?TABLE\s+(?:IF\s+NOT\s+EXISTS\s+)?(?P<child>\S+)\s+PARTITION\s+OF\s+(?P<parent>\S+)\s+"
    r"(?P<bounds>FOR\s+VALUES\s+.*|DEFAULT)\s*$",
    re.IGNORECASE | re.DOTALL,
)


def rewrite(operation: Operation, context: Context) -> Rewrite | Unknown | None:
    """Return the steps in place of one of these."""
    if isinstance(operation, ops.DropObject):
        return _drop(operation, context)
    if isinstance(operation, ops.DropDefault):
        return _drop_default(operation, context)
    if isinstance(operation, ops.AlterDomain):
        return _domain(operation, context)
    if isinstance(operation, ops.Vacuum):
        return _vacuum(operation, context)
    if isinstance(operation, ops.LockTable):
        return Unknown(
            f"LOCK TABLE {operation.table} keeps others out on purpose", "Leave it out; the steps need no lock."
        )
    assert isinstance(operation, ops.CreateTable)
    return _create(operation, context)


def _drop(operation: ops.DropObject, context: Context) -> Rewrite | None:
    if operation.kind not in USED_BY_CODE or operation.cascade:
        return None
    known = context.table(operation.table or operation.name)
    if known is not None and context.is_new(known.name):
        return None
    step = Step(
        "contract",
        f"drop the {operation.kind} {operation.name}, once no running version of the application uses it",
        (context.text,),
        after_deploy=True,
        irreversible=f"what the {operation.kind} {operation.name} was is not in this file",
    )
    return Rewrite((step,))


def _drop_default(operation: ops.DropDefault, context: Context) -> Rewrite | None:
    known = context.catalog.column(operation.table, operation.column)
    if context.is_new(operation.table) or known is None or not known.not_null or known.default is None:
        return None
    t, c = table_name(operation.table), ident(operation.column)
    step = Step(
        "contract",
        f"drop the default of {operation.table}.{operation.column}, once every version of the application writes it",
        (context.text,),
        (f"ALTER TABLE {t} ALTER COLUMN {c} SET DEFAULT {known.default.sql}",),
        after_deploy=True,
        tables=frozenset({str(operation.table)}),
    )  # fmt: skip
    return Rewrite((step,))


def _domain(operation: ops.AlterDomain, context: Context) -> Rewrite | None:
    constraint = operation.constraint
    if constraint is None or constraint.kind != "check" or not constraint.valid or constraint.expression is None:
        return None
    domain = table_name(operation.name)
    name = ident(constraint.name or made(operation.name.name, "check"))
    add = Step(
        "validate",
        f"add a check to the domain {operation.name}: new values are checked at once, existing ones are not read",
        (f"ALTER DOMAIN {domain} ADD CONSTRAINT {name} CHECK ({constraint.expression.sql}) NOT VALID",),
        (f"ALTER DOMAIN {domain} DROP CONSTRAINT IF EXISTS {name}",),
        alone=True,
    )
    validate = f"ALTER DOMAIN {domain} VALIDATE CONSTRAINT {name}"
    del context
    return Rewrite((add, *parts.validations((validate,), "check the existing values without stopping writers")))


def _vacuum(operation: ops.Vacuum, context: Context) -> Rewrite | Unknown | None:
    if operation.rewrites:
        return Unknown(
            f"{operation.command} writes {operation.table or 'every table'} anew while nobody can read it",
            "Use pg_repack (PostgreSQL 19: REPACK CONCURRENTLY), or plain VACUUM.",
        )
    if not context.transaction or operation.command.lower() == "analyze":
        return None
    return Rewrite((Step("validate", "runs outside a transaction", (context.text,), transaction=False),))


def _create(operation: ops.CreateTable, context: Context) -> Rewrite | Unknown | None:
    if operation.partition_of is None or context.is_new(operation.partition_of):
        return None
    match = _PARTITION.match(context.text)
    if match is None:
        return Unknown(
            f"CREATE TABLE … PARTITION OF locks {operation.partition_of} against reads and writes",
            "CREATE TABLE … (LIKE parent INCLUDING ALL), then ALTER TABLE parent ATTACH PARTITION.",
        )
    child, parent, bounds = match["child"], match["parent"], match["bounds"].strip()
    known = context.table(operation.partition_of)
    proofs = beside_default(known, operation.bound, operation.table, context) if known and operation.bound else []
    step = Step(
        "switch" if proofs else "expand",
        f"create {child} by itself and attach it empty, which lets reads and writes of {parent} go on",
        (
            f"CREATE TABLE {child} (LIKE {parent} INCLUDING ALL)",
            f"ALTER TABLE {parent} ATTACH PARTITION {child} {bounds}",
        ),
        (f"DROP TABLE IF EXISTS {child}",),
        tables=frozenset({str(operation.partition_of)}),
    )
    steps = (*(each for one in proofs for each in one.add), step, *(one.drop for one in proofs))
    return Rewrite(steps, undone_by=(f"table {operation.table.name}",))
