"""DROP DATABASE, SCHEMA, VIEW, TYPE, DOMAIN, SEQUENCE, FUNCTION, EXTENSION."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_DATA = frozenset(("database", "schema", "extension", "sequence", "type", "domain", "owned", "materialized-view"))
_CODE = frozenset(("view", "function", "procedure", "routine", "aggregate"))


def check(operation: ops.DropObject, context: Context) -> Iterator[Hazard]:
    """Report a dropped object, unless this migration makes it anew."""
    kind = operation.kind
    if kind not in _DATA | _CODE or context.created_here(kind, operation.name) or _replaced(operation, context):
        return
    if kind == "domain" and context.created_here("type", operation.name):
        return
    table = context.table(operation.name) if kind in ("view", "materialized-view") else None
    if table is not None and table.unit == context.number:
        return
    cascade = ", and everything that depends on it" if operation.cascade else ""
    what = kind.replace("-", " ")
    if kind in _DATA:
        message = f"the {what} {operation.name}{cascade} is gone for good"
    else:
        message = f"running code that uses the {what} {operation.name}{cascade} fails"
    yield Hazard(
        message,
        "Make sure that no release in use names it (and drop it without CASCADE, which then tells what still does), "
        "with a backup at hand; where that is so, silence this line with the reason.",
        str(operation.name),
        severity="error" if kind in _DATA or operation.cascade else "warning",
    )


def _replaced(operation: ops.DropObject, context: Context) -> bool:
    """Whether this migration has renamed the object out of the way of another, which has its name now."""
    return any(
        isinstance(step, ops.RenameObject)
        and (step.kind, step.new_name) == (operation.kind, operation.name.name)
        and context.taken_over(step.kind, step.name)
        for parsed in context.statements[: context.position]
        for step in parsed.operations
    )


RULE = Rule(
    id="pg-drop-object",
    summary="DROP of a schema, type, sequence, view, function or extension breaks what uses it",
    why="Schemas, extensions and databases take data with them; views and functions take running queries down.",
    catalogue="B1.28",
    severity="error",
    on=(ops.DropObject,),
    check=check,
    rollback=True,
    bad=(
        Example("DROP VIEW active_users;"),
        Example("DROP TYPE mood;"),
        Example("DROP SCHEMA public CASCADE;", runs=False),
        Example("DROP FUNCTION touch() CASCADE;"),
        Example("DROP DATABASE app;", runs=False),
        Example("DROP SEQUENCE numbers;", setup="CREATE SEQUENCE numbers;"),
        Example("ALTER TYPE mood RENAME TO mood_old; DROP TYPE mood_old;"),
    ),
    good=(
        Example(
            "CREATE TYPE mood_new AS ENUM ('sad', 'glad'); ALTER TYPE mood RENAME TO mood_old;"
            "ALTER TYPE mood_new RENAME TO mood; DROP TYPE mood_old;"
        ),
        Example("DROP VIEW active_users; CREATE VIEW active_users AS SELECT id FROM users;"),
        Example(
            "DROP FUNCTION IF EXISTS twice(int);"
            "CREATE FUNCTION twice(a int) RETURNS int LANGUAGE sql AS $$ SELECT 2 * a $$;"
        ),
        Example("DROP TRIGGER users_touch ON users;"),
    ),
)
