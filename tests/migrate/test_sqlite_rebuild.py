"""SQLite's rebuild keeps what hangs on the table: children, views, triggers, partial indexes, the highest key."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from senior_backend.console.errors import InputError
from senior_backend.migrate.databases.sqlite import SqliteDatabase
from senior_backend.migrate.databases.urls import parse_url
from senior_backend.migrate.sqlite_rebuild import Define, Drop, needed, read_objects, rebuild
from tests.migrate.support import call, write_migrations

SCHEMA = """
CREATE TABLE users (
    id integer PRIMARY KEY AUTOINCREMENT, -- the key
    "e-mail" text UNIQUE,
    name text DEFAULT 'a,b (c',
    age integer CHECK (age > 0),
    shout text GENERATED ALWAYS AS (upper(name)) VIRTUAL,
    CONSTRAINT named UNIQUE (name, age)
);
CREATE TABLE posts (id integer PRIMARY KEY, user_id integer NOT NULL REFERENCES users (id) ON DELETE CASCADE);
CREATE INDEX users_age ON users (age) WHERE age > 30;
CREATE INDEX users_lower ON users (lower(name));
CREATE VIEW adults AS SELECT id, name FROM users WHERE id > 0;
CREATE VIEW names AS SELECT name FROM adults;
CREATE TABLE log (what text);
CREATE TRIGGER watch AFTER INSERT ON posts BEGIN INSERT INTO log SELECT name FROM users WHERE id = NEW.user_id; END;
CREATE TRIGGER own AFTER UPDATE ON users BEGIN INSERT INTO log VALUES ('updated'); END;
INSERT INTO users (id, "e-mail", name, age) VALUES (1, 'a', 'ada', 36), (2, 'b', 'bob', 40), (9, 'z', 'zoe', 50);
DELETE FROM users WHERE id = 9;
INSERT INTO posts VALUES (1, 1), (2, 2);
"""


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "db" / "database.sqlite3"
    path.parent.mkdir()
    with sqlite3.connect(path) as connection:
        connection.executescript(SCHEMA)
    connection.close()
    return path


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: call(capsys, *arguments)


def query(path: Path, text: str) -> list[tuple[Any, ...]]:
    with sqlite3.connect(path) as connection:
        found = connection.execute(text).fetchall()
    connection.close()
    return found


def names(path: Path, kind: str) -> set[str]:
    rows = query(path, f"SELECT name FROM sqlite_master WHERE type = '{kind}' AND name NOT LIKE 'sqlite_%'")
    return {str(row[0]) for row in rows}


def everything_is_there(path: Path) -> None:
    assert query(path, "SELECT count(*) FROM posts JOIN users ON users.id = user_id") == [(2,)]
    assert query(path, "SELECT name FROM names ORDER BY 1") == [("ada",), ("bob",)]
    assert names(path, "trigger") == {"watch", "own"}
    assert query(path, "PRAGMA foreign_key_check") == []
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("INSERT INTO users (name) VALUES ('new')")
        assert connection.execute("SELECT max(id) FROM users").fetchone() == (10,), "a key was given twice"
        connection.execute("INSERT INTO posts VALUES (3, 10)")
        assert connection.execute("SELECT what FROM log ORDER BY rowid DESC LIMIT 1").fetchall() == [("new",)]
        connection.execute("DELETE FROM users WHERE id = 1")
        assert connection.execute("SELECT count(*) FROM posts").fetchone() == (2,), "the cascade is gone"
        connection.rollback()
    connection.close()


def test_new_writes_a_rebuild_where_sqlite_refuses_and_the_runner_keeps_everything(tool: Any, database: Path) -> None:
    result = tool("new", "remove_age_from_users")
    text = result.data["files"][0]["content"]
    assert "_rebuild_users" in text
    plan = tool("plan", "--after-deploy")
    assert plan.data["token_needed"], "values are lost"
    up = tool("up", "--after-deploy", "--token", plan.data["token"])
    assert up.code == 0, up.report
    assert [row[1] for row in query(database, "PRAGMA table_info(users)")] == ["id", "e-mail", "name"]
    assert names(database, "index") == {"users_lower"}
    everything_is_there(database)
    assert query(Path(up.data["backup"]), "SELECT age FROM users WHERE id = 1") == [(36,)]
    plan = tool("plan", "--down")
    assert tool("down", "--token", plan.data["token"]).code == 0
    assert [row[1] for row in query(database, "PRAGMA table_info(users)")] == ["id", "e-mail", "name", "age"]
    assert names(database, "index") == {"users_lower", "users_age"}
    everything_is_there(database)


def test_a_plain_column_is_dropped_without_a_rebuild(tool: Any, tmp_path: Path) -> None:
    write_migrations(Path("db/migrations"), {"1": "CREATE TABLE a (id integer PRIMARY KEY, x text, y text UNIQUE)"})
    tool("up")
    assert "_rebuild_" not in tool("new", "remove_x_from_a").data["files"][0]["content"]
    assert "_rebuild_" in tool("new", "remove_y_from_a").data["files"][0]["content"]


def apply(path: Path, changes: list[Drop | Define]) -> None:
    opened = SqliteDatabase(parse_url(f"sqlite:{path}"))
    try:
        statements = rebuild(read_objects(opened), "users", changes)
        opened.begin()
        for statement in statements:
            opened.query(statement)
        opened.commit()
    finally:
        opened.close()


def test_a_column_gets_another_definition(database: Path) -> None:
    apply(database, [Define("age", "text NOT NULL DEFAULT '?'", "CAST(coalesce(age, 0) AS text)")])
    assert query(database, "SELECT typeof(age), age FROM users WHERE id = 1") == [("text", "36")]
    assert names(database, "index") == {"users_lower", "users_age"}
    everything_is_there(database)


def test_an_empty_table_keeps_its_highest_key(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("DELETE FROM users")
    connection.close()
    apply(database, [Drop("e-mail")])
    with sqlite3.connect(database) as connection:
        connection.execute("INSERT INTO users (name) VALUES ('x')")
        assert connection.execute("SELECT id FROM users").fetchone() == (10,)
    connection.close()


def test_a_view_that_would_break_ends_the_transaction(tool: Any, database: Path) -> None:
    result = tool("new", "remove_name_from_users")
    plan = tool("plan", "--after-deploy")
    up = tool("up", "--after-deploy", "--token", plan.data["token"])
    assert (result.code, up.code, up.codes[0]) == (0, 1, "statement-failed")
    everything_is_there(database)


@pytest.mark.parametrize(
    ("table", "changes"),
    [("nothing", [Drop("a")]), ("users", [Drop("nothing")]), ("users", [Drop("id")]), ("log", [Drop("what")])],
)
def test_what_cannot_be_rebuilt_is_told(database: Path, table: str, changes: list[Drop | Define]) -> None:
    opened = SqliteDatabase(parse_url(f"sqlite:{database}"), read_only=True)
    try:
        objects = read_objects(opened)
        with pytest.raises(InputError) as caught:
            rebuild(objects, table, changes)
    finally:
        opened.close()
    assert caught.value.code == "cannot-rebuild"


def test_the_rename_first_order_is_refused_because_it_would_cut_off_the_children(tool: Any) -> None:
    wrong = (
        "ALTER TABLE users RENAME TO users_old;CREATE TABLE users (id integer PRIMARY KEY, name text NOT NULL);"
        "INSERT INTO users SELECT id, name FROM users_old;DROP TABLE users_old"
    )
    files = {
        "1": "CREATE TABLE users (id integer PRIMARY KEY, name text);"
        "CREATE TABLE posts (id integer PRIMARY KEY, user_id integer REFERENCES users (id) ON DELETE CASCADE)",
        "2": "INSERT INTO users VALUES (1, 'ada');INSERT INTO posts VALUES (1, 1)",
    }
    write_migrations(Path("db/migrations"), files)
    assert tool("up").code == 0
    write_migrations(Path("db/migrations"), {"3": wrong})
    result = tool("up", "--token", tool("plan").data["token"])
    assert (result.code, result.codes[0]) == (1, "broken-references")
    assert query(Path("db/database.sqlite3"), "SELECT count(*) FROM posts JOIN users ON users.id = user_id") == [(1,)]


def test_only_what_sqlite_refuses_is_rebuilt(database: Path) -> None:
    opened = SqliteDatabase(parse_url(f"sqlite:{database}"), read_only=True)
    try:
        objects = read_objects(opened)
    finally:
        opened.close()
    assert needed(objects, "users", "age")
    assert needed(objects, "posts", "user_id")
    assert not needed(objects, "log", "what")
