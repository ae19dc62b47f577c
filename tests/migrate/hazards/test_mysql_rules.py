"""Every example of every MySQL and MariaDB rule, through the linter and on a MariaDB server.

What a rule claims is shown by the server itself: it refuses ALGORITHM and LOCK clauses that it cannot keep.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast
from urllib.parse import urlsplit

import pymysql
import pytest

from senior_backend.migrate.hazards import examples
from senior_backend.migrate.hazards.registry import rules_in
from senior_backend.migrate.hazards.rule import Example, Rule
from senior_backend.migrate.statements import split
from tests.migrate.hazards.linting import ids, lint_example

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymysql.cursors import Cursor

RULES = rules_in("mysql")
CASES = [
    pytest.param(rule, example, bad, id=f"{rule.id}-{'bad' if bad else 'good'}{index}")
    for rule in RULES
    for bad, group in ((True, rule.bad), (False, rule.good))
    for index, example in enumerate(group)
]
ON_SERVER = [case for case in CASES if cast("Example", case.values[1]).runs]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_is_complete(rule: Rule) -> None:
    assert rule.id.startswith("my-")
    assert rule.bad
    assert rule.good
    assert rule.why.endswith(".")


def test_ids_are_unique() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(("rule", "example", "bad"), CASES)
def test_the_linter_reports_bad_examples_and_no_good_ones(rule: Rule, example: Example, bad: bool) -> None:
    result = lint_example(example, example.engine or "mariadb")
    assert not result.not_understood
    assert (rule.id in ids(result)) is bad


@pytest.fixture
def cursor(mariadb_url: str) -> Iterator[Cursor]:
    parts = urlsplit(mariadb_url)
    connection = pymysql.connect(
        host=parts.hostname or "",
        port=parts.port or 3306,
        user=parts.username or "",
        password=parts.password or "",
        database=parts.path.removeprefix("/"),
        autocommit=True,
    )
    with connection, connection.cursor() as opened:
        _execute(opened, examples.MYSQL)
        yield opened


def _execute(cursor: Cursor, text: str) -> None:
    for statement in split(text, "mariadb"):
        cursor.execute(statement.text)


def _with_clauses(statement: str, *clauses: str) -> str:
    joint = ", " if statement.upper().startswith("ALTER") else " "
    return statement + joint + joint.join(clauses)


def _refused(cursor: Cursor, statement: str, *clauses: str) -> bool:
    try:
        cursor.execute(_with_clauses(statement, *clauses))
    except pymysql.MySQLError:
        return True
    return False


@pytest.mark.parametrize(("rule", "example", "bad"), ON_SERVER)
def test_examples_do_on_the_server_what_the_rule_claims(
    rule: Rule, example: Example, bad: bool, cursor: Cursor
) -> None:
    _execute(cursor, example.setup)
    statements = [statement.text for statement in split(example.sql, "mariadb")]
    changes = [text for text in statements if text.upper().startswith(("ALTER", "CREATE FULLTEXT"))]
    effect = example.effect or rule.effect
    plain = len(statements) == 1 and changes and "ALGORITHM" not in example.sql
    if plain and bad and effect in ("rewrite", "scan"):
        if (example.lock or rule.lock) == "SHARED":
            assert _refused(cursor, changes[0], "ALGORITHM=INPLACE", "LOCK=NONE")
        else:
            assert _refused(cursor, changes[0], "ALGORITHM=NOCOPY")
            cursor.execute(_with_clauses(changes[0], "ALGORITHM=INPLACE", "LOCK=NONE"))
            return
    elif plain and not bad and effect in ("rewrite", "scan"):
        cursor.execute(_with_clauses(changes[0], "ALGORITHM=INPLACE", "LOCK=NONE"))
        return
    for text in statements:
        cursor.execute(text)


def test_the_server_refuses_what_it_cannot_keep(cursor: Cursor) -> None:
    assert _refused(cursor, "ALTER TABLE users MODIFY age BIGINT", "ALGORITHM=INPLACE", "LOCK=NONE")
    assert not _refused(cursor, "ALTER TABLE users ADD COLUMN a INT", "ALGORITHM=INPLACE", "LOCK=NONE")


def test_modify_really_drops_what_is_not_repeated(cursor: Cursor) -> None:
    cursor.execute("ALTER TABLE users MODIFY id INT NOT NULL, ALGORITHM=INSTANT")
    cursor.execute("SHOW CREATE TABLE users")
    row = cursor.fetchone()
    assert row is not None
    assert "AUTO_INCREMENT" not in str(row[1])
