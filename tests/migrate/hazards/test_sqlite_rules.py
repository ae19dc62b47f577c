"""Every example of every SQLite rule, through the linter and on SQLite."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, cast

import pytest

from senior_backend.migrate.hazards import examples
from senior_backend.migrate.hazards.registry import rules_in
from senior_backend.migrate.hazards.rule import Example, Rule
from senior_backend.migrate.statements import split
from tests.migrate.hazards.linting import ids, lint_example

if TYPE_CHECKING:
    from collections.abc import Iterator

RULES = rules_in("sqlite")
CASES = [
    pytest.param(rule, example, bad, id=f"{rule.id}-{'bad' if bad else 'good'}{index}")
    for rule in RULES
    for bad, group in ((True, rule.bad), (False, rule.good))
    for index, example in enumerate(group)
]
ON_SERVER = [case for case in CASES if cast("Example", case.values[1]).runs]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_is_complete(rule: Rule) -> None:
    assert rule.id.startswith("sqlite-")
    assert rule.bad
    assert rule.good
    assert rule.why.endswith(".")


@pytest.mark.parametrize(("rule", "example", "bad"), CASES)
def test_the_linter_reports_bad_examples_and_no_good_ones(rule: Rule, example: Example, bad: bool) -> None:
    result = lint_example(example, "sqlite")
    assert not result.not_understood
    assert (rule.id in ids(result)) is bad


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    opened.execute("PRAGMA foreign_keys = ON")
    _execute(opened, examples.SQLITE)
    _execute(
        opened,
        "INSERT INTO orgs VALUES (1, 'a'); INSERT INTO users (id, name, org_id) VALUES (1, 'x', 1), (2, 'y', 1);"
        "INSERT INTO orders VALUES (1, 1, 5), (2, 2, 6);",
    )
    yield opened
    opened.close()


def _execute(connection: sqlite3.Connection, text: str) -> None:
    for statement in split(text, "sqlite"):
        connection.execute(statement.text)


def _run(connection: sqlite3.Connection, example: Example) -> None:
    _execute(connection, example.setup)
    if example.transaction:
        connection.execute("BEGIN")
    _execute(connection, example.sql)


@pytest.mark.parametrize(("rule", "example", "bad"), ON_SERVER)
def test_examples_run_or_fail_as_the_rule_says(
    rule: Rule, example: Example, bad: bool, connection: sqlite3.Connection
) -> None:
    if example.fails:
        with pytest.raises(sqlite3.Error):
            _run(connection, example)
    else:
        _run(connection, example)


def _example(rule_id: str) -> Example:
    return next(rule for rule in RULES if rule.id == rule_id).bad[0]


def test_a_rename_first_rebuild_loses_the_child_rows(connection: sqlite3.Connection) -> None:
    _run(connection, _example("sqlite-rename-first-rebuild"))
    assert connection.execute("SELECT count(*) FROM orders").fetchone() == (0,)


def test_a_rebuild_with_foreign_keys_on_loses_the_child_rows(connection: sqlite3.Connection) -> None:
    _run(connection, _example("sqlite-rebuild-with-foreign-keys-on"))
    assert connection.execute("SELECT count(*) FROM orders").fetchone() == (0,)


def test_the_pragma_does_nothing_inside_a_transaction(connection: sqlite3.Connection) -> None:
    _run(connection, _example("sqlite-foreign-keys-pragma-in-transaction"))
    assert connection.execute("PRAGMA foreign_keys").fetchone() == (1,)
