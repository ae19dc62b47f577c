"""RENAME of schemas, views, types, enum values, and SET SCHEMA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_QUIET = frozenset(("index", "constraint", "trigger", "policy", "rule", "domain-constraint", "sequence"))


def check(operation: ops.RenameObject | ops.RenameEnumValue | ops.SetSchema, context: Context) -> Iterator[Hazard]:
    """Report an object whose old name running code still uses."""
    if isinstance(operation, ops.RenameEnumValue):
        enum = text.name(operation.name)
        yield Hazard(
            f"running code that writes or compares '{operation.old}' of {operation.name} fails",
            f"ALTER TYPE {enum} ADD VALUE '{operation.new}';\n"
            f"-- deploy code that knows both, move the rows in batches; a value that is no longer used may stay",
            str(operation.name),
        )
        return
    name = operation.name
    if isinstance(operation, ops.SetSchema):
        if operation.kind == "table" and context.is_new(name):
            return
        yield Hazard(
            f"running code that finds the {operation.kind} {name} by its schema or along its search_path fails",
            f"Put the new schema on the search_path of all roles first, or leave a view behind:\n"
            f"CREATE VIEW {text.name(name)} AS TABLE {text.identifier(operation.schema)}.{text.identifier(name.name)};",
            str(name),
        )
        return
    table = operation.table
    if table is not None and context.is_new(table):
        return
    if operation.kind in _QUIET:
        return
    if context.taken_over(operation.kind, name):
        return
    yield Hazard(
        f"running code that names the {operation.kind.replace('-', ' ')} {name} fails",
        "Create the new one beside the old one, deploy code that uses it, and drop the old one later.",
        str(name),
    )


RULE = Rule(
    id="pg-rename-object",
    summary="Renaming a schema, view, type, function or enum value, or SET SCHEMA, breaks running code",
    why="Old and new release run side by side during a deploy, and one of them always has the wrong name.",
    catalogue="B1.33",
    severity="error",
    on=(ops.RenameObject, ops.RenameEnumValue, ops.SetSchema),
    check=check,
    bad=(
        Example("ALTER TYPE mood RENAME VALUE 'ok' TO 'okay';"),
        Example("ALTER TABLE users SET SCHEMA archive;", setup="CREATE SCHEMA archive;"),
        Example("ALTER SCHEMA archive RENAME TO attic;", setup="CREATE SCHEMA archive;"),
        Example("ALTER VIEW active_users RENAME TO live_users;"),
    ),
    good=(
        Example(
            "CREATE TYPE mood_new AS ENUM ('sad', 'glad'); ALTER TYPE mood RENAME TO mood_old;"
            "ALTER TYPE mood_new RENAME TO mood; DROP TYPE mood_old;"
        ),
        Example("ALTER INDEX users_email RENAME TO users_mail;"),
        Example("ALTER TABLE orders RENAME CONSTRAINT orders_user_fk TO orders_users;"),
        Example("ALTER TYPE mood ADD VALUE 'okay';"),
    ),
)
