"""ADD COLUMN in a form that SQLite refuses."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

_NOT_CONSTANT = frozenset(("CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME"))
_LITERAL = r"(?i:[-+]?\s*[0-9.][0-9a-z.]*|x?'(?:[^']|'')*'|null|true|false)"


def _reason(operation: ops.AddColumn, context: Context) -> str | None:
    """Return why SQLite refuses the column; all but UNIQUE and PRIMARY KEY pass on a table without rows."""
    column = operation.column
    default = column.default
    empty = default is None or default.is_null
    if column.generated == "stored":
        return "a STORED generated column cannot be added"
    if any(item.kind in ("unique", "primary-key") for item in column.constraints):
        return "a UNIQUE or PRIMARY KEY column cannot be added"
    if column.not_null and empty and column.generated is None:
        return "a NOT NULL column needs a default that is not NULL"
    if default is not None and not _constant(default.sql):
        return "the default of an added column has to be a constant"
    if not empty and any(item.references is not None for item in column.constraints):
        keys = context.setting("foreign_keys")
        if keys not in ("off", "0", "false", "no"):
            return "with foreign keys on, an added REFERENCES column has to default to NULL"
    return None


def _constant(default: str) -> bool:
    """Whether a default is a literal, in parentheses or not; SQLite computes nothing for the rows that are there."""
    if not default.startswith("("):
        return default.upper() not in _NOT_CONSTANT
    inner = default
    while inner.startswith("(") and inner.endswith(")"):
        inner = inner[1:-1].strip()
    return re.fullmatch(_LITERAL, inner) is not None


def check(operation: ops.AddColumn, context: Context) -> Iterator[Hazard]:
    """Report a column that SQLite does not add."""
    reason = _reason(operation, context)
    if reason is not None:
        when = "" if "UNIQUE" in reason else " as soon as the table has a row"
        yield Hazard(
            f"SQLite refuses it{when}: {reason}",
            f"Add {text.identifier(operation.column.name)} without that and fill it; or rebuild the table "
            "(`db_migrate.py rewrite` writes the steps).",
            str(operation.table),
        )


RULE = Rule(
    engines=("sqlite",),
    id="sqlite-add-column-refused",
    summary="ADD COLUMN with NOT NULL and no default, UNIQUE, a computed default, STORED, or REFERENCES with a default",
    why="SQLite adds a column by changing the schema only, so that every row has to do without a value of its own.",
    catalogue="B3",
    severity="error",
    effect="fails",
    on=(ops.AddColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD COLUMN phone TEXT NOT NULL;", fails=True),
        Example("ALTER TABLE users ADD COLUMN phone TEXT UNIQUE;", fails=True),
        Example("ALTER TABLE users ADD COLUMN at TEXT DEFAULT CURRENT_TIMESTAMP;", fails=True),
        Example("ALTER TABLE users ADD COLUMN at TEXT DEFAULT (datetime('now'));", fails=True),
        Example("ALTER TABLE users ADD COLUMN n INTEGER DEFAULT (1 + 1);", fails=True),
        Example("ALTER TABLE users ADD COLUMN older INTEGER AS (age + 1) STORED;", fails=True),
        Example("ALTER TABLE users ADD COLUMN o INTEGER DEFAULT 1 REFERENCES orgs (id);", fails=True),
    ),
    good=(
        Example("ALTER TABLE users ADD COLUMN phone TEXT NOT NULL DEFAULT '';"),
        Example("ALTER TABLE users ADD COLUMN n INTEGER DEFAULT -5;"),
        Example("ALTER TABLE users ADD COLUMN vip BOOLEAN DEFAULT ((0)) NOT NULL;"),
        Example("ALTER TABLE users ADD COLUMN label TEXT DEFAULT ('it''s new') NOT NULL;"),
        Example("ALTER TABLE users ADD COLUMN older INTEGER AS (age + 1) VIRTUAL;"),
        Example("ALTER TABLE users ADD COLUMN o INTEGER REFERENCES orgs (id);"),
    ),
)
