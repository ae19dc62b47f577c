"""Linting as the tests of rules need it: text in, ids of rules out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from senior_backend.migrate.catalog import Catalog
from senior_backend.migrate.hazards import examples
from senior_backend.migrate.hazards.registry import rules_for
from senior_backend.migrate.hazards.rule import Example, Unit
from senior_backend.migrate.lint import Linter

if TYPE_CHECKING:
    from senior_backend.migrate.lint import LintResult
    from senior_backend.migrate.statements import Engine

SCHEMAS: dict[Engine, str] = {
    "postgresql": examples.POSTGRESQL,
    "mysql": examples.MYSQL,
    "mariadb": examples.MYSQL,
    "sqlite": examples.SQLITE,
}


def lint(
    sql: str,
    engine: Engine = "postgresql",
    *,
    schema: str | None = None,
    transaction: bool | None = None,
    version: tuple[int, ...] | None = None,
    enable: tuple[str, ...] = ("style", "policy"),
) -> LintResult:
    """Lint one migration behind the example schema (or `schema`)."""
    before = SCHEMAS[engine] if schema is None else schema
    units = [Unit("schema.sql", before, lint=False)] if before else []
    units.append(Unit("migration.sql", sql, transaction))
    rules = rules_for(engine, version, enable=enable)
    return Linter(Catalog(engine), rules, version).run(units)


def lint_example(example: Example, engine: Engine) -> LintResult:
    """Lint an example of a rule."""
    return lint(
        example.sql,
        engine,
        schema=SCHEMAS[engine] + example.setup,
        transaction=example.transaction,
        version=example.version,
    )


def ids(result: LintResult) -> set[str]:
    """Return the ids of the rules that found something."""
    return {one.code for one in result.found}
