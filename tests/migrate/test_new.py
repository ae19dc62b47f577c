"""`new`: what names and fields mean, and that every body runs on its engine, goes back, and runs again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from senior_backend.console.errors import InputError
from senior_backend.migrate import fields, files, naming
from senior_backend.migrate.known import known_tables
from senior_backend.migrate.statements import Engine
from senior_backend.migrate.writer import write
from tests.migrate.support import DOOR, call

TABLES = {"users": {"id": "bigint", "name": "text"}, "roles": {"id": "bigint"}, "order_items": {"id": "bigint"}}


@pytest.fixture
def tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.chdir(tmp_path)
    return lambda *arguments: call(capsys, *arguments)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("create_users", [("create-table", "users")]),
        ("create_users_table", [("create-table", "users")]),
        ("add_role_to_users", [("add-columns", "users")]),
        ("add_role_and_age_to_order_items", [("add-columns", "order_items")]),
        ("remove_name_from_users", [("remove-columns", "users")]),
        ("add_index_on_users_name", [("add-index", "users")]),
        ("add_index_to_order_items_on_id", [("add-index", "order_items")]),
        ("add_name_index_to_users", [("add-index", "users")]),
        ("add_unique_index_on_users_name", [("add-index", "users")]),
        ("remove_index_from_users_name", [("remove-index", "users")]),
        ("drop_index_on_users_name", [("remove-index", "users")]),
        ("rename_name_to_label_in_users", [("rename-column", "users")]),
        ("rename_users_to_people", [("rename-table", "users")]),
        ("drop_users", [("drop-table", "users")]),
        ("create_join_table_users_roles", [("join-table", "user_roles")]),
        ("create_users_order_items_join_table", [("join-table", "user_order_items")]),
        ("add_user_roles", [("join-table", "user_roles")]),
        ("add_user_badges", [("create-table", "user_badges"), ("add-columns", "users")]),
        ("tidy_up", [("blank", "")]),
    ],
)
def test_a_name_means_one_thing_or_offers_its_readings(name: str, expected: list[tuple[str, str]]) -> None:
    found = naming.read_name(name, (), TABLES)
    assert [(one.intent.kind, one.intent.table) for one in found] == expected


def test_the_columns_of_a_name_are_those_of_the_catalogue() -> None:
    (found,) = naming.read_name("add_index_on_order_items_id", (), TABLES)
    assert (found.intent.columns, found.intent.draft) == (("id",), False)
    (guessed,) = naming.read_name("add_index_on_order_items_unit_price", (), None)
    assert (guessed.intent.draft, len(guessed.intent.assumptions)) == (True, 1)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("role", "role text"),
        ("role:string", "role text"),
        ("role:string{30}!=member:index", "role varchar(30) NOT NULL DEFAULT 'member'"),
        ("note:text='it''s: ok'", "note text DEFAULT 'it''s: ok'"),
        ("total:decimal{10,2}", "total numeric(10,2)"),
        ("age:int!=0", "age integer NOT NULL DEFAULT 0"),
        ("on:boolean!=false", '"on" boolean NOT NULL DEFAULT false'),
        ("seen_at", "seen_at timestamptz"),
        ("seen:datetime=now", "seen timestamptz DEFAULT now()"),
        ("user:references", "user_id bigint"),
        ("user_id", "user_id bigint"),
        ("quote:string=a;b", "quote text DEFAULT 'a;b'"),
    ],
)
def test_fields_become_columns(text: str, expected: str) -> None:
    (field,) = fields.parse_fields([text])
    parts = write("add_x_to_roles", naming.Intent("add-columns", "roles", (field,)), "postgresql", TABLES)
    assert f"ALTER TABLE roles ADD COLUMN {expected}" in parts[0].up


@pytest.mark.parametrize(
    "text",
    ["", "1a", "a:strng", "a:string{x}", "a:text{3}", "a:int=x", "a:boolean=maybe", "a:references{x;y}",
     "a:string:indx", "a b", "a;DROP TABLE users", "a:datetime=tomorrow", "a:decimal{1,2,3}"],
)  # fmt: skip
def test_bad_fields_are_told_and_never_become_ddl(tool: Any, text: str) -> None:
    result = tool("new", "add_a_to_users", text)
    assert (result.code, set(result.codes)) == (2, {"bad-field"})
    assert not Path("db").exists()


@pytest.mark.parametrize(
    "name", ["", "a b", "../x", "add_x_to_users; DROP TABLE users", "x" * 101, "1abc", "a__b", "é"]
)
def test_bad_names_are_told_and_nothing_is_written(tool: Any, name: str) -> None:
    result = tool("new", name)
    assert (result.code, result.codes) == (2, ["bad-name"])
    assert not Path("db").exists()


@given(st.text(max_size=40), st.text(alphabet="a_:{}!='\\;,-1 ", max_size=30))
def test_nothing_that_people_type_gets_out_of_its_place(name: str, field: str) -> None:
    try:
        intent = naming.read_name(naming.snake(name), fields.parse_fields([field]), None)[0].intent
        parts = write("x", intent, "mysql", None)
    except InputError:
        return
    from senior_backend.migrate.statements import split

    for part in parts:
        for statement in (*part.up, *part.down):
            assert len(split(statement, "mysql")) == 1, statement


def test_without_a_catalogue_the_name_of_the_readme_becomes_a_draft(tool: Any) -> None:
    result = tool("--name", "add_user_roles")
    assert (result.code, result.codes, result.data["draft"]) == (0, ["draft"], True)
    text = result.data["files"][0]["content"]
    assert "CREATE TABLE user_roles" in text
    assert "assumed" in text
    assert "add_role_to_users" in text, "the alternative is not named"
    assert tool("up").codes == ["draft"]


def test_an_ambiguous_name_writes_nothing_until_one_reading_is_chosen(tool: Any) -> None:
    tool("new", "create_users")
    result = tool("--name", "add_user_roles")
    assert (result.code, [one["choice"] for one in result.data["candidates"]]) == (3, ["table", "column"])
    assert len(list(Path("db/migrations").iterdir())) == 1
    assert tool("new", "add_user_roles", "--choose", "colum").codes == ["unknown-choice"]
    assert "ADD COLUMN role text" in tool("new", "add_user_roles", "--choose", "column").data["files"][0]["content"]


def test_what_does_not_fit_the_tables_is_refused(tool: Any) -> None:
    tool("new", "create_users", "name:string")
    tool("up")
    wrong = "create_users add_name_to_users add_x_to_user remove_nam_from_users rename_x_to_y_in_users drop_people"
    for name in (*wrong.split(), "add_index_on_users_nam"):
        assert tool("new", name).codes == ["catalogue-mismatch"], name
    assert tool("new", "add_boss_to_users", "boss:references{people}").codes == ["catalogue-mismatch"]
    assert len(list(Path("db/migrations").iterdir())) == 1


def test_versions_go_on_in_their_own_style(tool: Any) -> None:
    Path("m").mkdir()
    Path("m/0009_old.sql").write_text("-- migrate:up\nCREATE TABLE old (id int);\n")
    assert Path(tool("new", "create_a", "-d", "m").data["files"][0]["path"]).name == "0010_create_a.sql"
    first, second = (tool("new", f"create_{name}").data["files"][0]["path"] for name in "ab")
    assert second > first, "two calls within a second"
    assert files.versions(Path("db/migrations"))[0].startswith("20")


def test_a_dry_run_writes_nothing(tool: Any) -> None:
    assert tool("new", "create_users", "--dry-run").data["files"]
    assert not Path("db").exists()


def test_a_required_column_without_a_value_is_a_draft_or_refused(tool: Any) -> None:
    tool("new", "create_users")
    assert tool("new", "add_role_to_users", "role:string!").codes == ["draft"]
    assert tool("new", "add_boss_to_users", "boss:references{users}!").codes == ["needs-value"]


def test_an_unreachable_server_is_no_reason_not_to_write(tool: Any) -> None:
    result = tool("new", "create_users", "--database-url", "postgresql://nobody@127.0.0.1:9/none")
    assert (result.code, result.codes) == (0, ["database-unavailable"])
    assert "GENERATED ALWAYS AS IDENTITY" in result.data["files"][0]["content"]


CALLS = (
    ["create_users", "name:string{50}!", "email:string{100}:unique", "balance:decimal{10,2}", "seen_at", "data:json"],
    ["create_roles", "name:string{50}!=x:index", "active:boolean!=true"],
    ["add_user_roles"],
    ["add_role_to_users", "role:string{30}!=member:index", "boss:references{users}"],
    ["add_index_on_users_name"],
    ["add_unique_index_on_roles_name"],
    ["remove_index_on_users_name"],
    ["create_order", "user:references!", "group:string{20}", "key:integer"],
    ["remove_balance_from_users"],
    ["rename_roles_to_groups"],
    ["drop_order"],
)


def apply_all(tool: Any, url: str) -> None:
    """Write and apply every kind of migration, take all of it back, and apply it again."""
    target = ["--database-url", url]
    for words in CALLS:
        result = tool("new", *words, *target)
        assert result.code == 0, (words, result.report)
        assert not result.data["draft"], words
        plan = tool("plan", "--after-deploy", *target)
        lint = [one for one in plan.report["findings"] if one["severity"] == "error"]
        assert words[0].startswith(("remove", "rename", "drop")) or not lint, (words, lint)
        token = ["--token", plan.data["token"]] if plan.data["token_needed"] else []
        assert tool("up", "--after-deploy", *token, *target).code == 0, words
    (tidy,) = Path("db/migrations").glob("*_drop_order.sql")
    assert tool("down", *target).codes == ["irreversible"]
    tidy.write_text(tidy.read_text().partition("-- migrate:down")[0] + "-- migrate:down\nSELECT 1;\n")
    (table,) = Path("db/migrations").glob("*_create_order.sql")
    table.write_text(table.read_text().replace("DROP TABLE", "DROP TABLE IF EXISTS"))
    for word in ("down", "up"):
        extra = ["--to", "0"] if word == "down" else ["--after-deploy"]
        plan = tool("plan", *(["--down"] if word == "down" else []), *extra, *target)
        token = ["--token", plan.data["token"]] if plan.data["token_needed"] else []
        result = tool(word, *extra, *token, *target)
        assert result.code == 0, result.report
    assert tool("verify", *target).code == 0


def test_every_kind_runs_and_goes_back_on_sqlite(tool: Any, tmp_path: Path) -> None:
    apply_all(tool, f"sqlite:{tmp_path / 'app.db'}")


@pytest.mark.slow
def test_every_kind_runs_and_goes_back_on_postgresql(tool: Any, postgresql_url: str) -> None:
    apply_all(tool, postgresql_url)


@pytest.mark.slow
def test_every_kind_runs_and_goes_back_on_mariadb(tool: Any, mariadb_url: str) -> None:
    apply_all(tool, mariadb_url)


@pytest.mark.parametrize(
    ("engine", "texts", "expected"),
    [
        ("postgresql", ['CREATE TABLE IF NOT EXISTS s."Users" (id bigint PRIMARY KEY, price numeric(10, 2) NOT NULL)'],
         {"Users": {"id": "bigint", "price": "numeric(10,2)"}}),
        ("mysql", ["CREATE TABLE `a` (`id` int unsigned NOT NULL AUTO_INCREMENT, KEY k (id), PRIMARY KEY (id))"],
         {"a": {"id": "int unsigned"}}),
        ("sqlite", ["CREATE TABLE a (x)", "ALTER TABLE a ADD y text", "ALTER TABLE a RENAME COLUMN y TO z",
                    "ALTER TABLE a DROP COLUMN x", "ALTER TABLE a RENAME TO b", "CREATE TABLE c (x)", "DROP TABLE c"],
         {"b": {"z": "text"}}),
        ("mysql", ["CREATE TABLE a (x int)", "ALTER TABLE a ADD COLUMN y int AFTER x, ADD INDEX i (y), DROP COLUMN x",
                   "RENAME TABLE a TO b"], {"b": {"y": "int"}}),
        ("postgresql", ["CREATE TABLE a AS SELECT 1", "garbage ( (", "CREATE TABLE", "ALTER TABLE"], {"a": {}}),
    ],
)  # fmt: skip
def test_tables_are_known_from_earlier_statements(engine: Engine, texts: list[str], expected: Any) -> None:
    found = known_tables({}, texts, engine)
    found.pop("", None)
    assert found == expected


def test_the_script_works_on_bare_python_from_an_empty_folder(tmp_path: Path) -> None:
    for arguments in (["--name", "add_user_roles"], ["status"]):
        done = subprocess.run(
            [sys.executable, "-E", "-S", str(DOOR), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
    (path,) = (tmp_path / "db" / "migrations").iterdir()
    assert path.name.endswith("_add_user_roles.sql")
