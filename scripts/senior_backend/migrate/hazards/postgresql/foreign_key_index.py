"""A foreign key whose columns no index serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.operations import Constraint, Name, ParsedStatement


def finish(context: Context) -> Iterator[Hazard]:
    """Report foreign keys of this migration that no index serves at its end."""
    seen: set[tuple[str, tuple[str, ...]]] = set()
    for parsed, table_name, constraint in foreign_keys(context):
        table = context.table(table_name)
        key = (str(table_name), constraint.columns)
        if table is None or table.temporary or key in seen or not constraint.columns:
            continue
        seen.add(key)
        if constraint.columns[0] not in table.columns and table.complete:
            continue  # dropped again
        if table.indexed_first(constraint.columns) or table.indexed_first(constraint.columns[:1]):
            continue
        name = text.shortened("_".join((table_name.name, *constraint.columns)), "_idx")
        concurrently = "" if table.unit == context.number else "CONCURRENTLY "
        yield Hazard(
            f"no index starts with {', '.join(constraint.columns)}: every DELETE or key change in "
            f"{constraint.references} reads all of {table_name}",
            f"CREATE INDEX {concurrently}{text.identifier(name)} ON {text.name(table_name)} "
            f"({text.columns(constraint.columns)});",
            str(table_name),
            severity="info" if table.unit == context.number or not table.complete else None,
            statement=parsed,
        )


def foreign_keys(context: Context) -> Iterator[tuple[ParsedStatement, Name, Constraint]]:
    """Yield the foreign keys that a migration makes, with their statements and tables."""
    for parsed in context.statements:
        for operation in parsed.operations:
            if isinstance(operation, ops.AddConstraint):
                constraints: tuple[Constraint, ...] = (operation.constraint,)
            elif isinstance(operation, ops.AddColumn):
                constraints = operation.column.constraints
            elif isinstance(operation, ops.CreateTable):
                inline = (item for column in operation.columns for item in column.constraints)
                constraints = (*operation.constraints, *inline)
            else:
                continue
            for constraint in constraints:
                if constraint.kind == "foreign-key":
                    yield parsed, operation.table, constraint


RULE = Rule(
    id="pg-foreign-key-without-index",
    summary="A foreign key without an index makes deletes in the parent read the whole table",
    why="PostgreSQL indexes the parent's key, not the referring columns; each delete in the parent looks for rows "
    "there, under a row lock.",
    catalogue="B1 (FK without index)",
    severity="warning",
    finish=finish,
    bad=(
        Example("ALTER TABLE users ADD CONSTRAINT o FOREIGN KEY (org_id) REFERENCES orgs (id) NOT VALID;"),
        Example("CREATE TABLE pets (id bigint PRIMARY KEY, owner bigint REFERENCES users (id));"),
    ),
    good=(
        Example(
            "CREATE TABLE pets (id bigint PRIMARY KEY, owner bigint REFERENCES users (id));"
            "CREATE INDEX pets_owner ON pets (owner);"
        ),
        Example("CREATE TABLE members (u bigint REFERENCES users (id), n int, PRIMARY KEY (u, n));"),
        Example("ALTER TABLE orders ADD CONSTRAINT again FOREIGN KEY (user_id) REFERENCES users (id) NOT VALID;"),
    ),
)
