"""ATTACH PARTITION without a CHECK that implies its bounds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.catalog import Table


def check(operation: ops.AttachPartition, context: Context) -> Iterator[Hazard]:
    """Report a partition whose rows nothing has checked yet."""
    from senior_backend.migrate.postgres_bounds import fits, inside

    if context.is_new(operation.child):
        return
    parent, child, bound = context.table(operation.table), context.table(operation.child), operation.bound
    key = parent.partition_key if parent is not None else None
    column = key.columns[0] if key is not None else None
    if bound is not None and bound.strategy == "default":
        if parent is not None and parent.complete and not parent.partitions:
            return  # there is nothing that its rows could belong to instead
    elif child is not None and bound is not None:
        if column is not None and fits(child, column, bound):
            return
        if column is None and bound.strategy != "hash" and _has_check(child):
            return  # by an expression, or by columns that are not known here: only the server can tell
    relation = text.name(operation.child)
    name = text.identifier(text.shortened(operation.child.name, "_bounds"))
    attach = f"ALTER TABLE {text.name(operation.table)} ATTACH PARTITION {relation}"
    if bound is not None and bound.strategy == "hash":
        fix = "No CHECK can stand for a hash: create the partitions of a hash empty, and fill them through the parent."
    elif bound is not None and bound.strategy == "default":
        fix = "Attach the default partition before the others, or while it is empty."
    else:
        condition = inside(text.identifier(column or "key"), bound or ops.PartitionBound("range", ("…",), ("…",)))
        fix = (
            f"ALTER TABLE {relation} ADD CONSTRAINT {name} CHECK ({condition}) NOT VALID;\n"
            f"-- in the next migration:\nALTER TABLE {relation} VALIDATE CONSTRAINT {name};\n"
            f"-- in the one after it:\n{attach} FOR VALUES …;\nALTER TABLE {relation} DROP CONSTRAINT {name};"
        )
    yield Hazard(
        f"attaching {operation.child} reads it whole{context.rows(operation.child)}, to see that its rows fit, "
        "while nobody can read or write it",
        fix,
        str(operation.child),
    )


def _has_check(table: Table) -> bool:
    return any(constraint.kind == "check" and constraint.valid for constraint in table.constraints.values())


RULE = Rule(
    id="pg-attach-partition-scans",
    summary="ATTACH PARTITION reads the whole partition where no CHECK matches its bounds",
    why="A valid CHECK that implies the bounds, and that the key is not null, spares the scan, which otherwise runs "
    "under ACCESS EXCLUSIVE.",
    catalogue="B1.42",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="scan",
    on=(ops.AttachPartition,),
    check=check,
    bad=(
        Example("ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM (100000) TO (200000);"),
        Example(
            "ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM (100000) TO (200000);",
            setup="ALTER TABLE events_2 ADD CONSTRAINT b CHECK (id > 0);",
        ),
        Example(
            "ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM (100000) TO (200000);",
            setup="ALTER TABLE events_2 ADD CONSTRAINT b CHECK (at >= 100000);",
        ),
        Example(
            "ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM (100000) TO (200000);",
            setup="ALTER TABLE events_2 ADD CONSTRAINT b CHECK (at >= 99999 AND at < 200000);",
        ),
        Example(
            "ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM (100000) TO (200000);",
            setup="ALTER TABLE events_2 ADD CONSTRAINT b CHECK (at >= 100000 AND at < 200000) NOT VALID;",
        ),
        Example(
            "ALTER TABLE kinds ATTACH PARTITION kinds_a FOR VALUES IN ('a', 'b');",
            setup="CREATE TABLE kinds (kind text) PARTITION BY LIST (kind); CREATE TABLE kinds_a (kind text);"
            "INSERT INTO kinds_a SELECT 'a' FROM logs; "
            "ALTER TABLE kinds_a ADD CONSTRAINT c CHECK (kind IN ('a', 'b'));",
        ),
        Example(
            "ALTER TABLE spread ATTACH PARTITION spread_0 FOR VALUES WITH (MODULUS 1, REMAINDER 0);",
            setup="CREATE TABLE spread (id bigint) PARTITION BY HASH (id);"
            "CREATE TABLE spread_0 AS SELECT id FROM logs;"
            "ALTER TABLE spread_0 ADD CONSTRAINT c CHECK (id IS NOT NULL);",
        ),
    ),
    good=(
        Example(
            "ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM (100000) TO (200000);",
            setup="ALTER TABLE events_2 ADD CONSTRAINT b CHECK (at BETWEEN 100001 AND 150000);",
        ),
        Example(
            "ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM (100000) TO (MAXVALUE);",
            setup="ALTER TABLE events_2 ADD CONSTRAINT b CHECK (100000 <= at);",
        ),
        Example(
            "ALTER TABLE kinds ATTACH PARTITION kinds_a FOR VALUES IN ('a', 'b', NULL);",
            setup="CREATE TABLE kinds (kind text) PARTITION BY LIST (kind); CREATE TABLE kinds_a (kind text);"
            "INSERT INTO kinds_a SELECT 'a' FROM logs; "
            "ALTER TABLE kinds_a ADD CONSTRAINT c CHECK (kind IN ('a', 'b'));",
        ),
        Example(
            "ALTER TABLE kinds ATTACH PARTITION kinds_a DEFAULT;",
            setup="CREATE TABLE kinds (kind text) PARTITION BY LIST (kind); CREATE TABLE kinds_a (kind text);"
            "INSERT INTO kinds_a SELECT 'a' FROM logs;",
        ),
        Example(
            "ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM (100000) TO (200000);",
            setup="ALTER TABLE events_2 ADD CONSTRAINT b CHECK (at IS NOT NULL AND at >= 100000 AND at < 200000);",
        ),
        Example(
            "CREATE TABLE events_3 (id bigint NOT NULL, at int NOT NULL);"
            "ALTER TABLE events ATTACH PARTITION events_3 FOR VALUES FROM (300000) TO (400000);"
        ),
    ),
)
