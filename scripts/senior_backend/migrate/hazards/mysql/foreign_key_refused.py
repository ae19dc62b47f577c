"""A foreign key that the server refuses: other types, or a parent without an index."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.operations import Column, Constraint, Name

_INTEGERS = frozenset(("tinyint", "smallint", "mediumint", "int", "bigint"))
_TEXTS = frozenset(("char", "varchar"))


def finish(context: Context) -> Iterator[Hazard]:
    """Report foreign keys that cannot be made, judged by the columns as they are at the end of the migration."""
    for parsed in context.statements:
        for operation in parsed.operations:
            for table, constraint in _foreign_keys(operation):
                reason = _reason(table, constraint, context)
                if reason is not None:
                    yield Hazard(
                        f"the server refuses the foreign key to {constraint.references}: {reason[0]}",
                        reason[1],
                        str(table),
                        statement=parsed,
                    )


def _foreign_keys(operation: ops.Operation) -> Iterator[tuple[Name, Constraint]]:
    if isinstance(operation, ops.AddConstraint) and operation.constraint.kind == "foreign-key":
        yield operation.table, operation.constraint
    elif isinstance(operation, ops.CreateTable):
        for constraint in operation.constraints:
            if constraint.kind == "foreign-key":
                yield operation.table, constraint


def _reason(table: Name, constraint: Constraint, context: Context) -> tuple[str, str] | None:
    parent = context.table(constraint.references) if constraint.references else None
    if parent is None or constraint.references is None:
        return None
    keys = constraint.reference_columns
    for name, key in zip(constraint.columns, keys, strict=False):
        here, there = context.column(table, name), context.column(constraint.references, key)
        if here is not None and there is not None and _differ(here, there):
            reason = f"{name} is {here.type}, and {key} is {there.type} (errno 150, error 3780)"
            return reason, f"Give {text.backticked(name)} the type {there.type}."
    if keys and parent.complete and not parent.indexed_first(tuple(map(context.catalog.fold, keys))):
        index = text.backticked(text.shortened("_".join(keys), "_key", 64))
        columns = ", ".join(map(text.backticked, keys))
        return (
            f"no index of {constraint.references} starts with {', '.join(keys)} (errno 150, error 1822)",
            f"CREATE UNIQUE INDEX {index} ON {text.mysql_name(constraint.references)} ({columns});",
        )
    return None


def _differ(here: Column, there: Column) -> bool:
    """Whether two columns cannot refer to each other; integers must be alike in size and sign."""
    one, other = here.type, there.type
    if one is None or other is None:
        return False
    if one.name in _INTEGERS and other.name in _INTEGERS:
        return (one.name, one.unsigned) != (other.name, other.unsigned)
    return {one.name in _INTEGERS, other.name in _INTEGERS} == {True, False} and bool({one.name, other.name} & _TEXTS)


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-foreign-key-refused",
    summary="A foreign key whose columns differ in type from its parent's, or whose parent has no index, is refused",
    why="InnoDB compares the stored bytes of the two keys, and looks the parent up by an index only.",
    catalogue="B2.15",
    severity="error",
    effect="fails",
    finish=finish,
    bad=(
        Example("CREATE TABLE pets (id INT PRIMARY KEY, u BIGINT, FOREIGN KEY (u) REFERENCES users (id));", fails=True),
        Example("CREATE TABLE pets (u INT UNSIGNED, FOREIGN KEY (u) REFERENCES users (id));", fails=True),
        Example("CREATE TABLE pets (u VARCHAR(20), FOREIGN KEY (u) REFERENCES users (id));", fails=True),
        Example("CREATE TABLE pets (a INT, FOREIGN KEY (a) REFERENCES users (age));", fails=True),
        Example(
            "SET SESSION foreign_key_checks = 0; ALTER TABLE orders ADD FOREIGN KEY (user_id) REFERENCES orgs (id);"
            "SET SESSION foreign_key_checks = 1;",
            fails=True,
        ),
    ),
    good=(
        Example("CREATE TABLE pets (u INT, FOREIGN KEY (u) REFERENCES users (id));"),
        Example("CREATE TABLE pets (u INT(11), FOREIGN KEY (u) REFERENCES users (id));"),
        Example(
            "CREATE TABLE pets (e VARCHAR(99) COLLATE utf8mb4_bin, FOREIGN KEY (e) REFERENCES users (email));",
            engine="mariadb",
        ),
        Example("CREATE TABLE pets (u INT, FOREIGN KEY (u) REFERENCES strangers (id));", runs=False),
    ),
)
