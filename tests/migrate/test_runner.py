"""Plan, up, down, status, verify and baseline on SQLite, and what all engines share."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from senior_backend.migrate import probes
from senior_backend.migrate.databases.urls import parse_url
from tests.migrate.support import Result, call, write_migrations

USERS = "-- migrate:up\nCREATE TABLE users (id integer PRIMARY KEY, name text);\n-- migrate:down\nDROP TABLE users;\n"
EMAIL = (
    "-- migrate:up\nALTER TABLE users ADD COLUMN email text;\nCREATE INDEX users_email ON users (email);\n"
    "-- migrate:down\nDROP INDEX users_email;\nALTER TABLE users DROP COLUMN email;\n"
)


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: call(capsys, *arguments)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_migrations(tmp_path / "db" / "migrations", {"1_users": USERS, "2_email": EMAIL})


def rows(text: str, *, database: str = "db/database.sqlite3") -> list[tuple[Any, ...]]:
    connection = sqlite3.connect(database)
    try:
        found = connection.execute(text).fetchall()
        connection.commit()
        return found
    finally:
        connection.close()


def test_up_and_down_go_through_the_states_that_status_shows(tool: Any, folder: Path) -> None:
    assert [row["state"] for row in tool("status").data["migrations"]] == ["pending", "pending"]
    assert not Path("db/database.sqlite3").exists(), "status made a database"
    assert tool("up", "--to", "1").data["finished"][0]["version"] == "1"
    assert [row["state"] for row in tool("status").data["migrations"]] == ["applied", "pending"]
    assert tool("up").code == 0
    assert rows("SELECT version FROM schema_migrations ORDER BY 1") == [("1",), ("2",)]
    assert tool("verify").code == 0
    assert tool("up").data["finished"] == []
    down = tool("down")
    assert [one["version"] for one in down.data["finished"]] == ["2"]
    assert rows("SELECT name FROM pragma_table_info('users')") == [("id",), ("name",)]
    assert tool("verify").codes == ["pending"]


def test_schema_migrations_is_that_of_dbmate(tool: Any, folder: Path) -> None:
    tool("up")
    assert rows("SELECT name, type, pk FROM pragma_table_info('schema_migrations')") == [("version", "varchar(128)", 1)]


def test_a_database_of_dbmate_is_taken_over(tool: Any, folder: Path) -> None:
    Path("db").mkdir(exist_ok=True)
    rows("CREATE TABLE schema_migrations (version varchar(128) primary key)")
    rows("INSERT INTO schema_migrations VALUES ('1')")
    rows("CREATE TABLE users (id integer PRIMARY KEY, name text)")
    assert [one["version"] for one in tool("up").data["finished"]] == ["2"]
    assert "no-checksum" in tool("verify").codes
    assert tool("baseline", "--only", "1").code == 0
    assert tool("verify").codes == []


def test_a_failing_statement_rolls_its_file_back_and_names_its_place(tool: Any, folder: Path) -> None:
    write_migrations(folder, {"3_bad": "CREATE TABLE a (x int);\n  INSERT INTO nowhere VALUES (1);"})
    result = tool("up")
    assert result.code == 1
    finding = result.report["findings"][-1]
    assert finding["code"] == "statement-failed"
    assert finding["where"].endswith("3_bad.sql:3:3")
    assert [one["version"] for one in result.data["finished"]] == ["1", "2"]
    assert rows("SELECT 1 FROM sqlite_master WHERE name = 'a'") == []
    (folder / "3_bad.sql").write_text("-- migrate:up\nCREATE TABLE a (x int);\n")
    assert [one["version"] for one in tool("up").data["finished"]] == ["3"]


def test_destroying_rows_needs_the_token_of_exactly_this_plan(tool: Any, folder: Path) -> None:
    tool("up", "--to", "1")
    assert tool("down").code == 0, "an empty table is no loss"
    tool("up", "--to", "1")
    rows("INSERT INTO users (name) VALUES ('ada')")
    assert (tool("down").code, tool("down").codes) == (5, ["token-needed"])
    plan = tool("plan", "--down")
    assert plan.data["token_needed"]
    assert tool("down", "--token", "0" * 16).codes == ["wrong-token"]
    tool("up")
    assert tool("down", "--to", "0", "--token", plan.data["token"]).codes == ["wrong-token"], "the plan has changed"
    assert rows("SELECT name FROM users") == [("ada",)]
    token = tool("plan", "--down", "--to", "0").data["token"]
    result = tool("down", "--to", "0", "--token", token)
    assert result.code == 0
    assert rows("SELECT name FROM users", database=result.data["backup"]) == [("ada",)], "the backup has the rows"


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE users", "DELETE FROM users WHERE id = 1", "UPDATE users SET name = 'x'",
        "ALTER TABLE users DROP COLUMN name", "WITH x AS (SELECT 1) DELETE FROM users",
    ],
)  # fmt: skip
def test_destructive_statements_of_up_need_the_token(tool: Any, folder: Path, statement: str) -> None:
    tool("up")
    write_migrations(folder, {"3_bad": statement})
    assert tool("up").codes == ["token-needed"]
    plan = tool("plan")
    assert "destructive" in plan.codes
    assert tool("up", "--token", plan.data["token"]).code == 0


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TABLE deletes (x int)",
        "UPDATE users SET name = 'x' WHERE id = 0",
        "INSERT INTO users (name) VALUES ('DROP TABLE users')",
        "CREATE TRIGGER t AFTER INSERT ON users BEGIN DELETE FROM users; END",
    ],
)
def test_harmless_statements_need_no_token(tool: Any, folder: Path, statement: str) -> None:
    write_migrations(folder, {"3_good": statement})
    assert tool("up").code == 0


def test_drafts_are_refused_before_anything_runs(tool: Any, folder: Path) -> None:
    write_migrations(folder, {"3_draft": "-- db_migrate: draft\n-- migrate:up\nCREATE TABLE a (x int);\n"})
    result = tool("up")
    assert (result.code, result.codes) == (5, ["draft"])
    assert not Path("db/database.sqlite3").exists()
    assert tool("up", "--to", "2").code == 0


def test_files_after_a_deploy_wait_for_it(tool: Any, folder: Path) -> None:
    write_migrations(folder, {"3_contract": "-- db_migrate: after-deploy\n-- migrate:up\nCREATE TABLE a (x int);\n",
                              "4_later": "CREATE TABLE b (x int)"})  # fmt: skip
    result = tool("up")
    assert (result.code, result.data["held"]) == (0, ["3", "4"])
    assert [one["version"] for one in tool("up", "--after-deploy").data["finished"]] == ["3", "4"]


def test_edits_of_applied_files_are_refused_and_can_be_accepted(tool: Any, folder: Path) -> None:
    tool("up")
    (folder / "1_users.sql").write_text(USERS.replace("\n", "\r\n"))
    assert tool("verify").code == 0, "line ends are no edit"
    (folder / "1_users.sql").write_text(USERS.replace("DROP TABLE users", "DROP TABLE users -- really"))
    assert tool("verify").code == 0, "the way back may be repaired"
    (folder / "1_users.sql").write_text(USERS.replace("name text", "name text NOT NULL"))
    write_migrations(folder, {"3_more": "CREATE TABLE a (x int)"})
    assert (tool("up").code, tool("status").codes) == (5, ["edited"])
    assert rows("SELECT 1 FROM sqlite_master WHERE name = 'a'") == []
    assert tool("baseline", "--only", "1").code == 0
    assert tool("up").code == 0


def test_late_files_need_the_token(tool: Any, folder: Path) -> None:
    tool("up")
    write_migrations(folder, {"15_late": "CREATE TABLE a (x int)"})
    assert tool("status").codes == ["out-of-order"]
    assert tool("up").codes == ["token-needed"]
    assert tool("up", "--token", tool("plan").data["token"]).code == 0


def test_a_missing_file_is_told(tool: Any, folder: Path) -> None:
    tool("up")
    (folder / "2_email.sql").unlink()
    assert (tool("status").code, tool("status").codes) == (1, ["missing-file"])
    assert tool("down").codes == ["missing-file"]


def test_there_is_no_way_back_where_none_is_written(tool: Any, folder: Path) -> None:
    write_migrations(folder, {"3_one_way": "CREATE TABLE a (x int)"})
    tool("up")
    assert (tool("down").code, tool("down").codes) == (5, ["irreversible"])
    (folder / "3_one_way.sql").write_text(
        "-- migrate:up\nCREATE TABLE a (x int)\n-- migrate:down\n-- db_migrate: irreversible no copy is kept\n"
    )
    assert tool("down").codes == ["irreversible"]


@pytest.mark.parametrize(
    ("text", "code", "line"),
    [
        ("hello world, this is no SQL", "not-sql", 2),
        ("CREATE TABLE a (x int);\nCRATE TABLE b (x int)", "not-sql", 3),
        ("CREATE TABLE a (x text DEFAULT 'oops)", "unterminated-quote", 2),
        ("BEGIN;\nCREATE TABLE a (x int);\nCOMMIT", "transaction-control", 2),
        ("", "empty-migration", 1),
        ("-- nothing\n", "empty-migration", 1),
        ("-- migrate:up transaktion:false\nCREATE TABLE a (x int)", "bad-migration-file", 1),
        ("-- migrate:down\n-- migrate:up\nCREATE TABLE a (x int)", "bad-migration-file", 1),
        ("SELECT 1;\n-- migrate:up\nCREATE TABLE a (x int)", "bad-migration-file", 1),
        ("-- db_migrate: drft\n-- migrate:up\nCREATE TABLE a (x int)", "unknown-directive", 1),
        ("CREATE TABLE a (x int);\n\0", "binary-file", 3),
    ],
)
def test_bad_files_are_told_with_their_place_and_nothing_runs(
    tool: Any, folder: Path, text: str, code: str, line: int
) -> None:
    write_migrations(folder, {"3_bad": text, "4_also_bad": "rubbish"})
    result = tool("up")
    assert (result.code, result.codes[0]) == (2, code)
    assert f"3_bad.sql:{line}:" in result.report["findings"][0]["where"]
    assert not Path("db/database.sqlite3").exists()


def test_all_problems_are_told_at_once(tool: Any, folder: Path) -> None:
    write_migrations(folder, {"3_bad": "rubbish; more rubbish", "4_bad": "COMMIT", "2_again": "SELECT 1"})
    assert tool("up").codes == ["duplicate-version"]
    (folder / "2_again.sql").unlink()
    assert tool("up").codes == ["not-sql", "not-sql", "transaction-control"]


def test_binary_and_odd_files(tool: Any, folder: Path) -> None:
    (folder / "3_bad.sql").write_bytes(b"-- migrate:up\nSELECT '\xff\xfe';")
    result = tool("up")
    assert (result.code, result.codes) == (2, ["binary-file"])
    assert result.report["findings"][0]["where"].endswith("3_bad.sql:2:9")
    (folder / "3_bad.sql").unlink()
    (folder / "notes.sql").write_text("SELECT 1")
    assert tool("status").codes == ["ignored-file"]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["status", "--database-url", "oracle://x/y"], "bad-database-url"),
        (["status", "--database-url", "postgres:/x"], "bad-database-url"),
        (["status", "--database-url", "postgresql://host:port/x"], "bad-database-url"),
        (["status", "--database-url", "nonsense"], "bad-database-url"),
        (["up", "--database-url", "sqlite::memory:"], "bad-database-url"),
        (["status", "--migrations-dir", "nowhere"], "no-migrations"),
        (["up", "--to", "7"], "unknown-version"),
        (["up", "--lock-timeout", "soon"], "usage"),
        (["down", "--steps", "0"], "usage"),
        (["upp"], "usage"),
        ([], "usage"),
    ],
)
def test_wrong_calls_do_nothing(tool: Any, folder: Path, arguments: list[str], code: str) -> None:
    result = tool(*arguments)
    assert (result.code, result.codes) == (2, [code])
    assert not Path("db/database.sqlite3").exists()


def test_a_file_that_is_no_database_is_left_alone(tool: Any, folder: Path) -> None:
    Path("db/database.sqlite3").write_text("this is a letter to my aunt, not a database " * 30)
    for command in ("status", "up", "verify"):
        assert (tool(command).code, tool(command).codes) == (4, ["database-unavailable"])
    assert Path("db/database.sqlite3").read_text().startswith("this is a letter")


def test_a_rebuild_keeps_children_and_a_broken_one_is_rolled_back(tool: Any, folder: Path) -> None:
    posts = "CREATE TABLE posts (id integer PRIMARY KEY, user_id integer REFERENCES users (id) ON DELETE CASCADE)"
    data = "INSERT INTO users (id, name) VALUES (1, 'ada'), (2, 'bob');INSERT INTO posts VALUES (1, 1), (2, 2)"
    write_migrations(folder, {"3_posts": posts, "4_rows": data})
    assert tool("up").code == 0
    rebuild = (
        "CREATE TABLE users_new (id integer PRIMARY KEY, name text NOT NULL, email text);"
        "INSERT INTO users_new SELECT id, name, email FROM users{};DROP TABLE users;"
        "ALTER TABLE users_new RENAME TO users"
    )
    write_migrations(folder, {"5_rebuild": rebuild.format(" WHERE id = 1")})
    result = tool("up", "--token", tool("plan").data["token"])
    assert (result.code, result.codes[0]) == (1, "broken-references")
    assert rows("SELECT count(*) FROM users") == [(2,)]
    write_migrations(folder, {"5_rebuild": rebuild.format("")})
    result = tool("up", "--token", tool("plan").data["token"])
    assert result.code == 0
    assert rows("SELECT count(*) FROM posts JOIN users ON users.id = user_id") == [(2,)]


def test_foreign_pragmas_of_a_file_do_not_outlive_it(tool: Any, folder: Path) -> None:
    write_migrations(folder, {"3_pragma": "-- migrate:up transaction:false\nPRAGMA foreign_keys = ON;\nVACUUM;\n"})
    assert tool("up").code == 0
    assert tool("status").code == 0


@pytest.mark.parametrize(
    ("table", "tool_name"),
    [
        ("alembic_version (version_num text)", "Alembic"),
        ("django_migrations (id int)", "Django"),
        ("_prisma_migrations (id text)", "Prisma"),
        ("schema_migrations (version bigint, dirty boolean)", "golang-migrate"),
    ],
)
def test_a_database_with_another_runner_gets_no_second_one(tool: Any, folder: Path, table: str, tool_name: str) -> None:
    rows(f"CREATE TABLE {table}")
    result = tool("up")
    assert (result.code, result.codes) == (5, ["other-tool"])
    assert tool_name in result.report["summary"]
    assert rows("SELECT count(*) FROM sqlite_master WHERE name = '_db_migrate_ledger'") == [(0,)]
    if tool_name == "Alembic":
        rows("CREATE TABLE users (id integer PRIMARY KEY, name text)")
        assert tool("baseline", "1").code == 0
        assert [one["version"] for one in tool("up").data["finished"]] == ["2"]


def test_nothing_is_copied_where_there_is_nothing_to_lose(tool: Any, folder: Path) -> None:
    tool("up")
    assert tool("down").data["backup"] is None
    rows("INSERT INTO users (name) VALUES ('ada')")
    result = tool("down", "--token", tool("plan", "--down").data["token"])
    assert (result.code, Path(result.data["backup"]).is_file()) == (0, True)


@pytest.mark.parametrize(
    ("engine", "version", "warned"),
    [("mysql", (5, 7, 44), True), ("mysql", (8, 0, 36), False), ("mariadb", (10, 5, 1), True),
     ("mariadb", (10, 6, 0), False), ("postgresql", (9, 6), False)],
)  # fmt: skip
def test_servers_without_atomic_ddl_are_told(engine: str, version: tuple[int, ...], *, warned: bool) -> None:
    server: Any = SimpleNamespace(engine=engine, version=version, address=parse_url("mysql://h/x"))
    assert bool(probes.cautions(server)) is warned


def test_applying_many_files_reports_each_and_keeps_their_order(tool: Any, tmp_path: Path) -> None:
    write_migrations(Path("db/migrations"), {f"{n:04}_t": f"CREATE TABLE t{n} (x int)" for n in range(1, 61)})
    result: Result = tool("up")
    assert [one["version"] for one in result.data["finished"]] == [f"{n:04}" for n in range(1, 61)]
