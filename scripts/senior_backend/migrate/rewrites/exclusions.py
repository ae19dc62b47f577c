"""EXCLUDE: neither NOT VALID nor USING INDEX exists, so a table of its own, filled beside the application, holds it.

The side table has the key and the constrained columns of each row and is created empty, with the constraint. A trigger
writes every change there in the same transaction, so that two rows that exclude each other cannot both be committed; a
batched UPDATE that changes nothing brings the rows that were there before. The table itself gets no constraint.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from senior_backend.migrate.rewrites import parts
from senior_backend.migrate.rewrites.model import Rewrite, Step, Unknown
from senior_backend.migrate.rewrites.sql import collation_name, ident, in_schema, made, names, table_name, tokens

if TYPE_CHECKING:
    from senior_backend.migrate.catalog import Table
    from senior_backend.migrate.operations import Column, Name
    from senior_backend.migrate.rewrites.model import Context

_DEFINITION = re.compile(r"\bEXCLUDE\b.*", re.IGNORECASE | re.DOTALL)
_EQUAL = re.compile(
    r"EXCLUDE\s*(?:USING\s+\w+\s*)?\(\s*(?:\"(?:[^\"]|\"\")+\"|\w+)\s+WITH\s+=\s*"
    r"(?:,\s*(?:\"(?:[^\"]|\"\")+\"|\w+)\s+WITH\s+=\s*)*\)\s*(?:(?:NOT\s+)?DEFERRABLE.*|INITIALLY.*)?",
    re.IGNORECASE | re.DOTALL,
)


def only_equal(text: str) -> bool:
    """Whether a constraint excludes rows with equal columns and nothing else: a UNIQUE constraint does the same."""
    found = _DEFINITION.search(text)
    return found is not None and _EQUAL.fullmatch(found.group().strip()) is not None


def rewrite(table: Name, name: str, context: Context) -> Rewrite | Unknown:
    """Return the steps after which a side table enforces the constraint `name` of the statement."""
    known, found = context.table(table), _DEFINITION.search(context.text)
    if known is None or not known.complete or not known.primary_key or known.kind != "table" or found is None:
        return Unknown(
            "an EXCLUDE constraint has no online form of its own, and the key and columns of its table are not known",
            "Name the database with --database-url, or keep the file beside the migrations before it: a side table can "
            "hold the constraint then. Where the table is small, add it in a quiet moment behind SET lock_timeout.",
        )
    definition = found.group().strip()
    side, function, trigger = made(name, "rows"), made(name, "check"), made(name, "on")
    columns = _columns(known, definition)
    t, s, f = table_name(table), in_schema(table, side), in_schema(table, function)
    context.assumptions.append(
        f"no two rows of {table} exclude each other yet: until the conflict is solved, updates of such a row fail"
    )
    context.assumptions.append(
        f"{table} itself gets no constraint {name}: that is one of {side}, and fails under the same name"
    )
    create = f"CREATE TABLE {s} (\n  {_definitions(known, columns)},\n  PRIMARY KEY ({names(known.primary_key)}),"
    on = f"CREATE TRIGGER {ident(trigger)} AFTER INSERT OR UPDATE OR DELETE ON {t}"
    on_truncate = f"CREATE TRIGGER {ident(made(trigger, 'truncate'))} AFTER TRUNCATE ON {t}"
    up = (
        f"{create}\n  CONSTRAINT {ident(name)} {definition}\n)",
        _function(f, s, known.primary_key, columns),
        f"{on}\n  FOR EACH ROW EXECUTE FUNCTION {f}()",
        f"{on_truncate}\n  FOR EACH STATEMENT EXECUTE FUNCTION {f}()",
    )
    down = (
        f"DROP TRIGGER IF EXISTS {ident(made(trigger, 'truncate'))} ON {t}",
        f"DROP TRIGGER IF EXISTS {ident(trigger)} ON {t}",
        f"DROP FUNCTION IF EXISTS {f}()",
        f"DROP TABLE IF EXISTS {s}",
    )
    touched = next((one for one in reversed(columns) if _may_be_set(known.columns[one])), None)
    if touched is None:
        return Unknown(
            f"no column of the constraint can be set, so no UPDATE brings the rows of {table} to a side table",
            "Add the constraint in a quiet moment behind SET lock_timeout.",
        )
    c = ident(touched)
    same = " AND ".join(f"side.{ident(key)} = {ident(table.name)}.{ident(key)}" for key in known.primary_key)
    steps = (
        Step(
            "expand",
            f"hold {name} in the table {side}, which a trigger keeps up to date: from now on new rows of {table} are "
            "checked",
            up, down, tables=frozenset({str(table)}),
        ),
        parts.backfill(
            table, f"{c} = {c}", f"NOT EXISTS (SELECT FROM {s} AS side WHERE {same})", context,
            f"bring the rows of {table} that were there before to {side}: the trigger takes along what is updated",
        ),
    )  # fmt: skip
    return Rewrite(steps, undone_by=(f"constraint {name}",))


def _may_be_set(column: Column) -> bool:
    return column.generated is None and column.identity != "always"


def _columns(table: Table, definition: str) -> list[str]:
    """Return the columns that a side table needs: the key, and all that the constraint may name."""
    words = {match.group().strip('"').lower() for match in tokens(definition)}
    return [column for column in table.columns if column in table.primary_key or column.lower() in words]


def _definitions(table: Table, columns: list[str]) -> str:
    def one(column: str) -> str:
        own = table.columns[column]
        collation = f" COLLATE {collation_name(own.collation)}" if own.collation else ""
        return f"{ident(column)} {own.type}{collation}"

    return ",\n  ".join(map(one, columns))


def _function(function: str, side: str, key: tuple[str, ...], columns: list[str]) -> str:
    """Return the trigger's function; it writes as its owner, so that roles of the application need no new rights."""
    old, new = (", ".join(f"{row}.{ident(column)}" for column in columns) for row in ("OLD", "NEW"))
    same = " AND ".join(f"{ident(column)} = OLD.{ident(column)}" for column in key)
    listed = names(columns)
    return f"""CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql
SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
  IF TG_OP = 'TRUNCATE' THEN
    DELETE FROM {side};
  ELSIF TG_OP = 'INSERT' THEN
    INSERT INTO {side} ({listed}) VALUES ({new});
  ELSIF TG_OP = 'DELETE' THEN
    DELETE FROM {side} WHERE {same};
  ELSIF NOT EXISTS (SELECT FROM {side} WHERE {same}) THEN
    INSERT INTO {side} ({listed}) VALUES ({new});
  ELSIF ROW({old}) IS DISTINCT FROM ROW({new}) THEN
    UPDATE {side} SET ({listed}) = ROW({new}) WHERE {same};
  END IF;
  RETURN NULL;
END
$$"""  # noqa: S608 - quoted names
