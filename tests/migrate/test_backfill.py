"""Backfills: every row once, in batches, with concurrent writers, whatever the key is."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from senior_backend.console.errors import InputError, UnavailableError
from senior_backend.migrate import backfill, plan, replicas
from senior_backend.migrate.databases.opening import open_database
from senior_backend.migrate.databases.urls import parse_url
from senior_backend.migrate.files import Folder, parse
from senior_backend.migrate.ledger import State
from senior_backend.migrate.statements import Engine
from tests.migrate.support import call, start, wait_for, write_migrations

KEYS: dict[str, tuple[str, str, Callable[[int], str]]] = {
    "integer": ("id", "id integer PRIMARY KEY", lambda n: str(n * 3 - 50)),
    "text": ("code", "code varchar(40) PRIMARY KEY", lambda n: f"'it''s \\ %s {n:03} é'"),
    "two": ("a,b", "a integer NOT NULL, b varchar(9) NOT NULL, PRIMARY KEY (a, b)", lambda n: f"{n % 7}, 'x{n:04}'"),
    "date": ("day", "day date PRIMARY KEY", lambda n: f"'20{10 + n % 60:02}-{1 + n // 60:02}-11'"),
}


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: call(capsys, *arguments)


def rows_are_changed_once(tool: Any, url: str, key: str) -> None:
    columns, table, value = KEYS[key]
    names = columns.replace(",", ", ")
    inserts = "".join(f"INSERT INTO things ({names}, hits) VALUES ({value(n)}, {n});\n" for n in range(1, 205))
    engine = parse_url(url).engine
    if engine == "mysql":
        inserts = inserts.replace("\\", "\\\\")
    directive = f"-- db_migrate: backfill table=things key={columns} batch=20"
    write_migrations(
        Path("db/migrations"),
        {
            "1_table": f"CREATE TABLE things (hits integer, extra integer, {table})",
            "2_rows": inserts,
            "3_fill": f"-- migrate:up transaction:false\n{directive}\n"
            "UPDATE things SET extra = coalesce(extra, 0) + hits * 2 WHERE hits <> 7 OR hits IS NULL;\n",
        },
    )
    result = tool("up", "--database-url", url)
    assert result.code == 0, result.report
    database = open_database(parse_url(url))
    try:
        assert database.query("SELECT count(*) FROM things WHERE extra = hits * 2") == [(203,)]
        assert database.query("SELECT count(*) FROM things WHERE extra IS NULL AND hits = 7") == [(1,)]
        assert database.query(f"SELECT count(*) FROM {database.own('_db_migrate_ledger')} WHERE step > 0") == [(0,)]
    finally:
        database.close()


@pytest.mark.parametrize("key", KEYS)
def test_every_row_is_changed_once_on_sqlite(tool: Any, tmp_path: Path, key: str) -> None:
    rows_are_changed_once(tool, f"sqlite:{tmp_path / 'app.db'}", key)


@pytest.mark.parametrize("key", KEYS)
def test_every_row_is_changed_once_on_postgresql(tool: Any, postgresql_url: str, key: str) -> None:
    rows_are_changed_once(tool, postgresql_url, key)


@pytest.mark.parametrize("key", KEYS)
def test_every_row_is_changed_once_on_mariadb(tool: Any, mariadb_url: str, key: str) -> None:
    rows_are_changed_once(tool, mariadb_url, key)


def pairs(first: int, last: int) -> str:
    """Return an INSERT of rows with a key of two columns."""
    return "INSERT INTO things (a, b, hits) VALUES " + ", ".join(f"({n // 50}, {n}, 0)" for n in range(first, last))


def write_pairs(rows: int, batch: int) -> None:
    directive = f"-- db_migrate: backfill table=things key=a,b batch={batch}"
    files = {
        "1": "CREATE TABLE things (hits int, a int NOT NULL, b int NOT NULL, PRIMARY KEY (a, b))",
        "2": pairs(0, rows),
        "3": f"-- migrate:up transaction:false\n{directive}\nUPDATE things SET hits = hits + 1;\n",
    }
    write_migrations(Path("db/migrations"), files)


@pytest.mark.parametrize("fixture", [None, "postgresql_url", "mariadb_url"])
def test_a_walk_ends_where_the_table_ended_when_it_began(
    tool: Any, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, fixture: str | None
) -> None:
    """Writers add 40 rows behind each batch of 20; the second run ends where the first, interrupted one would have."""
    url = request.getfixturevalue(fixture) if fixture else "sqlite:app.db"
    write_pairs(100, batch=20)
    writer = open_database(parse_url(url))
    grown = 0

    def grow(_self: object) -> float:
        nonlocal grown
        grown += 1
        assert grown < 10, "the walk goes on for as long as rows are added"
        writer.query(pairs(60 + 40 * grown, 100 + 40 * grown))
        if grown == 3:
            raise KeyboardInterrupt
        return 0.0

    monkeypatch.setattr(type(writer), "lag_seconds", grow)
    monkeypatch.setattr(backfill, "LAG_POLL", 0.0)
    try:
        assert tool("up", "--database-url", url).code == 130
        assert tool("up", "--database-url", url).code == 0
        found = writer.query("SELECT hits, count(*) FROM things GROUP BY hits ORDER BY hits")
        assert found == [(0, 200), (1, 100)], "a row that was there is left out or done twice"
    finally:
        writer.close()


def test_a_batch_by_two_columns_locks_only_its_rows_on_mariadb(tool: Any, mariadb_url: str) -> None:
    write_pairs(3000, batch=100)
    arguments = ("up", "--database-url", mariadb_url, "--lock-retries", "1", "--lock-timeout", "1s")
    assert tool(*arguments, "--to", "2").code == 0
    holder = open_database(parse_url(mariadb_url))
    try:
        holder.begin()
        holder.query("UPDATE things SET hits = 0 WHERE a = 59 AND b = 2999")
        assert tool(*arguments).codes[-1] == "lock-not-available"
        holder.commit()
        assert holder.query("SELECT sum(hits) FROM things") == [(2900,)], "only the last batch meets the lock"
        assert tool(*arguments).code == 0
        assert holder.query("SELECT sum(hits) FROM things") == [(3000,)]
    finally:
        holder.close()


def step_of(text: str, engine: Engine = "postgresql") -> plan.Step:
    migration = parse(Path("1_a.sql"), f"-- migrate:up transaction:false\n{text}")
    folder = Folder(Path(), (migration,))
    return plan.plan_up(folder, State(), engine).items[0].steps[0]


HEAD = "-- db_migrate: backfill table=users key=id\n"


@pytest.mark.parametrize(
    ("text", "alias", "condition"),
    [
        ("UPDATE users SET a = 1", "users", ""),
        ("UPDATE users SET a = 1 WHERE b = 2 OR c", "users", "b = 2 OR c"),
        ("UPDATE ONLY users AS u SET a = 1 FROM t WHERE t.id = u.id", "u", "t.id = u.id"),
        ("UPDATE users u SET a = (SELECT 1 WHERE true) -- end\nWHERE b", "u", "b"),
        ("UPDATE users SET a = 'WHERE' WHERE b RETURNING id", "users", "b"),
    ],
)
def test_an_update_is_taken_apart(text: str, alias: str, condition: str) -> None:
    found = backfill.understand(step_of(HEAD + text), "postgresql")
    assert (found.alias, found.condition) == (alias, condition)


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "DELETE FROM users",
        HEAD + "UPDATE other SET a = 1",
        HEAD + "UPDATE users SET a = 1 LIMIT 5",
        "-- db_migrate: backfill table=users\nUPDATE users SET a = 1",
        "-- db_migrate: backfill table=users key=id batch=x\nUPDATE users SET a = 1",
        "-- db_migrate: backfill table=users key=id batch=0\nUPDATE users SET a = 1",
        "-- db_migrate: backfill table=users key=id bacth=5\nUPDATE users SET a = 1",
    ],
)
def test_what_cannot_be_cut_into_batches_is_told(text: str) -> None:
    with pytest.raises(InputError) as caught:
        backfill.understand(step_of(text), "postgresql")
    assert caught.value.code == "bad-backfill"
    assert "1_a.sql:3:1" in (caught.value.where or "")


@pytest.mark.parametrize(
    ("text", "code"),
    [
        (f"-- migrate:up\n{HEAD}UPDATE users SET a = 1", "needs-no-transaction"),
        (f"-- migrate:up transaction:false\nSELECT 1;\n{HEAD}", "bad-backfill"),
    ],
)
def test_a_backfill_at_the_wrong_place_is_told_before_anything_runs(tool: Any, text: str, code: str) -> None:
    write_migrations(Path("db/migrations"), {"1": "CREATE TABLE users (id integer PRIMARY KEY, a int)", "2": text})
    result = tool("up")
    assert (result.code, result.codes) == (2, [code])
    assert not Path("db/database.sqlite3").exists()


@pytest.mark.slow
def test_a_locked_row_makes_the_batch_give_way_and_writers_go_on(tmp_path: Path, postgresql_url: str) -> None:
    import psycopg

    folder = write_migrations(
        tmp_path / "m",
        {
            "1": "CREATE TABLE users (id int PRIMARY KEY, hits int NOT NULL DEFAULT 0, extra int)",
            "2": "INSERT INTO users SELECT n FROM generate_series(1, 5000) AS n",
            "3": "-- migrate:up transaction:false\n-- db_migrate: backfill table=users key=id batch=500\n"
            "UPDATE users SET extra = coalesce(extra, 0) + 1;\n",
        },
    )
    arguments = ["up", "--database-url", postgresql_url, "-d", str(folder), "--json", "--lock-timeout", "200ms"]
    token = start("plan", *arguments[1:-2], cwd=tmp_path)
    planned = json.loads(token.communicate(timeout=60)[0])
    assert not planned["data"]["token_needed"], "a backfill in batches is no destruction"
    assert start(*arguments, "--to", "2", cwd=tmp_path).wait(60) == 0
    stop = threading.Event()
    waits: list[float] = []

    def write() -> None:
        with psycopg.connect(postgresql_url, autocommit=True) as connection:
            number = 0
            while not stop.is_set():
                number = number % 5000 + 37
                begun = time.monotonic()
                connection.execute("UPDATE users SET hits = hits + 1 WHERE id = %s", (number,))
                waits.append(time.monotonic() - begun)

    with psycopg.connect(postgresql_url) as holder:
        holder.execute("UPDATE users SET hits = 99 WHERE id = 2500")
        writer = threading.Thread(target=write)
        writer.start()
        runner = start(*arguments, cwd=tmp_path)
        blocked = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        with psycopg.connect(postgresql_url, autocommit=True) as watcher:
            meets_the_lock = f"{blocked} AND query LIKE '%extra%'"
            wait_for(lambda: watcher.execute(meets_the_lock).fetchone() or runner.poll() is not None)
        time.sleep(0.5)  # longer than the runner waits for a lock
        holder.commit()
        out, errors = runner.communicate(timeout=60)
        stop.set()
        writer.join()
    assert runner.returncode == 0, (out, errors)
    assert json.loads(out)["data"]["finished"][0]["retries"] > 0
    with psycopg.connect(postgresql_url) as connection:
        assert connection.execute("SELECT count(*), min(extra), max(extra) FROM users").fetchone() == (5000, 1, 1)
        total = connection.execute("SELECT sum(hits) FROM users WHERE id <> 2500").fetchone()
        assert total is not None
        assert len(waits) - 200 < total[0] <= len(waits), "a writer's change was lost"
    assert max(waits) < 2.5


def test_a_replica_that_is_behind_pauses_the_backfill(
    tool: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from senior_backend.migrate.databases.sqlite import SqliteDatabase

    lags = iter([9.0, 9.0, 0.0])
    asked: list[float] = []

    def lag(_self: object) -> float:
        asked.append(next(lags, 0.0))
        return asked[-1]

    monkeypatch.setattr(SqliteDatabase, "lag_seconds", lag)
    monkeypatch.setattr(backfill, "LAG_POLL", 0.01)
    rows_are_changed_once(tool, f"sqlite:{tmp_path / 'app.db'}", "integer")
    assert asked[:3] == [9.0, 9.0, 0.0]


def test_named_replicas_are_asked_and_one_that_does_not_follow_is_infinitely_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a MariaDB and a MySQL 9.7 pair the pause was seen; here is what their answers mean."""

    def gone() -> list[float | None]:
        message = "it is down"
        raise UnavailableError(message, code="database-unavailable")

    answers: list[tuple[Callable[[], list[float | None]], float]] = [
        (lambda: [3.0, 9.0], 9.0),
        (lambda: [0.0, None], math.inf),  # one of two sources is not followed
        (list, math.inf),  # it was made a source meanwhile
        (gone, math.inf),
    ]
    address = parse_url("mysql://root@db/app")
    for answer, expected in answers:
        monkeypatch.setattr(replicas, "_ask", lambda _address, answer=answer: answer())
        assert replicas.lag([address]) == expected
    assert replicas.lag([]) == 0


