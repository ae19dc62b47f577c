"""A new partition beside a default partition."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.CreateTable | ops.AttachPartition, context: Context) -> Iterator[Hazard]:
    """Report a partition for which the default partition is searched."""
    from senior_backend.migrate.postgres_bounds import outside, scanned_default

    name = operation.table if isinstance(operation, ops.AttachPartition) else operation.partition_of
    parent = context.table(name) if name is not None else None
    if parent is None or operation.bound is None:
        return
    default = scanned_default(parent, operation.bound, context.table)
    if default is None or context.is_new(default.name):
        return
    column = parent.partition_key.columns[0] if parent.partition_key is not None else None
    relation = text.name(default.name)
    constraint = text.identifier(text.shortened(default.name.name, "_without"))
    condition = outside(text.identifier(column or "key"), operation.bound)
    yield Hazard(
        f"reads all of the default partition {default.name}{context.rows(default.name)}, to see that none of its rows "
        "belongs to the new one, while nobody can read or write it",
        f"Move such rows out first, then say so with a CHECK:\n"
        f"ALTER TABLE {relation} ADD CONSTRAINT {constraint} CHECK ({condition}) NOT VALID;\n"
        f"-- in the next migration:\nALTER TABLE {relation} VALIDATE CONSTRAINT {constraint};\n"
        f"-- in the one after it: attach the new partition, and\n"
        f"ALTER TABLE {relation} DROP CONSTRAINT {constraint};",
        str(default.name),
    )


_REST = (
    "CREATE TABLE rest PARTITION OF events DEFAULT; INSERT INTO events SELECT id, 500000 + id FROM logs;"
    "CREATE TABLE e3 (LIKE events);"
)
_ATTACH = "ALTER TABLE events ATTACH PARTITION e3 FOR VALUES FROM (300000) TO (400000);"
_CREATE = "CREATE TABLE e4 PARTITION OF events FOR VALUES FROM (300000) TO (400000);"
_CHECK = "ALTER TABLE rest ADD CONSTRAINT out CHECK ({});"


RULE = Rule(
    id="pg-partition-scans-default",
    summary="A new partition reads the whole default partition under ACCESS EXCLUSIVE",
    why="Rows that belong to the new partition must not stay in the default one. A valid CHECK on the default "
    "partition that rules them out spares the scan.",
    catalogue="B1 (default partition)",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="scan",
    on=(ops.CreateTable, ops.AttachPartition),
    check=check,
    bad=(
        Example(_ATTACH, setup=_REST),
        Example(_CREATE, setup=_REST),
        Example(_CREATE, setup=_REST + "ALTER TABLE rest ADD CHECK (at < 300000 OR at >= 400000) NOT VALID;"),
        Example(_CREATE, setup=_REST + _CHECK.format("at < 310000 OR at >= 400000")),
    ),
    good=(
        Example(_ATTACH, setup="CREATE TABLE e3 (LIKE events);"),
        Example(_ATTACH, setup=_REST + _CHECK.format("at < 300000 OR at >= 400000")),
        Example(_ATTACH, setup=_REST + _CHECK.format("NOT (at >= 300000 AND at < 400000)")),
        Example(_ATTACH, setup=_REST + _CHECK.format("at >= 400000")),
        Example(_ATTACH, setup=_REST + _CHECK.format("at IS NULL OR at < 300000 OR at >= 400000")),
        Example(
            "CREATE TABLE kinds_b PARTITION OF kinds FOR VALUES IN ('b');",
            setup="CREATE TABLE kinds (kind text) PARTITION BY LIST (kind);"
            "CREATE TABLE other PARTITION OF kinds DEFAULT; INSERT INTO kinds SELECT 'x' FROM logs;"
            "ALTER TABLE other ADD CONSTRAINT c CHECK (kind NOT IN ('a', 'b'));",
        ),
    ),
)
