"""ALTER COLUMN … TYPE that rewrites the table: a second column, kept in step by a trigger, then swapped in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.rewrites import parts
from senior_backend.migrate.rewrites.column_copy import copied, sequence_moves
from senior_backend.migrate.rewrites.model import Context, Rewrite, Step, Unknown
from senior_backend.migrate.rewrites.sql import ident, in_schema, made, table_name

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Operation, Type

OPERATIONS = (ops.AlterColumnType,)

_TEXT = frozenset(("varchar", "text"))
_USING = re.compile(r"\bUSING\s+(?P<expression>.*)$", re.IGNORECASE | re.DOTALL)


def catalogue_only(old: Type, new: Type) -> bool:
    """Whether PostgreSQL changes only its catalogue (measured: data/pg15_measured_locks.json)."""
    if old.array or new.array:
        return str(old) == str(new)
    if (old.name, old.modifiers) == (new.name, new.modifiers):
        return True
    if old.name in _TEXT and new.name in _TEXT:
        return not new.modifiers or (bool(old.modifiers) and int(new.modifiers[0]) >= int(old.modifiers[0]))
    if old.name == new.name == "numeric":
        if not new.modifiers:
            return True
        scales = [int(one.modifiers[1]) if len(one.modifiers) > 1 else 0 for one in (old, new)]
        return bool(old.modifiers) and scales[0] == scales[1] and int(new.modifiers[0]) >= int(old.modifiers[0])
    if (old.name, new.name) == ("cidr", "inet"):
        return True
    if old.name == new.name and old.name in ("varbit", "timestamp", "timestamptz", "time", "timetz", "interval"):
        return not new.modifiers or (bool(old.modifiers) and int(new.modifiers[0]) >= int(old.modifiers[0]))
    return False


def rewrite(operation: Operation, context: Context) -> Rewrite | Unknown | None:
    """Return the steps: copy, keep in step, fill, give it what the old one had, swap, and much later drop."""
    assert isinstance(operation, ops.AlterColumnType)
    name, column = operation.table, operation.column
    if context.is_new(name):
        return None
    table = context.table(name)
    own = table.columns.get(column) if table else None
    if own is not None and own.type is not None and operation.using is None and operation.collation is None:
        if catalogue_only(own.type, operation.type):
            return None
    if table is None or own is None or not table.complete:
        return Unknown(
            f"what hangs on {name}.{column} (type, default, indexes, constraints) is not known",
            "Name the database with --database-url, the schema with --schema, or keep the file beside the migrations "
            "before it; then the column is copied with all of it.",
        )
    if own.generated or table.kind != "table":
        return Unknown(
            f"{name}.{column} is generated, or its table is partitioned or a view",
            "Add a new column with the new type and move the application to it.",
        )
    t, c = table_name(name), ident(column)
    copy, old = made(column, "new"), made(column, "old")
    k, o = ident(copy), ident(old)
    function = in_schema(name, made(name.name, column, "sync"))
    trigger = ident(made("zz", name.name, column, "sync"))
    back_function = in_schema(name, made(name.name, column, "keep"))
    back_trigger = ident(made("zz", name.name, column, "keep"))
    using = _using(context.text)
    # An assignment in PL/pgSQL, like ALTER COLUMN TYPE, refuses what a cast would silently cut off.
    convert = (
        f"SELECT {using} INTO NEW.{k} FROM (SELECT NEW.*) AS {ident(name.name)}" if using else f"NEW.{k} := NEW.{c}"
    )
    collation = f" COLLATE {operation.collation}" if operation.collation else ""
    parts_ = copied(table, name, column, copy, column, context)
    forth, back = sequence_moves(table, name, column, copy, context)
    sync = (
        f"CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n  {convert};\n  RETURN NEW;\nEND\n$$",
        f"CREATE TRIGGER {trigger} BEFORE INSERT OR UPDATE ON {t} FOR EACH ROW EXECUTE FUNCTION {function}()",
    )
    unsync = (f"DROP TRIGGER IF EXISTS {trigger} ON {t}", f"DROP FUNCTION IF EXISTS {function}()")
    keep = (
        f"CREATE FUNCTION {back_function}() RETURNS trigger LANGUAGE plpgsql AS $$\nBEGIN\n  NEW.{o} := NEW.{c};\n"
        f"  RETURN NEW;\nEXCEPTION WHEN data_exception THEN\n  NEW.{o} := NULL;\n  RETURN NEW;\nEND\n$$",
        f"CREATE TRIGGER {back_trigger} BEFORE INSERT OR UPDATE ON {t} FOR EACH ROW EXECUTE FUNCTION {back_function}()",
    )
    unkeep = (f"DROP TRIGGER IF EXISTS {back_trigger} ON {t}", f"DROP FUNCTION IF EXISTS {back_function}()")
    nullable = (f"ALTER TABLE {t} ALTER COLUMN {o} DROP NOT NULL",) if own.not_null else ()
    not_null_back = (f"ALTER TABLE {t} ALTER COLUMN {c} SET NOT NULL",) if own.not_null else ()
    renames = (f"ALTER TABLE {t} RENAME COLUMN {c} TO {o}", f"ALTER TABLE {t} RENAME COLUMN {k} TO {c}")
    renames_back = (f"ALTER TABLE {t} RENAME COLUMN {c} TO {k}", f"ALTER TABLE {t} RENAME COLUMN {o} TO {c}")
    locked = frozenset({str(name)})
    expression = using or c
    steps = [
        Step(
            "expand",
            f"add {copy} with the new type beside {name}.{column}; a trigger fills it on every write",
            (f"ALTER TABLE {t} ADD COLUMN {k} {operation.type}{collation}", *sync),
            (*unsync, f"ALTER TABLE {t} DROP COLUMN IF EXISTS {k}"),
            tables=locked,
        ),
        parts.backfill(
            name, f"{k} = {expression}", f"{k} IS NULL AND {c} IS NOT NULL", context,
            f"fill {name}.{copy} for the rows that were there before; rows already in step are skipped",
        ),
        *parts_.build,
        Step(
            "switch",
            f"swap the columns in one moment: {column} has the new type from here on, {old} follows it",
            (*unsync, *parts_.detach, *forth, *renames, *nullable, *parts_.attach, *keep),
            (*unkeep, *parts_.detach_back, *renames_back, *not_null_back, *back, *parts_.attach_back, *sync),
            tables=frozenset(parts_.tables),
        ),
    ]  # fmt: skip
    if parts_.validate:
        steps.append(
            Step(
                "validate", "check the foreign keys that point here, beside the application", parts_.validate,
                transaction=False, tables=frozenset(parts_.tables),
            )
        )  # fmt: skip
    steps.append(
        Step(
            "contract",
            f"drop {old}, once nobody wants to go back",
            (*unkeep, f"ALTER TABLE {t} DROP COLUMN {o}"),
            after_deploy=True,
            irreversible=f"the values of the old type in {name}.{old} are gone",
            tables=locked,
        )
    )
    context.assumptions.extend(parts_.problems)
    return Rewrite(tuple(steps), undone_by=(f"type {name}.{column}",))


def _using(text: str) -> str | None:
    match = _USING.search(text)
    return f"({match['expression'].strip()})" if match else None
