"""CREATE INDEX on a partitioned table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.CreateIndex, context: Context) -> Iterator[Hazard]:
    """Report an index on the parent of partitions."""
    table = context.table(operation.table)
    if table is None or table.kind != "partitioned" or operation.only or context.is_new(operation.table):
        return
    if context.is_there(operation):
        return
    index = text.identifier(operation.name or text.shortened(operation.table.name, "_idx"))
    keys = ", ".join(
        text.identifier(column.name) if column.name else f"({column.expression.sql})"  # type: ignore[union-attr]
        for column in operation.columns
    )
    unique = "UNIQUE " if operation.unique else ""
    if operation.concurrently:
        message = "PostgreSQL refuses CREATE INDEX CONCURRENTLY on a partitioned table"
    else:
        message = f"blocks writes to {operation.table} and to all its partitions until every index is built"
    parts = sorted(str(partition.name) for partition in table.partitions) or ["<partition>"]
    steps = "\n".join(
        f"CREATE {unique}INDEX CONCURRENTLY {text.identifier(text.shortened(part, '_idx'))} "
        f"ON {text.identifier(part)} ({keys});\n"
        f"ALTER INDEX {index} ATTACH PARTITION {text.identifier(text.shortened(part, '_idx'))};"
        for part in parts[:5]
    )
    yield Hazard(
        message,
        f"CREATE {unique}INDEX {index} ON ONLY {text.name(operation.table)} ({keys});\n"
        f"-- for each partition, outside a transaction:\n{steps}",
        str(operation.table),
        effect="fails" if operation.concurrently else None,
    )


RULE = Rule(
    id="pg-create-index-on-partitioned-table",
    summary="CREATE INDEX on a partitioned table blocks writes to all partitions, and has no CONCURRENTLY",
    why="ON ONLY makes an empty index on the parent; those of the partitions are built concurrently and attached.",
    catalogue="B1.44",
    severity="error",
    lock="SHARE",
    effect="scan",
    on=(ops.CreateIndex,),
    check=check,
    bad=(
        Example("CREATE INDEX events_id ON events (id);"),
        Example("CREATE INDEX CONCURRENTLY events_id ON events (id);", transaction=False, fails=True),
    ),
    good=(
        Example("CREATE INDEX IF NOT EXISTS events_at ON events (at);", setup="CREATE INDEX events_at ON events (at);"),
        Example("CREATE INDEX events_id ON ONLY events (id);"),
        Example("CREATE INDEX CONCURRENTLY events_1_id ON events_1 (id);", transaction=False),
        Example("CREATE TABLE m (k int) PARTITION BY LIST (k); CREATE INDEX m_k ON m (k);"),
    ),
)
