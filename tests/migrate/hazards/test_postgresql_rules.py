"""Every example of every PostgreSQL rule, through the linter and on a server that shows whether its claims hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import psycopg
import pytest
from psycopg import conninfo, sql

from senior_backend.migrate.hazards import examples
from senior_backend.migrate.hazards.registry import rules_in
from senior_backend.migrate.hazards.rule import Example, Rule
from senior_backend.migrate.statements import split
from tests.migrate.hazards.linting import ids, lint_example

if TYPE_CHECKING:
    from collections.abc import Iterator

RULES = rules_in("postgresql")
CASES = [
    pytest.param(rule, example, bad, id=f"{rule.id}-{'bad' if bad else 'good'}{index}")
    for rule in RULES
    for bad, group in ((True, rule.bad), (False, rule.good))
    for index, example in enumerate(group)
]
ON_SERVER = [case for case in CASES if cast("Example", case.values[1]).runs]
BLOCKING = {"ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_a_rule_is_complete(rule: Rule) -> None:
    assert rule.id == rule.id.lower()
    assert " " not in rule.id
    assert rule.id.startswith("pg-")
    assert rule.bad
    assert rule.good
    assert rule.summary
    assert rule.why.endswith(".")
    assert rule.check is not None or rule.finish is not None


def test_ids_are_unique() -> None:
    assert len({rule.id for rule in RULES}) == len(RULES)


@pytest.mark.parametrize(("rule", "example", "bad"), CASES)
def test_the_linter_reports_bad_examples_and_no_good_ones(rule: Rule, example: Example, bad: bool) -> None:
    result = lint_example(example, "postgresql")
    assert not result.not_understood
    assert (rule.id in ids(result)) is bad
    for one in result.found:
        assert one.hazard.message
        assert one.hazard.fix


@dataclass(frozen=True)
class Measured:
    """What a transaction did to the tables that were there before it."""

    locks: dict[str, set[str]]
    rewritten: set[str]
    reads: dict[str, int]


@pytest.fixture(scope="module")
def example_database(postgresql_server: str) -> Iterator[str]:
    """Name of a database with the example schema and its rows, to be used as a template."""
    import secrets

    name = f"examples_{secrets.token_hex(5)}"
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    with psycopg.connect(conninfo.make_conninfo(postgresql_server, dbname=name), autocommit=True) as connection:
        connection.execute(examples.POSTGRESQL)
        connection.execute(examples.POSTGRESQL_DATA)
        connection.execute("VACUUM ANALYZE")
    yield name
    with psycopg.connect(postgresql_server, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def connection(
    postgresql_server: str, example_database: str, request: pytest.FixtureRequest
) -> Iterator[psycopg.Connection]:
    """A connection to the example database, or to a copy of it where the example leaves something behind."""
    import secrets

    example: Example = request.getfixturevalue("example")
    private = bool(example.setup) or not example.transaction
    name = f"{example_database}_{secrets.token_hex(4)}" if private else example_database
    if private:
        with psycopg.connect(postgresql_server, autocommit=True) as admin:
            admin.execute(
                sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(example_database))
            )
    opened = psycopg.connect(conninfo.make_conninfo(postgresql_server, dbname=name), autocommit=True)
    with opened:
        yield opened
    if private:
        with psycopg.connect(postgresql_server, autocommit=True) as admin:
            admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(sql.Identifier(name)))


_RELATIONS = """
    SELECT c.oid, c.relname, pg_relation_filenode(c.oid) FROM pg_class AS c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'i', 'I', 'm')
