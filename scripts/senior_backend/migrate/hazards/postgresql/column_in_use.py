"""Changes of a column that PostgreSQL refuses, because a view, rule, policy, trigger or generated column names it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def _users(operation: ops.AlterColumnType | ops.DropColumn, context: Context) -> Iterator[str]:
    """Yield what names the column, and stays in spite of this statement."""
    table = context.table(operation.table)
    if table is None:
        return
    dropped = {step.column for step in context.statement.operations if isinstance(step, ops.DropColumn)}
    for name, column in table.columns.items():
        if column.generation is not None and operation.column in column.generation.columns and name not in dropped:
            yield f"the generated column {name}"
    for dependent in table.dependents:
        if dependent.uses(operation.column):
            yield f"the {dependent.kind.replace('-', ' ')} {text.name(dependent.name)}"
    if table.partition_key is not None and operation.column in table.partition_key.columns:
        yield "the partition key"


def check(operation: ops.AlterColumnType | ops.DropColumn, context: Context) -> Iterator[Hazard]:
    """Report a change of type, or a DROP without CASCADE, of a column that others name."""
    drop = isinstance(operation, ops.DropColumn)
    users = sorted(set(_users(operation, context)))
    if isinstance(operation, ops.DropColumn) and operation.cascade:
        users = [user for user in users if user == "the partition key"]
    if not users:
        return
    what = "DROP COLUMN without CASCADE" if drop else "a change of the type"
    error = "2BP01" if drop else "0A000"
    table, attribute = text.name(operation.table), text.identifier(operation.column)
    change = (
        f"DROP COLUMN {attribute}"
        if isinstance(operation, ops.DropColumn)
        else f"ALTER COLUMN {attribute} TYPE {operation.type}"
    )
    if users == ["the partition key"]:
        yield Hazard(
            f"PostgreSQL refuses {what} of {operation.column}: it is part of the partition key (error 42P16)",
            "Create a new partitioned table, and move the rows in batches.",
            str(operation.table),
        )
        return
    yield Hazard(
        f"PostgreSQL refuses {what} of {operation.column}, because {', '.join(users)} uses it (error {error})",
        f"In one transaction, after the deploy that needs them no more, or makes do with the new ones:\n"
        f"drop {', '.join(users)};\nALTER TABLE {table} {change};\nthen create again what is still needed.",
        str(operation.table),
    )


RULE = Rule(
    id="pg-column-in-use",
    summary="A column's type cannot change, nor it be dropped, while a view, policy or generated column uses it",
    why="PostgreSQL remembers which columns views, rules, policies, triggers and generated columns name, and refuses "
    "to change their type under them; DROP COLUMN needs CASCADE, which drops them too.",
    catalogue="B1 (column in use)",
    severity="error",
    effect="fails",
    on=(ops.AlterColumnType, ops.DropColumn),
    check=check,
    bad=(
        Example("ALTER TABLE users ALTER COLUMN name TYPE varchar(100);", fails=True),
        Example("ALTER TABLE users ALTER COLUMN id TYPE int;", fails=True),
        Example("ALTER TABLE users DROP COLUMN active;", fails=True),
        Example(
            "ALTER TABLE users ALTER COLUMN age TYPE bigint;",
            setup="ALTER TABLE users ADD COLUMN twice int GENERATED ALWAYS AS (age * 2) STORED;",
            fails=True,
        ),
        Example(
            "ALTER TABLE users DROP COLUMN age;",
            setup="ALTER TABLE users ADD COLUMN twice int GENERATED ALWAYS AS (age * 2) STORED;",
            fails=True,
        ),
        Example("ALTER TABLE logs ALTER COLUMN line TYPE varchar;", setup="CREATE VIEW v AS TABLE logs;", fails=True),
        Example(
            "ALTER TABLE users ALTER COLUMN note TYPE varchar;",
            setup="CREATE VIEW v AS SELECT count(*) AS n FROM orders AS o JOIN users AS u ON u.id = o.user_id "
            "WHERE EXISTS (SELECT 1 FROM logs WHERE line = note);",
            fails=True,
        ),
        Example(
            "ALTER TABLE users ALTER COLUMN age TYPE bigint;",
            setup="CREATE POLICY adults ON users USING (age > 17);",
            fails=True,
        ),
        Example(
            "ALTER TABLE users ALTER COLUMN balance TYPE numeric;",
            setup="CREATE TRIGGER paid BEFORE UPDATE OF balance ON users FOR EACH ROW EXECUTE FUNCTION touch();",
            fails=True,
        ),
        Example(
            "ALTER TABLE users DROP COLUMN note;",
            setup="CREATE TRIGGER noted BEFORE UPDATE ON users FOR EACH ROW WHEN (OLD.note <> NEW.note) "
            "EXECUTE FUNCTION touch();",
            fails=True,
        ),
        Example(
            "ALTER TABLE logs DROP COLUMN line;",
            setup="CREATE RULE quiet AS ON UPDATE TO logs WHERE NEW.line IS NULL DO INSTEAD NOTHING;",
            fails=True,
        ),
        Example("ALTER TABLE events ALTER COLUMN at TYPE bigint;", fails=True),
        Example("CREATE TABLE tags (a int); CREATE VIEW v AS SELECT a FROM tags; ALTER TABLE tags DROP a;", fails=True),
    ),
    good=(
        Example("DROP VIEW active_users; ALTER TABLE users DROP COLUMN active;"),
        Example("ALTER TABLE users DROP COLUMN active CASCADE;"),
        Example("ALTER TABLE users ALTER COLUMN age TYPE bigint;"),
        Example("ALTER TABLE users DROP COLUMN note;", setup="CREATE VIEW v AS SELECT u.age FROM users AS u;"),
        Example(
            "ALTER TABLE users DROP COLUMN note;",
            setup="CREATE VIEW v AS WITH users AS (SELECT line AS note FROM logs) SELECT note FROM users;",
        ),
        Example(
            "ALTER TABLE users DROP COLUMN twice, ALTER COLUMN age TYPE bigint;",
            setup="ALTER TABLE users ADD COLUMN twice int GENERATED ALWAYS AS (age * 2) STORED;",
        ),
        Example(
            "ALTER TABLE users RENAME note TO remark; DROP VIEW v; ALTER TABLE users DROP COLUMN remark;",
            setup="CREATE VIEW v AS SELECT note FROM users;",
        ),
        Example("ALTER TABLE logs DROP COLUMN line;", setup="CREATE VIEW v AS TABLE logs; DROP VIEW v;"),
        Example(
            "ALTER TABLE users DROP COLUMN extra;",
            setup="CREATE VIEW v AS TABLE users; ALTER TABLE users ADD COLUMN extra int;",
        ),
        Example(
            "ALTER TABLE users ALTER COLUMN age TYPE bigint;",
            setup="CREATE POLICY adults ON users USING (age > 17); DROP POLICY adults ON users;",
        ),
    ),
)
