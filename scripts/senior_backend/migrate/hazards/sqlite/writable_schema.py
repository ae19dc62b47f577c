"""PRAGMA writable_schema."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_OFF = frozenset(("0", "off", "no", "false", "reset"))


def check(operation: ops.SetVariable, context: Context) -> Iterator[Hazard]:
    """Report the switch that lets UPDATE and DELETE reach the schema's own table."""
    del context
    if operation.name != "writable_schema" or operation.value is None or operation.value.strip("'\"") in _OFF:
        return
    yield Hazard(
        "the schema can be edited as text: nothing checks it, and a mistake makes the database unreadable the next "
        "time it is opened",
        "Build the table anew instead: create, copy, drop, rename, indexes, triggers, foreign_key_check; "
        "`db_migrate.py rewrite` writes that.",
    )


RULE = Rule(
    engines=("sqlite",),
    id="sqlite-writable-schema",
    summary="PRAGMA writable_schema lets statements edit the schema as text",
    why="Rows on disk must fit the new text, and neither the text nor the rows are checked when it is written.",
    catalogue="B3",
    severity="error",
    on=(ops.SetVariable,),
    check=check,
    rollback=True,
    bad=(
        Example(
            "PRAGMA writable_schema = ON; UPDATE sqlite_master SET sql = replace(sql, 'age INTEGER', 'age REAL') "
            "WHERE name = 'users'; PRAGMA writable_schema = RESET;",
            transaction=False,
        ),
        Example("PRAGMA writable_schema(1); DELETE FROM sqlite_schema WHERE name = 'users_age';", transaction=False),
    ),
    good=(
        Example("PRAGMA writable_schema; PRAGMA writable_schema = OFF; PRAGMA writable_schema = RESET;"),
        Example("SELECT sql FROM sqlite_master;"),
    ),
)