"""


def _relations(connection: psycopg.Connection) -> dict[int, tuple[str, int | None]]:
    return {oid: (name, node) for oid, name, node in connection.execute(_RELATIONS)}


def _reads(connection: psycopg.Connection) -> dict[int, int]:
    return {
        oid: int(count) for oid, count in connection.execute("SELECT relid, seq_tup_read FROM pg_stat_xact_user_tables")
    }


def measure(connection: psycopg.Connection, text: str) -> Measured:
    """Run the statements in one transaction that is rolled back, and look at what it holds before its end."""
    before = _relations(connection)
    connection.execute("BEGIN")
    unsent = _reads(connection)  # what the backend has not reported yet of earlier transactions counts as well
    try:
        for statement in split(text, "postgresql"):
            connection.execute(statement.text)
        after = _relations(connection)
        locks: dict[str, set[str]] = {}
        for oid, mode in connection.execute(
            "SELECT relation, mode FROM pg_locks WHERE pid = pg_backend_pid() AND relation IS NOT NULL"
        ):
            if oid in before:
                locks.setdefault(before[oid][0], set()).add(mode)
        reads = {
            before[oid][0]: count - unsent.get(oid, 0) for oid, count in _reads(connection).items() if oid in before
        }
    finally:
        connection.execute("ROLLBACK")
    nodes = dict(after.values())  # by name: an index that is built anew is another relation
    rewritten = {name for name, node in before.values() if name in nodes and nodes[name] != node}
    return Measured(locks, rewritten, reads)


def _run(connection: psycopg.Connection, example: Example) -> None:
    if example.transaction:
        with connection.transaction(force_rollback=True):
            for statement in split(example.sql, "postgresql"):
                connection.execute(statement.text)
        return
    for statement in split(example.sql, "postgresql"):
        connection.execute(statement.text)


def _mode(lock: str) -> str:
    return "".join(word.capitalize() for word in lock.split()) + "Lock"


@pytest.mark.parametrize(("rule", "example", "bad"), ON_SERVER)
def test_examples_do_on_the_server_what_the_rule_claims(
    rule: Rule, example: Example, bad: bool, connection: psycopg.Connection
) -> None:
    if example.setup:
        connection.execute(example.setup)
    if example.fails:
        with pytest.raises(psycopg.Error):
            _run(connection, example)
        return
    if not example.transaction:
        _run(connection, example)
        return
    measured = measure(connection, example.sql)
    if bad:
        _check_claim(rule, example, measured)
    elif rule.effect in ("scan", "rewrite"):
        _check_harmless(measured, _mode(example.lock or ""))


def _check_claim(rule: Rule, example: Example, measured: Measured) -> None:
    lock = rule.lock if example.lock is None else example.lock
    if lock:
        assert any(_mode(lock) in modes for modes in measured.locks.values()), measured
    effect = example.effect or rule.effect
    if effect == "rewrite":
        assert measured.rewritten, measured
    elif effect == "scan":
        assert max(measured.reads.values(), default=0) >= examples.ROWS, measured
    elif rule.lock and rule.group == "default":
        assert not measured.rewritten, measured
        assert sum(measured.reads.values()) == 0, measured


def _check_harmless(measured: Measured, allowed: str) -> None:
    assert not measured.rewritten, measured
    for table, modes in measured.locks.items():
        if (modes & BLOCKING) - {allowed}:
            assert measured.reads.get(table, 0) < examples.ROWS, measured


def test_measuring_tells_a_scan_from_none(connection: psycopg.Connection) -> None:
    assert measure(connection, "ALTER TABLE users ALTER age TYPE bigint").rewritten >= {"users"}
    assert measure(connection, "ALTER TABLE users ADD CHECK (age > -1)").reads["users"] >= examples.ROWS
    quiet = measure(connection, "ALTER TABLE users ADD COLUMN n int")
    assert not quiet.rewritten
    assert sum(quiet.reads.values()) == 0


_SAME_INDEXES = """
    SELECT indrelid::regclass FROM pg_index WHERE indisvalid AND indimmediate GROUP BY
    indrelid, indkey, indclass, indcollation, indoption, indisunique, indnkeyatts, pg_get_expr(indexprs, indrelid),
    pg_get_expr(indpred, indrelid) HAVING count(*) > 1
"""


@pytest.mark.parametrize(
    ("rule", "example", "bad"),
    [case for case in ON_SERVER if cast("Rule", case.values[0]).id == "pg-duplicate-index"],
)
def test_the_server_has_the_same_index_twice(
    rule: Rule, example: Example, bad: bool, connection: psycopg.Connection
) -> None:
    if example.setup:
        connection.execute(example.setup)
    if example.transaction:
        connection.execute("BEGIN")
    for statement in split(example.sql, "postgresql"):
        connection.execute(statement.text)
    assert bool(connection.execute(_SAME_INDEXES).fetchall()) is bad
    if example.transaction:
        connection.execute("ROLLBACK")


@pytest.fixture
def tablespace(postgresql_server: str, example_database: str) -> Iterator[str]:
    """Name of an empty tablespace; who uses it rolls back."""
    name = f"moved_{example_database}"
    with psycopg.connect(postgresql_server, autocommit=True) as admin:
        admin.execute("SET allow_in_place_tablespaces = on")
        admin.execute(sql.SQL("CREATE TABLESPACE {} LOCATION ''").format(sql.Identifier(name)))
        yield name
        admin.execute(sql.SQL("DROP TABLESPACE {}").format(sql.Identifier(name)))


@pytest.mark.parametrize(
    ("statement", "moved"),
    [
        ("ALTER INDEX users_email SET TABLESPACE {}", "users_email"),
        ("ALTER INDEX ALL IN TABLESPACE pg_default SET TABLESPACE {}", "users_email"),
        ("ALTER TABLE ALL IN TABLESPACE pg_default SET TABLESPACE {}", "users"),
        ("ALTER MATERIALIZED VIEW ALL IN TABLESPACE pg_default SET TABLESPACE {}", "user_names"),
        ("ALTER MATERIALIZED VIEW user_names SET TABLESPACE {}", "user_names"),
        ("ALTER TABLE events SET TABLESPACE {}", None),
    ],
)
def test_what_moves_to_another_tablespace_is_locked_and_written_anew(
    statement: str, moved: str | None, connection: psycopg.Connection, tablespace: str
) -> None:
    text = statement.format(tablespace)
    measured = measure(connection, text)
    assert (moved is None) == (not measured.rewritten)
    assert moved is None or "AccessExclusiveLock" in measured.locks[moved]
    assert ("pg-set-storage-rewrites" in ids(lint_example(Example(text), "postgresql"))) is (moved is not None)


def test_no_query_is_planned_while_an_index_moves(connection: psycopg.Connection, tablespace: str) -> None:
    with psycopg.connect(connection.info.dsn) as reader, connection.transaction(force_rollback=True):
        connection.execute(f"ALTER INDEX users_email SET TABLESPACE {tablespace}".encode())
        reader.execute("SET lock_timeout = '100ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            reader.execute("SELECT name FROM users WHERE id = 1")


@pytest.fixture
def example() -> Any:
    return Example("")
