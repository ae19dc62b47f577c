"""ADD COLUMN that would rewrite or scan the table: a plain column first, everything else beside the application."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards.postgresql.add_column_volatile_default import _COMPUTED_ONCE as COMPUTED_ONCE
from senior_backend.migrate.rewrites import constraints, parts, rights, triggers
from senior_backend.migrate.rewrites.model import Context, Rewrite, Step, Unknown
from senior_backend.migrate.rewrites.sql import collation_name, ident, in_schema, literal, made, table_name

if TYPE_CHECKING:
    from senior_backend.migrate.operations import Column, Constraint, Expression, Name, Operation

OPERATIONS = (ops.AddColumn,)

SERIAL = {
    "smallserial": "int2", "serial2": "int2", "serial": "int4", "serial4": "int4", "bigserial": "int8",
    "serial8": "int8",
}  # fmt: skip


def rewrite(operation: Operation, context: Context) -> Rewrite | Unknown | None:
    """Return the steps in place of one ADD COLUMN."""
    assert isinstance(operation, ops.AddColumn)
    column, table = operation.column, operation.table
    if context.is_new(table) or column.type is None:
        return None
    if context.catalog.is_constrained(column.type):
        return _of_domain(operation, context)
    serial = column.type.name in SERIAL and not column.type.array
    volatile = column.default is not None and is_volatile(column.default, context)
    without_value = column.default is None and not serial and not column.identity and not column.generated
    bare_not_null = column.not_null and without_value
    heavy = [one for one in column.constraints if one.kind in ("unique", "primary-key", "check", "foreign-key")]
    if not (serial or volatile or column.identity or column.generated == "stored" or bare_not_null or heavy):
        return None
    primary = any(one.kind == "primary-key" for one in heavy)
    not_null = column.not_null or serial or primary or bool(column.identity)
    fast_default = column.default is not None and not volatile
    steps = [_plain(operation, default=column.default if fast_default else None, not_null=not_null and fast_default)]
    finish: Step | None = None
    late = False
    if serial or column.identity:
        more, finish = _numbered(table, column, context)
        steps += more
    elif column.generated == "stored":
        steps += _generated(table, column, context)
    elif volatile:
        assert column.default is not None
        steps += _volatile(table, column, column.default, context)
    elif not_null and not fast_default:
        steps.append(_undecided(table, column, context))
        late = True
    if not_null and not fast_default:
        steps += [replace(one, after_deploy=late) for one in parts.not_null(table, column.name)]
    if finish is not None:
        steps.append(finish)
    for constraint in heavy:
        steps += _constraint(table, column, constraint, context)
    return Rewrite(tuple(steps), undone_by=(f"column {table}.{column.name}",))


def _of_domain(operation: ops.AddColumn, context: Context) -> Rewrite | Unknown:
    """A column of a domain with a constraint rewrites the table; one of its base type with the same checks does not."""
    column, table = operation.column, operation.table
    assert column.type is not None
    domain = context.catalog.whole_domain(column.type)
    if domain is None:
        return Unknown(
            f"{column.type} is a domain with a constraint: a column of it rewrites the table",
            "Use the base type, and add the domain's CHECK to the table (rewrite turns that into safe steps).",
        )
    base = replace(
        column,
        type=domain.base,
        not_null=column.not_null or domain.not_null,
        default=column.default or domain.default,
    )
    answer = rewrite(replace(operation, column=base), context)
    if isinstance(answer, Unknown):
        return answer
    steps = answer.steps if answer else (_plain(operation, column=base, default=base.default, not_null=base.not_null),)
    context.assumptions.append(parts.instead_of_domain(table, column.name, column.type, domain))
    checks = [
        replace(one, after_deploy=steps[-1].after_deploy) for one in parts.domain_checks(table, column.name, domain)
    ]
    return Rewrite((*steps, *checks), undone_by=(f"column {table}.{column.name}",))


def is_volatile(default: Expression, context: Context) -> bool:
    """Whether a default gives every row a value of its own; an unknown function is taken to do so."""
    for function in default.functions:
        declared = context.catalog.function_volatility(function)
        if declared == "volatile" or (declared is None and function.name not in COMPUTED_ONCE):
            return True
    return False


def base_type(column: Column) -> str:
    """Return the column's type as SQL, a serial's as the integer below it."""
    assert column.type is not None
    if column.type.name in SERIAL:
        return {"int2": "smallint", "int4": "integer", "int8": "bigint"}[SERIAL[column.type.name]]
    return str(column.type)


def _plain(
    operation: ops.AddColumn, *, default: Expression | None, not_null: bool, column: Column | None = None
) -> Step:
    column, t = column or operation.column, table_name(operation.table)
    if_not_exists = "IF NOT EXISTS " if operation.if_not_exists else ""
    collation = f" COLLATE {collation_name(column.collation)}" if column.collation else ""
    value = f" DEFAULT {default.sql}" if default is not None else ""
    nulls = " NOT NULL" if not_null else ""
    definition = f"{ident(column.name)} {base_type(column)}{collation}{value}{nulls}"
    return Step(
        "expand",
        f"add {operation.table}.{column.name} as a plain column, which takes a moment whatever the table's size",
        (f"ALTER TABLE {t} ADD COLUMN {if_not_exists}{definition}",),
        (f"ALTER TABLE {t} DROP COLUMN IF EXISTS {ident(column.name)}",),
        tables=frozenset({str(operation.table)}),
    )


def _volatile(table: Name, column: Column, default: Expression, context: Context) -> list[Step]:
    t, c = table_name(table), ident(column.name)
    return [
        Step(
            "expand",
            f"give new rows of {table} their {column.name}; set apart from ADD COLUMN it touches no existing row",
            (f"ALTER TABLE {t} ALTER COLUMN {c} SET DEFAULT {default.sql}",),
            (f"ALTER TABLE {t} ALTER COLUMN {c} DROP DEFAULT",),
            tables=frozenset({str(table)}),
        ),
        parts.backfill(
            table, f"{c} = {default.sql}", f"{c} IS NULL", context, f"give existing rows of {table} their {column.name}"
        ),
    ]


def _numbered(table: Name, column: Column, context: Context) -> tuple[list[Step], Step | None]:
    """Return the steps that number rows from a sequence, and the step that makes the column an identity."""
    t, c = table_name(table), ident(column.name)
    filling = made(table.name, column.name, "fill_seq" if column.identity else "seq")
    sequence = in_schema(table, filling)
    steps = [
        Step(
            "expand",
            f"number new rows of {table}.{column.name} from a sequence",
            (
                f"CREATE SEQUENCE {sequence} AS {base_type(column)} OWNED BY {t}.{c}",
                rights.of_sequence(table, sequence),
                f"ALTER TABLE {t} ALTER COLUMN {c} SET DEFAULT nextval({literal(sequence)})",
            ),
            (f"ALTER TABLE {t} ALTER COLUMN {c} DROP DEFAULT", f"DROP SEQUENCE IF EXISTS {sequence}"),
            tables=frozenset({str(table)}),
        ),
        parts.backfill(
            table, f"{c} = nextval({literal(sequence)})", f"{c} IS NULL", context,
            f"number the existing rows of {table}.{column.name}",
        ),
    ]  # fmt: skip
    if not column.identity:
        return steps, None
    always = "ALWAYS" if column.identity == "always" else "BY DEFAULT"
    serial = f"pg_get_serial_sequence({literal(t)}, {literal(column.name)})"
    finish = Step(
        "switch",
        f"make {table}.{column.name} an identity column that goes on where the sequence ended",
        (
            f"ALTER TABLE {t} ALTER COLUMN {c} DROP DEFAULT",
            f"ALTER SEQUENCE {sequence} OWNED BY NONE",
            f"ALTER TABLE {t} ALTER COLUMN {c} ADD GENERATED {always} AS IDENTITY",
            f"SELECT setval({serial}, last_value, is_called) FROM {sequence}",  # noqa: S608 - quoted names
            f"DROP SEQUENCE {sequence}",
        ),
        (
            f"CREATE SEQUENCE {sequence} AS {base_type(column)} OWNED BY {t}.{c}",
            rights.of_sequence(table, sequence),
            f"SELECT setval({literal(sequence)}, nextval({serial}))",
            f"ALTER TABLE {t} ALTER COLUMN {c} DROP IDENTITY",
            f"ALTER TABLE {t} ALTER COLUMN {c} SET DEFAULT nextval({literal(sequence)})",
        ),
        tables=frozenset({str(table)}),
    )
    return steps, finish


def _generated(table: Name, column: Column, context: Context) -> list[Step]:
    assert column.generation is not None
    c, expression = ident(column.name), column.generation.sql
    compute = triggers.computed(table, column.name, expression, made(table.name, column.name, "compute"))
    return [
        Step(
            "expand",
            f"compute {table}.{column.name} in a trigger: a stored generated column would rewrite the table",
            compute.create,
            compute.drop,
            tables=frozenset({str(table)}),
        ),
        parts.backfill(
            table, f"{c} = {expression}", f"{c} IS DISTINCT FROM ({expression})", context,
            f"compute {table}.{column.name} for existing rows",
        ),
    ]  # fmt: skip


def _undecided(table: Name, column: Column, context: Context) -> Step:
    c = ident(column.name)
    step = parts.backfill(
        table, f"{c} = NULL", f"{c} IS NULL", context, f"give existing rows of {table} their {column.name}"
    )
    return replace(
        step,
        after_deploy=True,
        draft=f"{table}.{column.name} is NOT NULL without a default: put the value for existing rows in place of NULL, "
        "and deploy an application that writes the column first.",
    )


def _constraint(table: Name, column: Column, constraint: Constraint, context: Context) -> list[Step]:
    name = constraints.name_of(table, replace(constraint, columns=constraint.columns or (column.name,)), context)
    if constraint.kind == "check":
        assert constraint.expression is not None
        return list(parts.validated(table, name, f"CHECK ({constraint.expression.sql})", f"the check {name}"))
    if constraint.kind == "foreign-key":
        assert constraint.references is not None
        one = replace(constraint, columns=(column.name,))
        return list(constraints.foreign_key(table, one, name, constraints.reference(one), context))
    kind = "PRIMARY KEY" if constraint.kind == "primary-key" else "UNIQUE"
    return list(parts.unique(table, name, (column.name,), kind=kind))