def test_a_replica_that_is_none_is_refused_before_anything_runs(tool: Any, mariadb_url: str) -> None:
    write_pairs(10, batch=10)
    for urls in ((mariadb_url, mariadb_url), ("sqlite:app.db", mariadb_url), (mariadb_url, "postgresql://db/app")):
        result = tool("up", "--database-url", urls[0], "--replica", urls[1])
        assert (result.code, result.codes) == (2, ["bad-replica"]), result.report
    assert not open_database(parse_url(mariadb_url)).tables()


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("sqlite:x.db", True),
        ("postgresql://localhost/x", True),
        ("postgresql://127.0.0.1:1/x", True),
        ("postgresql://u:p@[::1]/x", True),
        ("postgresql:///x?host=/run/postgresql", True),
        ("postgresql://db.internal/x", False),
        ("mysql://10.0.0.4/x", False),
        ("postgresql://localhost.evil.example/x", False),
    ],
)
def test_what_is_local_needs_no_token(url: str, *, local: bool) -> None:
    address = parse_url(url)
    assert address.local is local
    migration = parse(Path("1_a.sql"), "-- migrate:up\nCREATE TABLE a (x int)")
    wanted = plan.plan_up(Folder(Path(), (migration,)), State(), "postgresql")
    assert bool(plan.reasons(wanted, local=address.local, shown=address.shown)) is not local


def test_secrets_of_a_url_are_never_shown(tool: Any) -> None:
    write_migrations(Path("db/migrations"), {"1": "CREATE TABLE a (x int)"})
    for command in ("status", "plan", "up"):
        result = tool(command, "--database-url", "postgresql://ada:s3cr%40t@127.0.0.1:9/none?password=s3cret")
        assert result.code == 4
        assert "s3cr" not in json.dumps(result.report)
