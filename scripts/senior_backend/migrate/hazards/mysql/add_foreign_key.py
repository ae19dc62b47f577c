"""ADD FOREIGN KEY."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator


def check(operation: ops.AddConstraint, context: Context) -> Iterator[Hazard]:
    """Report a foreign key that copies the table to check it."""
    constraint = operation.constraint
    if constraint.kind != "foreign-key" or context.is_new(operation.table):
        return
    if context.setting("foreign_key_checks") in ("0", "off", "false"):
        return
    table, columns = text.mysql_name(operation.table), ", ".join(map(text.backticked, constraint.columns))
    parent = text.mysql_name(constraint.references) if constraint.references else "…"
    keys = ", ".join(map(text.backticked, constraint.reference_columns)) or "id"
    name = text.backticked(
        constraint.name or text.shortened(f"{operation.table.name}_{constraint.columns[0]}", "_fk", 64)
    )
    yield Hazard(
        f"checking every row copies the table{context.rows(operation.table)} while nobody can write to it, and locks "
        f"{constraint.references}",
        f"Look for orphans first (LEFT JOIN {parent} … IS NULL), then:\nSET SESSION foreign_key_checks = 0;\n"
        f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY ({columns}) REFERENCES {parent} ({keys}), "
        "ALGORITHM=INPLACE, LOCK=NONE;\nSET SESSION foreign_key_checks = 1;",
        str(operation.table),
    )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-add-foreign-key-copies",
    summary="ADD FOREIGN KEY with foreign_key_checks on copies the table",
    why="With the checks off the key is added in place; rows are then checked by a query beforehand.",
    catalogue="B2.15",
    severity="error",
    lock="SHARED",
    effect="rewrite",
    on=(ops.AddConstraint,),
    check=check,
    bad=(Example("ALTER TABLE orders ADD CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES users (id);"),),
    good=(
        Example(
            "SET SESSION foreign_key_checks = 0;"
            "ALTER TABLE orders ADD CONSTRAINT orders_user FOREIGN KEY (user_id) REFERENCES users (id);"
            "SET SESSION foreign_key_checks = 1;"
        ),
        Example("CREATE TABLE pets (u INT); ALTER TABLE pets ADD FOREIGN KEY (u) REFERENCES users (id);"),
    ),
)
