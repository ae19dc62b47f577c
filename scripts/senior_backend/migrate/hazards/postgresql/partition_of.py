"""CREATE TABLE ... PARTITION OF."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.CreateTable, context: Context) -> Iterator[Hazard]:
    """Report a new partition that locks the whole parent."""
    parent = operation.partition_of
    if parent is None or context.is_new(parent):
        return
    table = text.name(operation.table)
    yield Hazard(
        f"locks {parent}, with all its partitions, against reads and writes",
        f"CREATE TABLE {table} (LIKE {text.name(parent)} INCLUDING DEFAULTS INCLUDING CONSTRAINTS);\n"
        f"ALTER TABLE {text.name(parent)} ATTACH PARTITION {table} FOR VALUES …;  -- stops nobody",
        str(parent),
    )


RULE = Rule(
    id="pg-create-partition-locks-parent",
    summary="CREATE TABLE ... PARTITION OF takes ACCESS EXCLUSIVE on the parent",
    why="ATTACH PARTITION does the same under SHARE UPDATE EXCLUSIVE, which stops neither readers nor writers.",
    catalogue="B1.43",
    severity="warning",
    lock="ACCESS EXCLUSIVE",
    on=(ops.CreateTable,),
    check=check,
    bad=(Example("CREATE TABLE events_3 PARTITION OF events FOR VALUES FROM (300000) TO (400000);"),),
    good=(
        Example(
            "CREATE TABLE events_3 (LIKE events INCLUDING DEFAULTS INCLUDING CONSTRAINTS);"
            "ALTER TABLE events ATTACH PARTITION events_3 FOR VALUES FROM (300000) TO (400000);"
        ),
        Example("CREATE TABLE m (k int) PARTITION BY LIST (k); CREATE TABLE m1 PARTITION OF m FOR VALUES IN (1);"),
    ),
)
