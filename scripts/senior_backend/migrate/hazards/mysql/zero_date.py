"""DEFAULT '0000-00-00'."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.operations import Column

_ZERO = r"'(?:0000-\d\d-\d\d|\d{4}-00-\d\d|\d{4}-\d\d-00)(?:[ T].*)?'|0"
_TYPES = frozenset(("date", "datetime", "timestamp"))


def check(operation: ops.AddColumn | ops.ModifyColumn | ops.CreateTable, context: Context) -> Iterator[Hazard]:
    """Report a default that the server's own sql_mode refuses."""
    mode = context.setting("sql_mode")
    if mode is not None and "no_zero" not in mode:
        return
    for column in _columns(operation):
        if column.type is None or column.type.name not in _TYPES or column.default is None:
            continue
        if re.fullmatch(_ZERO, column.default.sql):
            yield Hazard(
                f"MySQL refuses the default {column.default.sql} of {column.name}: its sql_mode has NO_ZERO_DATE and "
                "NO_ZERO_IN_DATE unless somebody took them out (error 1067)",
                "Let the column be NULL, or give it a date that exists, such as '1970-01-01'.",
                str(operation.table),
            )


def _columns(operation: ops.AddColumn | ops.ModifyColumn | ops.CreateTable) -> tuple[Column, ...]:
    if isinstance(operation, ops.CreateTable):
        return operation.columns
    return (operation.column if isinstance(operation, ops.AddColumn) else operation.definition,)


RULE = Rule(
    engines=("mysql",),
    id="my-zero-date-default",
    summary="DEFAULT '0000-00-00' is refused by MySQL's own sql_mode",
    why="Zero dates are off by default since MySQL 5.7.8; MariaDB still takes them.",
    catalogue="B2 (zero date)",
    severity="error",
    effect="fails",
    on=(ops.AddColumn, ops.ModifyColumn, ops.CreateTable),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD seen DATETIME NOT NULL DEFAULT '0000-00-00 00:00:00';", fails=True),
        Example("CREATE TABLE visits (at DATE NOT NULL DEFAULT '1970-00-00');", fails=True),
    ),
    good=(
        Example("ALTER TABLE users ADD seen DATETIME NOT NULL DEFAULT '1970-01-01 00:00:00';"),
        Example("CREATE TABLE visits (at VARCHAR(10) NOT NULL DEFAULT '0000-00-00');"),
        Example("SET SESSION sql_mode = 'STRICT_TRANS_TABLES'; ALTER TABLE users ADD d DATE DEFAULT '0000-00-00';"),
    ),
)
