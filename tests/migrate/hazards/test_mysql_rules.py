"""Every example of every MySQL and MariaDB rule, through the linter and on the servers: MariaDB, and MySQL if given.

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
from senior_backend.migrate.statements import Engine, split
from tests.migrate.hazards.linting import ids, lint_example

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pymysql.connections import Connection
    from pymysql.cursors import Cursor

RULES = rules_in("mysql")
SERVERS: tuple[Engine, ...] = ("mariadb", "mysql")


def _engines(rule: Rule, example: Example) -> tuple[Engine, ...]:
    return (example.engine,) if example.engine else tuple(one for one in SERVERS if one in rule.engines)


CASES = [
    pytest.param(rule, example, bad, engine, id=f"{rule.id}-{'bad' if bad else 'good'}{index}-{engine}")
    for rule in RULES
    for bad, group in ((True, rule.bad), (False, rule.good))
    for index, example in enumerate(group)
    for engine in _engines(rule, example)
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


@pytest.mark.parametrize(("rule", "example", "bad", "engine"), CASES)
def test_the_linter_reports_bad_examples_and_no_good_ones(
    rule: Rule, example: Example, bad: bool, engine: Engine
) -> None:
    result = lint_example(example, engine)
    assert not result.not_understood
    assert (rule.id in ids(result)) is bad


@pytest.fixture(params=SERVERS)
def engine(request: pytest.FixtureRequest) -> str:
    """The server of a test that does not name one."""
    return str(request.param)


def _connect(url: str) -> Connection[Cursor]:
    parts = urlsplit(url)
    return pymysql.connect(
        host=parts.hostname or "",
        port=parts.port or 3306,
        user=parts.username or "",
        password=parts.password or "",
        database=parts.path.removeprefix("/"),
        autocommit=True,
    )


@pytest.fixture
def cursor(engine: Engine, request: pytest.FixtureRequest) -> Iterator[Cursor]:
    with _connect(request.getfixturevalue(f"{engine}_url")) as connection, connection.cursor() as opened:
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


@pytest.mark.parametrize(("rule", "example", "bad", "engine"), ON_SERVER)
def test_examples_do_on_the_server_what_the_rule_claims(
    rule: Rule, example: Example, bad: bool, engine: Engine, cursor: Cursor
) -> None:
    _execute(cursor, example.setup)
    statements = [statement.text for statement in split(example.sql, engine)]
    if example.fails:
        with pytest.raises(pymysql.MySQLError):
            _execute(cursor, example.sql)
        return
    changes = [text for text in statements if text.upper().startswith(_CHANGES)]
    effect = example.effect or rule.effect
    plain = len(statements) == 1 and changes and "ALGORITHM" not in example.sql
    if plain and bad and effect in ("rewrite", "scan"):
        if (example.lock or rule.lock) == "SHARED":
            assert _refused(cursor, changes[0], "ALGORITHM=INPLACE", "LOCK=NONE")
        else:
            before = _table_ids(cursor)
            cursor.execute(_with_clauses(changes[0], "ALGORITHM=INPLACE", "LOCK=NONE"))
            assert before - _table_ids(cursor), "the server did not build the table anew"
            return
    elif plain and not bad and effect in ("rewrite", "scan"):
        if not _refused(cursor, changes[0], "ALGORITHM=INSTANT"):
            return
        before = _table_ids(cursor)
        cursor.execute(_with_clauses(changes[0], "ALGORITHM=INPLACE", "LOCK=NONE"))
        assert not before - _table_ids(cursor), "the server built the table anew"
        return
    for text in statements:
        cursor.execute(text)


_CHANGES = ("ALTER", "CREATE FULLTEXT", "CREATE INDEX", "CREATE UNIQUE")


def _table_ids(cursor: Cursor) -> set[object]:
    """Return the numbers of InnoDB's tables: one that is built anew has another."""
    view = "INNODB_SYS_TABLES" if _is_mariadb(cursor) else "INNODB_TABLES"
    cursor.execute(f"SELECT TABLE_ID FROM information_schema.{view} WHERE NAME LIKE CONCAT(DATABASE(), '/%%')", ())
    return {row[0] for row in cursor.fetchall()}


def _is_mariadb(cursor: Cursor) -> bool:
    cursor.execute("SELECT VERSION()")
    row = cursor.fetchone()
    return row is not None and "MariaDB" in str(row[0])


def test_the_server_refuses_what_it_cannot_keep(cursor: Cursor) -> None:
    assert _refused(cursor, "ALTER TABLE users MODIFY age BIGINT", "ALGORITHM=INPLACE", "LOCK=NONE")
    assert not _refused(cursor, "ALTER TABLE users ADD COLUMN a INT", "ALGORITHM=INPLACE", "LOCK=NONE")


def test_modify_really_drops_what_is_not_repeated(cursor: Cursor) -> None:
    cursor.execute("ALTER TABLE users MODIFY id INT NOT NULL")
    cursor.execute("SHOW CREATE TABLE users")
    row = cursor.fetchone()
    assert row is not None
    assert "AUTO_INCREMENT" not in str(row[1])


def test_no_writer_gets_past_a_flush_with_read_lock(
    engine: Engine, cursor: Cursor, request: pytest.FixtureRequest
) -> None:
    with _connect(request.getfixturevalue(f"{engine}_url")) as other, other.cursor() as writer:
        writer.execute("SET SESSION lock_wait_timeout = 1")
        cursor.execute("FLUSH TABLES orgs WITH READ LOCK")
        assert writer.execute("SELECT 1 FROM orgs") == 0
        with pytest.raises(pymysql.MySQLError, match="Lock wait timeout"):
            writer.execute("INSERT INTO orgs VALUES (1, 'a')")
        cursor.execute("UNLOCK TABLES")
        assert writer.execute("INSERT INTO orgs VALUES (1, 'a')") == 1


@pytest.mark.parametrize(
    ("rule", "example", "bad", "engine"),
    [case for case in ON_SERVER if cast("Rule", case.values[0]).id == "my-duplicate-index"],
)
def test_the_server_notes_the_same_duplicates(
    rule: Rule, example: Example, bad: bool, engine: Engine, cursor: Cursor
) -> None:
    _execute(cursor, example.setup + example.sql)
    cursor.execute("SHOW WARNINGS")
    assert (1831 in {row[1] for row in cursor.fetchall()}) is bad
