"""ADD COLUMN with a default that differs from row to row."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import postgresql_fixes as fixes
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

# Functions of PostgreSQL itself that are STABLE or IMMUTABLE and occur in defaults: the value is computed once and
# kept in the catalogue. Any other function is taken for volatile, which is what CREATE FUNCTION makes by default.
_COMPUTED_ONCE = frozenset(
    (
        *("now", "transaction_timestamp", "statement_timestamp", "timezone", "date_trunc", "date_part", "extract"),
        *("make_interval", "make_date", "make_timestamp", "make_timestamptz", "to_char", "to_date", "to_timestamp"),
        *("to_tsvector", "lower", "upper", "concat", "concat_ws", "array_fill", "jsonb_build_object", "uuid_nil"),
        *("json_build_object", "jsonb_build_array", "json_build_array", "current_setting", "current_schema", "abs"),
        *("current_database", "floor", "round", "ceil", "power", "md5", "encode", "decode", "length", "substring"),
        *("replace", "trim", "btrim", "ltrim", "rtrim", "repeat", "lpad", "rpad", "left", "right", "int4range"),
        *("int8range", "numrange", "daterange", "tsrange", "tstzrange", "to_json", "to_jsonb", "point", "box", "int4"),
        *(
            "string_to_array",
            "array_append",
            "array_cat",
            "row_to_json",
            "num_nulls",
            "age",
            "justify_days",
            "hashtext",
        ),
        *(
            "pg_current_xact_id",
            "txid_current",
            "session_user",
            "inet_client_addr",
            "version",
            "format",
            "chr",
            "ascii",
        ),
    )
)


def _volatile(operation: ops.AddColumn, context: Context) -> str | None:
    default = operation.column.default
    if default is None:
        return None
    for function in sorted(default.functions):
        declared = context.catalog.function_volatility(function)
        if declared == "volatile" or (declared is None and function.name not in _COMPUTED_ONCE):
            return function.name
    return None


def check(operation: ops.AddColumn, context: Context) -> Iterator[Hazard]:
    """Report a default that has to be computed for every row."""
    column = operation.column
    if column.default is None or context.is_new(operation.table):
        return
    function = _volatile(operation, context)
    if function is None:
        if context.at_least(11) or column.default.is_null:
            return
        reason = "before PostgreSQL 11 any default is written into every row"
    else:
        reason = f"{function}() is volatile, so every row gets a value of its own"
    table, attribute = text.name(operation.table), text.identifier(column.name)
    tail = f"\n{fixes.not_null_steps(operation.table, column.name, server=context.version)}" if column.not_null else ""
    yield Hazard(
        f"{reason}: the whole table{context.rows(operation.table)} is rewritten while nobody can read it",
        f"ALTER TABLE {table} ADD COLUMN {attribute} {column.type};\n"
        f"ALTER TABLE {table} ALTER COLUMN {attribute} SET DEFAULT {column.default.sql};\n"
        f"{fixes.backfill(operation.table, column.name, column.default.sql)}{tail}",
        str(operation.table),
    )


RULE = Rule(
    id="pg-add-column-volatile-default",
    summary="ADD COLUMN with a volatile default rewrites the table",
    why="A constant or stable default is kept in the catalogue; a volatile one (random(), gen_random_uuid(), "
    "clock_timestamp()) is computed for every row, under ACCESS EXCLUSIVE, and all indexes are built anew.",
    catalogue="B1.8",
    severity="error",
    lock="ACCESS EXCLUSIVE",
    effect="rewrite",
    on=(ops.AddColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users ADD COLUMN token uuid DEFAULT gen_random_uuid();"),
        Example("ALTER TABLE users ADD COLUMN seen timestamptz NOT NULL DEFAULT clock_timestamp();"),
        Example(
            "ALTER TABLE users ADD COLUMN n int DEFAULT dice();",
            setup="CREATE FUNCTION dice() RETURNS int LANGUAGE sql AS $$ SELECT (random() * 6)::int $$;",
        ),
        Example("ALTER TABLE users ADD COLUMN n int DEFAULT 5;", version=(10, 0), runs=False),
    ),
    good=(
        Example("ALTER TABLE users ADD COLUMN seen timestamptz NOT NULL DEFAULT now();"),
        Example("ALTER TABLE users ADD COLUMN n int NOT NULL DEFAULT 5;"),
        Example("ALTER TABLE users ADD COLUMN d date DEFAULT CURRENT_DATE, ADD COLUMN t text[] DEFAULT '{}'::text[];"),
        Example(
            "ALTER TABLE users ADD COLUMN n int DEFAULT seven();",
            setup="CREATE FUNCTION seven() RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT 7 $$;",
        ),
        Example(
            "ALTER TABLE users ADD COLUMN token uuid; ALTER TABLE users ALTER token SET DEFAULT gen_random_uuid();"
        ),
    ),
)
