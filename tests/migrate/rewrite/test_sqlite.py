"""SQLite rebuilds, run: foreign keys, views, triggers, partial indexes and the counter are there afterwards."""

from __future__ import annotations

import json
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest

from senior_backend.migrate import files
from senior_backend.migrate.cli import main
from senior_backend.migrate.rewrites.sqlite import definition

if TYPE_CHECKING:
    from pathlib import Path

SETUP = """CREATE TABLE teams (id INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE users (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  email TEXT NOT NULL UNIQUE, -- the login, not the name
  age INT DEFAULT 18 CHECK (age >= 18),
  team_id INTEGER REFERENCES teams (id),
  CONSTRAINT has_mail CHECK (email LIKE '%@%')
);
CREATE TABLE orders (id INTEGER PRIMARY KEY, user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE);
CREATE INDEX users_adults ON users (lower(email)) WHERE age > 20;
CREATE INDEX users_age ON users (age);
CREATE VIEW grown AS SELECT id, email FROM users WHERE age > 20;
CREATE TABLE log (line TEXT);
CREATE TRIGGER users_log AFTER UPDATE ON users BEGIN INSERT INTO log VALUES (new.email); END;
CREATE VIEW named AS SELECT id FROM grown WHERE id > 0;
CREATE TRIGGER grown_insert INSTEAD OF INSERT ON grown BEGIN INSERT INTO users (email) VALUES (new.email); END;
CREATE TRIGGER orders_log AFTER DELETE ON orders BEGIN INSERT INTO log SELECT email FROM users; END;
"""
FILL = """INSERT INTO teams VALUES (1, 'a');
INSERT INTO users (email, age, team_id) VALUES ('a@x', 30, 1), ('b@x', 40, 1), ('c@x', 19, 1);
INSERT INTO orders VALUES (1, 1), (2, 2);
DELETE FROM users WHERE email = 'c@x';
"""
REBUILDS = [
    ("ALTER TABLE users ALTER COLUMN age SET NOT NULL;", "INSERT INTO users (email, age) VALUES ('d@x', NULL)"),
    ("ALTER TABLE users ALTER COLUMN email DROP NOT NULL;", None),
    ("ALTER TABLE users ALTER COLUMN age TYPE TEXT;", None),
    ("ALTER TABLE users ADD CONSTRAINT young CHECK (age < 130);", "INSERT INTO users (email, age) VALUES ('d@x', 131)"),
    ("ALTER TABLE users ADD COLUMN slug TEXT UNIQUE;", None),
    ("ALTER TABLE users ADD COLUMN at TEXT DEFAULT CURRENT_TIMESTAMP;", None),
    ("ALTER TABLE users DROP CONSTRAINT has_mail;", None),
    ("ALTER TABLE users ALTER COLUMN age SET DEFAULT 21;", None),
    ("ALTER TABLE users ALTER COLUMN age DROP DEFAULT;", None),
]


def rewritten(folder: Path, sql: str, capsys: Any) -> tuple[int, dict[str, Any], list[files.Migration]]:
    (folder / "20260101000000_setup.sql").write_text(f"-- migrate:up\n{SETUP}\n-- migrate:down\n")
    path = folder / "20260102000000_change.sql"
    path.write_text(f"-- migrate:up\n{sql}\n-- migrate:down\n")
    code = main(["rewrite", str(path), "--engine", "sqlite", "--json", "--out", str(folder / "out")])
    report = json.loads(capsys.readouterr().out)
    return code, report, [files.parse(one, one.read_text()) for one in sorted((folder / "out").glob("*.sql"))]


def objects(database: sqlite3.Connection) -> set[tuple[str, str]]:
    return set(database.execute("SELECT type, name FROM sqlite_master WHERE name NOT LIKE 'sqlite%'"))


def run(database: sqlite3.Connection, migrations: list[files.Migration], direction: files.Direction) -> None:
    for migration in migrations if direction == "up" else migrations[::-1]:
        database.execute("BEGIN IMMEDIATE")
        for statement in migration.statements(direction, "sqlite"):
            database.execute(statement.text)
        database.execute("COMMIT")


@pytest.mark.parametrize(("sql", "refused"), REBUILDS)
def test_a_rebuild_keeps_everything_and_leads_back(
    *, sql: str, refused: str | None, tmp_path: Path, capsys: Any
) -> None:
    code, report, migrations = rewritten(tmp_path, sql, capsys)
    assert (code, len(migrations)) == (0, 1), report["findings"]
    database = sqlite3.connect(":memory:", isolation_level=None)
    database.executescript(SETUP + FILL)
    definitions = database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    before = objects(database)
    rows = database.execute("SELECT id, email, CAST(age AS INT), team_id FROM users").fetchall()
    run(database, migrations, "up")
    assert objects(database) == before
    assert database.execute("SELECT id, email, CAST(age AS INT), team_id FROM users").fetchall() == rows
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    assert database.execute("SELECT count(*) FROM orders").fetchone() == (2,), "child rows went with the old table"
    assert database.execute("SELECT count(*) FROM grown").fetchone() == (2,)
    if refused:
        with pytest.raises(sqlite3.IntegrityError):
            database.execute(refused)
    database.execute("INSERT INTO users (email) VALUES ('e@x')")
    assert database.execute("SELECT max(id) FROM users").fetchone() == (4,), "AUTOINCREMENT began anew"
    database.execute("UPDATE users SET age = 50 WHERE email = 'a@x'")
    assert database.execute("SELECT count(*) FROM log").fetchone() == (1,), "the trigger is gone"
    database.execute("DELETE FROM users WHERE email = 'e@x'")
    run(database, migrations, "down")
    after = database.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()
    plain = [(name, (text or "").replace('"', "").split()) for name, text in definitions]
    assert [(name, (text or "").replace('"', "").split()) for name, text in after] == plain


def test_a_column_with_an_index_goes_with_its_index(tmp_path: Path, capsys: Any) -> None:
    code, report, migrations = rewritten(tmp_path, "ALTER TABLE users DROP COLUMN team_id;", capsys)
    assert code == 0, report["findings"]
    (dropped,) = migrations
    assert dropped.after_deploy
    assert "ALTER TABLE users DROP COLUMN team_id" in dropped.up, "SQLite drops a plain column itself"
    shutil.rmtree(tmp_path / "out")
    code, report, _ = rewritten(tmp_path, "ALTER TABLE users DROP COLUMN email;", capsys)
    assert code == 1, "a view and an index over an expression need the column"
    assert report["findings"][0]["code"] == "no-rewrite"


def test_what_sqlite_does_itself_stays(tmp_path: Path, capsys: Any) -> None:
    code, _, migrations = rewritten(tmp_path, "ALTER TABLE users ADD COLUMN note TEXT;", capsys)
    assert (code, migrations) == (0, [])


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("a int DEFAULT -1 NOT NULL", "a int NOT NULL"),
        ("a int DEFAULT (random() + 1) CHECK (a > 1)", "a int CHECK (a > 1)"),
        ("a text DEFAULT 'NOT NULL'", "a text"),
        ("a int", "a int"),
    ],
)
def test_a_default_is_cut_out_whole(item: str, expected: str) -> None:
    assert definition.with_default(item, None) == expected


def test_commas_inside_of_parentheses_and_strings_part_nothing() -> None:
    assert definition.items("a int CHECK (a IN (1, 2)), b text DEFAULT 'x,y', c numeric(3, 2)") == [
        "a int CHECK (a IN (1, 2))", "b text DEFAULT 'x,y'", "c numeric(3, 2)",
    ]  # fmt: skip
