"""DROP COLUMN."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.DropColumn, context: Context) -> Iterator[Hazard]:
    """Report a column that running code may still use."""
    if context.is_new(operation.table) or context.added_here(operation.table, operation.column):
        return
    table = context.table(operation.table)
    indexed = [index.name for index in table.indexes_on(context.catalog.fold(operation.column))] if table else []
    also = f"; the column also leaves the index {', '.join(indexed)}" if indexed else ""
    rebuilt = bool(indexed) and context.catalog.engine == "mysql"
    if rebuilt:
        also += f", for which MySQL builds the table{context.rows(operation.table)} anew"
    yield Hazard(
        f"code that is running still selects and writes {operation.column}, and its data is gone for good{also}",
        f"Deploy a release that does not name the column first; in a later one:\n"
        f"ALTER TABLE {text.mysql_name(operation.table)} DROP COLUMN {text.backticked(operation.column)}"
        f", {'ALGORITHM=INPLACE, LOCK=NONE' if indexed else 'ALGORITHM=INSTANT'};\n"
        "Where that release is out, silence this line with the reason.",
        str(operation.table),
        effect="rewrite" if rebuilt else None,
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-drop-column",
    summary="DROP COLUMN breaks running code and loses data",
    why="Every query of the running release that names the column fails.",
    catalogue="B2.7",
    severity="error",
    on=(ops.DropColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users DROP COLUMN name;"),
        Example("ALTER TABLE users DROP email;", engine="mariadb"),
        Example("ALTER TABLE users DROP email;", engine="mysql", effect="rewrite"),
    ),
    good=(Example("CREATE TABLE tags (a INT, b INT); ALTER TABLE tags DROP COLUMN b;"),),
)
