"""ATTACH PARTITION without a matching CHECK."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AttachPartition, context: Context) -> Iterator[Hazard]:
    """Report a partition whose rows nothing has checked yet."""
    if context.is_new(operation.child):
        return
    child = context.table(operation.child)
    if child is not None and any(
        constraint.kind == "check" and constraint.valid for constraint in child.constraints.values()
    ):
        return  # whether it implies the bounds only the server can tell
    relation = text.name(operation.child)
    name = text.identifier(text.shortened(operation.child.name, "_bounds"))
    yield Hazard(
        f"attaching {operation.child} reads it whole{context.rows(operation.child)}, to see that its rows fit, "
        "while nobody can read or write it",
        f"ALTER TABLE {relation} ADD CONSTRAINT {name} CHECK (key IS NOT NULL AND key >= … AND key < …) NOT VALID;\n"
        f"-- in the next migration:\nALTER TABLE {relation} VALIDATE CONSTRAINT {name};\n"
        f"-- in the one after it:\nALTER TABLE {text.name(operation.table)} ATTACH PARTITION {relation} FOR VALUES …;\n"
        f"ALTER TABLE {relation} DROP CONSTRAINT {name};",
        str(operation.child),
    )


RULE = Rule(
    id="pg-attach-partition-scans",
    summary="ATTACH PARTITION reads the whole partition where no CHECK matches its bounds",
    why="A valid CHECK that implies the bounds spares the scan, which otherwise runs under ACCESS EXCLUSIVE.",
    catalogue="B1.42",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="scan",
    on=(ops.AttachPartition,),
    check=check,
    bad=(Example("ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM (100000) TO (200000);"),),
    good=(
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
