"""ALTER TABLE and CREATE INDEX with explicit ALGORITHM and LOCK; gh-ost where only a copy works."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from senior_backend.migrate import mysql_types
from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text as quoting
from senior_backend.migrate.hazards.mysql import generated_columns
from senior_backend.migrate.hazards.mysql_fixes import online_copy
from senior_backend.migrate.rewrites import parts
from senior_backend.migrate.rewrites.model import Context, Rewrite, Step, Unknown

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Name, Operation

OPERATIONS = (
    ops.AddColumn, ops.DropColumn, ops.CreateIndex, ops.DropIndex, ops.ModifyColumn, ops.AddConstraint, ops.AlterTable,
    ops.DropTable, ops.RenameTable, ops.RenameColumn,
)  # fmt: skip
INSTANT = ("ALGORITHM=INSTANT",)
BESIDE = ("ALGORITHM=INPLACE", "LOCK=NONE")
NO_WAY_BACK = "the way back was written for the migration as a whole"
_ONE_VALUE = frozenset(("now", "current_timestamp", "current_date", "localtime", "localtimestamp"))
_HEAD = re.compile(r"ALTER\s+TABLE\s+(?:IF\s+EXISTS\s+)?\S+\s+(?P<change>.*)", re.IGNORECASE | re.DOTALL)


def rewrite(operation: Operation, context: Context) -> Rewrite | Unknown | None:
    """Return the statement with the clauses that keep it online, or what takes its place."""
    table = getattr(operation, "table", None)
    if table is not None and context.is_new(table):
        return None
    if re.search(r"\bALGORITHM\s*=", context.text, re.IGNORECASE):
        return None
    known = context.table(table) if table is not None else None
    if known is not None and isinstance(operation, generated_columns.CHANGES):
        found = generated_columns.hindrance(operation, known, context.catalog)
        if found is not None:
            return _copy(known.name, context, found[0])
    return _online(operation, context)


def _online(operation: Operation, context: Context) -> Rewrite | Unknown | None:
    if isinstance(operation, ops.AddColumn):
        return _add_column(operation, context)
    if isinstance(operation, ops.ModifyColumn):
        return _modify(operation, context)
    if isinstance(operation, ops.CreateIndex):
        if operation.kind is not None:
            return _copy(operation.table, context, "a FULLTEXT or SPATIAL index stops all writers while it is built")
        return _clauses(operation.table, context, BESIDE, f"build the index {operation.name} while others write")
    if isinstance(operation, ops.DropIndex):
        return _drop_index(operation, context)
    if isinstance(operation, ops.AddConstraint):
        return _constraint(operation, context)
    if isinstance(operation, ops.AlterTable):
        return _alter(operation, context)
    return _breaking(operation, context)


def _step(table: Name, purpose: str, *up: str, contract: bool = False, draft: str | None = None) -> Step:
    return Step(
        "contract" if contract else "validate", purpose, up, transaction=False, after_deploy=contract,
        irreversible=NO_WAY_BACK, draft=draft, tables=frozenset({str(table)}),
    )  # fmt: skip


def with_clauses(statement: str, clauses: tuple[str, ...]) -> str:
    """Return a statement with ALGORITHM and LOCK; ALTER TABLE takes them behind commas, CREATE INDEX without."""
    joint = ", " if statement.lstrip().upper().startswith("ALTER") else " "
    return statement + joint + joint.join(clauses)


def _clauses(table: Name, context: Context, clauses: tuple[str, ...], purpose: str) -> Rewrite:
    step = _step(table, f"{purpose}; the server refuses where it could not", with_clauses(context.text, clauses))
    return Rewrite((step,))


def _drop_index(operation: ops.DropIndex, context: Context) -> Rewrite | None:
    if operation.table is None:
        return None
    # MariaDB knows the clauses in ALTER TABLE only, not in DROP INDEX.
    drop = f"DROP INDEX {quoting.backticked(operation.index.name)}"
    text = f"ALTER TABLE {quoting.mysql_name(operation.table)} {drop}"
    step = _step(
        operation.table, f"drop the index {operation.index} while others write; the server refuses where it could not",
        with_clauses(text if context.text.lstrip().upper().startswith("DROP") else context.text, BESIDE),
    )  # fmt: skip
    return Rewrite((step,))


def _add_column(operation: ops.AddColumn, context: Context) -> Rewrite | Unknown:
    table, column = operation.table, operation.column
    t, c = quoting.mysql_name(table), quoting.backticked(column.name)
    if column.auto_increment or column.generated == "stored":
        return _copy(table, context, "numbering or computing the column for every row copies the table")
    if column.not_null and column.default is None and not column.generated:
        return Unknown(
            f"{table}.{column.name} is NOT NULL without a default: existing rows silently get 0 or ''",
            "Say the DEFAULT, or add it nullable, fill it, and MODIFY it to NOT NULL in a later migration.",
        )
    own = column.default.functions if column.default is not None else frozenset()
    if column.default is not None and any(function.name.lower() not in _ONE_VALUE for function in own):
        value = _unwrapped(column.default.sql.strip())
        update = f"UPDATE {t} SET {c} = {value} WHERE {c} IS NULL"  # noqa: S608 - quoted names
        nullable = f"ALTER TABLE {t} ADD COLUMN {c} {column.type}"
        fill = parts.backfill_text(
            table, update, ",".join(parts.key_of(table, context)),
            f"give existing rows of {table} their {column.name}",
        )  # fmt: skip
        steps = [
            _step(
                table, f"add {table}.{column.name} empty, then its default, which touches no existing row",
                with_clauses(nullable, INSTANT), f"ALTER TABLE {t} ALTER COLUMN {c} SET DEFAULT ({value})",
            ),
            fill,
        ]  # fmt: skip
        if column.not_null:
            change = f"ALTER TABLE {t} MODIFY COLUMN {c} {column.type} NOT NULL DEFAULT ({value})"
            steps.append(_step(table, f"make {table}.{column.name} NOT NULL", with_clauses(change, BESIDE)))
        return Rewrite(tuple(steps))
    return _clauses(table, context, INSTANT, f"add {table}.{column.name} without touching a row")


def _unwrapped(expression: str) -> str:
    """Return an expression without the parentheses that a default of MySQL needs around it."""
    return expression[1:-1].strip() if expression.startswith("(") and expression.endswith(")") else expression


def _modify(operation: ops.ModifyColumn, context: Context) -> Rewrite | Unknown:
    table = context.table(operation.table)
    old = context.catalog.column(operation.table, operation.column)
    cost = mysql_types.modify_cost(old, operation.definition, table, context.catalog.engine)
    name = f"{operation.table}.{operation.column}"
    if operation.definition.name != operation.column:
        return Unknown(
            f"CHANGE renames {name} under the running version",
            "Add the new column, keep both in step by triggers, and drop the old one after the deploy.",
        )
    if cost == "copy":
        return _copy(operation.table, context, f"the new type of {name} copies the table")
    if cost == "unknown":
        context.assumptions.append(f"{name} can be changed in place; where it cannot, the server refuses")
    return _clauses(operation.table, context, BESIDE, f"change {name} while others write")


def _constraint(operation: ops.AddConstraint, context: Context) -> Rewrite | Unknown | None:
    constraint, table = operation.constraint, operation.table
    if constraint.kind == "unique":
        return _clauses(table, context, BESIDE, "add the unique index while others write")
    if constraint.kind == "check":
        return _copy(table, context, "a CHECK copies the table")
    if constraint.kind == "primary-key":
        return _clauses(table, context, BESIDE, "build the table anew by its key while others write")
    if constraint.kind != "foreign-key" or constraint.references is None:
        return None
    child, parent = quoting.mysql_name(table), quoting.mysql_name(constraint.references)
    pairs = list(zip(constraint.columns, constraint.reference_columns or constraint.columns, strict=False))
    joined = " AND ".join(f"c.{quoting.backticked(a)} = p.{quoting.backticked(b)}" for a, b in pairs)
    given = " AND ".join(f"c.{quoting.backticked(a)} IS NOT NULL" for a, _ in pairs)
    orphans = f"SELECT count(*) FROM {child} c WHERE {given} AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE {joined})"  # noqa: S608 - quoted names
    context.assumptions.append(f"no row of {table} is without its parent; ask before: {orphans}")
    step = _step(
        table, f"add the foreign key to {constraint.references}: without the check of existing rows it needs no copy",
        "SET SESSION foreign_key_checks = 0", with_clauses(context.text, BESIDE), "SET SESSION foreign_key_checks = 1",
    )  # fmt: skip
    return Rewrite((step,))


def _alter(operation: ops.AlterTable, context: Context) -> Rewrite | Unknown | None:
    if operation.action in ("convert-charset", "convert-character-set"):
        if not mysql_types.converts(context.table(operation.table), operation.detail or "", context.catalog.engine):
            return _clauses(operation.table, context, BESIDE, "set the character set that every column has already")
        return _copy(operation.table, context, "converting the character set copies the table")
    if operation.action in ("engine", "row-format", "force"):
        return _clauses(operation.table, context, BESIDE, "build the table anew while others write")
    return None


def _copy(table: Name, context: Context, why: str) -> Rewrite:
    """Return the statement as a draft below the command that does the same beside the application."""
    match = _HEAD.match(context.text)
    change = " ".join((match["change"] if match else context.text).split())
    comment = "\n".join(f"-- {line}" for line in online_copy(table, change).splitlines())
    step = _step(
        table, f"{why} while nobody can write, so a copy that follows the binary log takes its place",
        f"{comment}\n{with_clauses(context.text, BESIDE)}",
        draft=f"{why}. Run the command below, and delete the statement; with its clauses the server refuses it.",
    )  # fmt: skip
    return Rewrite((step,))


def _breaking(operation: Operation, context: Context) -> Rewrite | Unknown | None:
    if isinstance(operation, ops.DropColumn):
        step = _step(
            operation.table, f"drop {operation.table}.{operation.column}, once no running version names it",
            with_clauses(context.text, BESIDE), contract=True,
        )  # fmt: skip
        return Rewrite((step,))
    if isinstance(operation, ops.DropTable):
        step = _step(operation.table, f"drop {operation.table}, once nobody uses it", context.text, contract=True)
        return Rewrite((step,))
    return Unknown(
        "a rename breaks the running version from one moment to the next",
        "Tables: create a view of the old name in the same maintenance moment. Columns: add the new one, keep both in "
        "step by triggers, drop the old one after the deploy.",
    )
