"""MODIFY and CHANGE drop what they do not repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate import operations as ops
from senior_backend.migrate.hazards import text
from senior_backend.migrate.hazards.rule import Context, Example, Hazard, Rule

if TYPE_CHECKING:
    from collections.abc import Iterator

    from senior_backend.migrate.operations import Column


def _lost(old: Column, new: Column, primary: bool) -> Iterator[str]:
    if old.auto_increment and not new.auto_increment:
        yield "AUTO_INCREMENT"
    if old.not_null and not (new.not_null or new.said_null or new.auto_increment or primary):
        yield "NOT NULL"
    if old.default is not None and not old.default.is_null and new.default is None and new.generated is None:
        yield f"DEFAULT {old.default.sql}"
    if old.on_update and not new.on_update:
        yield f"ON UPDATE {old.on_update}"
    if old.comment and not new.comment:
        yield "COMMENT"
    if old.type is not None and new.type is not None:
        if old.type.unsigned and not new.type.unsigned and old.type.name == new.type.name:
            yield "UNSIGNED"
        if (old.collation or old.type.charset) and not (new.collation or new.type.charset):
            yield f"COLLATE {old.collation}" if old.collation else f"CHARACTER SET {old.type.charset}"
    if old.generated and not new.generated:
        yield "GENERATED"


def check(operation: ops.ModifyColumn, context: Context) -> Iterator[Hazard]:
    """Report the attributes that a new definition leaves out."""
    if context.is_new(operation.table):
        return
    table, old, new = (
        context.table(operation.table),
        context.column(operation.table, operation.column),
        operation.definition,
    )
    name = text.mysql_name(operation.table)
    if old is None or old.type is None:
        bare = not (new.not_null or new.default or new.auto_increment or new.comment or new.generated)
        if bare and not new.constraints:
            yield Hazard(
                f"MODIFY replaces the whole definition of {operation.column}; NOT NULL, DEFAULT, AUTO_INCREMENT and "
                "COMMENT are dropped without a word where they are not repeated",
                f"Compare with SHOW CREATE TABLE {name};",
                str(operation.table),
                severity="warning",
            )
        return
    primary = table is not None and context.catalog.fold(operation.column) in table.primary_key
    lost = list(_lost(old, new, primary))
    if lost == ["NOT NULL"] and old.name == new.name and old.type == new.type:
        return  # nothing else changes: that is what the statement is for
    if lost:
        yield Hazard(
            f"the new definition of {operation.column} leaves out {', '.join(lost)}: dropped at once, without a word",
            f"Repeat what shall stay:\nALTER TABLE {name} MODIFY {text.backticked(new.name)} {new.type} "
            f"{' '.join(lost)};\nand compare with SHOW CREATE TABLE {name};",
            str(operation.table),
        )


RULE = Rule(
    engines=("mysql", "mariadb"),
    id="my-modify-drops-attributes",
    summary="MODIFY and CHANGE drop every attribute that they do not repeat",
    why="MODIFY id BIGINT takes AUTO_INCREMENT away, instantly and without a warning; the next insert fails.",
    catalogue="B2.11",
    severity="error",
    on=(ops.ModifyColumn,),
    check=check,
    bad=(
        Example("ALTER TABLE users MODIFY id INT NOT NULL;"),
        Example("ALTER TABLE users MODIFY email VARCHAR(60) COLLATE utf8mb4_bin;"),
        Example("ALTER TABLE users CHANGE state status ENUM('new', 'active') NOT NULL;"),
        Example("ALTER TABLE orgs MODIFY name VARCHAR(120);"),
        Example("ALTER TABLE orgs CHANGE name title VARCHAR(100);"),
        Example("ALTER TABLE strangers MODIFY a INT;", runs=False),
    ),
    good=(
        Example("ALTER TABLE users MODIFY id INT NOT NULL AUTO_INCREMENT;"),
        Example("ALTER TABLE users MODIFY email VARCHAR(60) COLLATE utf8mb4_bin COMMENT 'login';"),
        Example("ALTER TABLE users MODIFY age INT;"),
        Example("ALTER TABLE orgs MODIFY name VARCHAR(100);"),
        Example("ALTER TABLE orgs MODIFY name VARCHAR(120) NULL;"),
    ),
)
