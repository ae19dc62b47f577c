"""DROP without CASCADE of what other objects still need."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.catalog import Table
    from senior_backend.migrate.operations import Constraint, Name


def _dropped(context: Context) -> set[tuple[str, str]]:
    """Return the keys of the tables and views that the same statement drops."""
    return {
        context.catalog.key(step.table if isinstance(step, ops.DropTable) else step.name)
        for step in context.statement.operations
        if isinstance(step, ops.DropTable) or (isinstance(step, ops.DropObject) and step.kind.endswith("view"))
    }


def _readers(name: Name, context: Context) -> Iterator[str]:
    """Yield the views that read a table or view."""
    key, dropped = context.catalog.key(name), _dropped(context)
    for other in sorted(context.catalog.views - dropped):
        view = context.catalog.tables.get(other)
        if view is not None and any(context.catalog.key(source) == key for source in view.reads):
            yield f"the {view.kind.replace('-', ' ')} {text.name(view.name)}"


def _needed_by(operation: ops.DropTable | ops.DropObject | ops.DropConstraint, context: Context) -> Iterator[str]:
    catalog = context.catalog
    if isinstance(operation, ops.DropTable):
        yield from _readers(operation.table, context)
        dropped = _dropped(context)
        for child in catalog.children(operation.table):
            if catalog.key(child.name) not in dropped:
                yield f"a foreign key of {text.name(child.name)}"
    elif isinstance(operation, ops.DropObject):
        if operation.kind in ("view", "materialized-view"):
            yield from _readers(operation.name, context)
    else:
        table = context.table(operation.table)
        key = table.constraints.get(operation.name or "") if table else None
        if table is None or key is None or key.kind not in ("primary-key", "unique"):
            return
        for child in catalog.children(operation.table):
            for constraint in child.constraints.values():
                target = constraint.references
                if target is None or catalog.key(target) != catalog.key(operation.table):
                    continue
                if (constraint.reference_columns or table.primary_key) == key.columns and not _another(table, key):
                    yield f"the foreign key {constraint.name} of {text.name(child.name)}"


def _another(table: Table, key: Constraint) -> bool:
    """Whether another unique index has the same columns, on which the foreign keys may rest as well."""
    same = [one for one in table.indexes.values() if one.unique and one.columns == key.columns]
    return len(same) > 1


def check(operation: ops.DropTable | ops.DropObject | ops.DropConstraint, context: Context) -> Iterator[Hazard]:
    """Report a DROP without CASCADE that PostgreSQL refuses."""
    if operation.cascade:
        return
    needed = sorted(set(_needed_by(operation, context)))
    if not needed:
        return
    if isinstance(operation, ops.DropConstraint):
        what, about = f"to drop the constraint {operation.name}", operation.table
    elif isinstance(operation, ops.DropTable):
        what, about = f"to drop the table {operation.table}", operation.table
    else:
        what, about = f"to drop the {operation.kind.replace('-', ' ')} {operation.name}", operation.name
    depend = "depends" if len(needed) == 1 else "depend"
    yield Hazard(
        f"PostgreSQL refuses {what}, because {', '.join(needed)} {depend} on it (error 2BP01)",
        f"Drop {', '.join(needed)} first; CASCADE would do it without a word.",
        str(about),
    )


RULE = Rule(
    id="pg-object-in-use",
    summary="DROP without CASCADE fails while a view or foreign key depends on the object",
    why="PostgreSQL keeps what views and foreign keys stand on, and refuses to drop it under them.",
    catalogue="B1 (object in use)",
    severity="error",
    effect="fails",
    on=(ops.DropTable, ops.DropObject, ops.DropConstraint),
    check=check,
    bad=(
        Example("DROP TABLE users;", fails=True),
        Example("DROP TABLE logs;", setup="CREATE VIEW lines AS SELECT line FROM logs;", fails=True),
        Example("DROP VIEW lines;", setup="CREATE VIEW lines AS TABLE logs; CREATE VIEW v AS TABLE lines;", fails=True),
        Example("ALTER TABLE users DROP CONSTRAINT users_pkey;", fails=True),
    ),
    good=(
        Example("DROP TABLE logs;"),
        Example("DROP TABLE users CASCADE;"),
        Example(
            "DROP VIEW v; DROP VIEW lines;", setup="CREATE VIEW lines AS TABLE logs; CREATE VIEW v AS TABLE lines;"
        ),
        Example("DROP VIEW v, lines;", setup="CREATE VIEW lines AS TABLE logs; CREATE VIEW v AS TABLE lines;"),
        Example(
            "DROP TABLE parents, children;",
            setup="CREATE TABLE parents (id int PRIMARY KEY);CREATE TABLE children (p int REFERENCES parents);",
        ),
        Example("ALTER TABLE orders DROP CONSTRAINT orders_pkey;"),
        Example("ALTER TABLE orders DROP CONSTRAINT orders_user_fk; ALTER TABLE users DROP CONSTRAINT users_pkey;"),
    ),
)
