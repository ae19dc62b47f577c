"""Forms that MariaDB has and MySQL refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_FORM = re.compile(
    r"(?P<alter>ALTER\s.*?\b(?:ADD|DROP|MODIFY|CHANGE|RENAME)\s+(?:COLUMN\s+|INDEX\s+|KEY\s+|CONSTRAINT\s+"
    r"|FOREIGN\s+KEY\s+)?IF\s+(?:NOT\s+)?EXISTS\b)"
    r"|(?P<index>CREATE\s+(?:UNIQUE\s+)?INDEX\s+IF\s+NOT\s+EXISTS\b|DROP\s+INDEX\s+IF\s+EXISTS\b)",
    re.IGNORECASE | re.DOTALL,
)


def check(operation: ops.Operation, context: Context) -> Iterator[Hazard]:
    """Report a statement that MySQL's parser refuses."""
    if context.catalog.engine != "mysql" or context.notes.get(RULE.id) is context.statement:
        return
    conditional = getattr(operation, "if_not_exists", False) or getattr(operation, "if_exists", False)
    if not conditional or _FORM.match(context.statement.statement.text) is None:
        return
    context.notes[RULE.id] = context.statement
    yield Hazard(
        "MySQL refuses IF [NOT] EXISTS for columns, indexes and constraints as a syntax error; MariaDB knows it",
        "Leave it out, and let the record of applied migrations see to it that a file runs once; on MariaDB say "
        "--engine mariadb.",
        str(getattr(operation, "table", None) or ""),
    )


RULE = Rule(
    engines=("mysql",),
    id="my-mariadb-only-syntax",
    summary="IF [NOT] EXISTS for a column, index or constraint is a syntax error on MySQL",
    why="MySQL has it for tables, views and routines only.",
    catalogue="B2 (dialects)",
    severity="warning",
    effect="fails",
    on=(ops.AddColumn, ops.DropColumn, ops.CreateIndex, ops.DropIndex, ops.DropConstraint),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD COLUMN IF NOT EXISTS height INT;", engine="mysql", fails=True),
        Example("ALTER TABLE users DROP COLUMN IF EXISTS height;", engine="mysql", fails=True),
        Example("CREATE INDEX IF NOT EXISTS users_age ON users (age);", engine="mysql", fails=True),
        Example("DROP INDEX IF EXISTS users_email ON users;", engine="mysql", fails=True),
    ),
    good=(
        Example("CREATE TABLE IF NOT EXISTS tags (a INT); DROP TABLE IF EXISTS tags;", engine="mysql"),
        Example("ALTER TABLE users ADD COLUMN height INT;", engine="mysql"),
    ),
)
