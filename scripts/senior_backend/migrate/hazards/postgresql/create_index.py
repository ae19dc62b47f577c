"""CREATE INDEX without CONCURRENTLY."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.CreateIndex, context: Context) -> Iterator[Hazard]:
    """Report an index built under a lock, on a table that others write to."""
    if operation.concurrently or operation.only or context.is_new(operation.table) or context.is_there(operation):
        return
    table = context.table(operation.table)
    if table is not None and table.kind in ("partitioned", "foreign"):
        return  # partitioned tables have a rule of their own
    index = operation.name or text.shortened(
        "_".join((operation.table.name, *(column.name or "expr" for column in operation.columns))), "_idx"
    )
    unique = "UNIQUE " if operation.unique else ""
    keys = ", ".join(text.identifier(c.name) if c.name else f"({c.expression.sql})" for c in operation.columns)  # type: ignore[union-attr]
    method = f"USING {operation.method} " if operation.method != "btree" else ""
    include = f" INCLUDE ({text.columns(operation.include)})" if operation.include else ""
    where = f" WHERE {operation.where.sql}" if operation.where is not None else ""
    yield Hazard(
        f"building the index blocks every write to {operation.table}{context.rows(operation.table)} until it is done",
        f"In a migration of its own, outside a transaction:\n"
        f"CREATE {unique}INDEX CONCURRENTLY {text.identifier(index)} ON {text.name(operation.table)} "
        f"{method}({keys}){include}{where};\n"
        f"Then check pg_index.indisvalid of it; where that is false, DROP INDEX CONCURRENTLY "
        f"{text.identifier(index)} and build it again.",
        str(operation.table),
    )


RULE = Rule(
    id="pg-create-index-blocks-writes",
    summary="CREATE INDEX without CONCURRENTLY blocks writes while it reads the whole table",
    why="CREATE INDEX holds a SHARE lock, which stops INSERT, UPDATE and DELETE, for as long as the build takes.",
    catalogue="B1.1",
    severity="error",
    lock="SHARE",
    effect="scan",
    on=(ops.CreateIndex,),
    check=check,
    bad=(
        Example("CREATE INDEX users_name ON users (name);"),
        Example("CREATE UNIQUE INDEX users_code ON public.users USING btree (lower(code)) WHERE age > 3;"),
    ),
    good=(
        Example("CREATE INDEX IF NOT EXISTS users_email ON users (email);"),
        Example("CREATE INDEX CONCURRENTLY users_name ON users (name);", transaction=False),
        Example("CREATE TABLE tags (id bigint PRIMARY KEY, label text); CREATE INDEX tags_label ON tags (label);"),
    ),
)
