"""`rewrite` and `rehearse` in projects that have another migration tool: what its adapter reads is measured."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from senior_backend.migrate.cli import main
from senior_backend.migrate.rehearse import scripts

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from senior_backend.migrate.rehearse.model import Script, Step
    from senior_backend.migrate.statements import Engine

ENVIRONMENT = """\
from alembic import context

context.configure(url="postgresql://db.example/shop", literal_binds=True)
with context.begin_transaction():
    context.run_migrations()
"""
REVISION = """\
from alembic import op

revision = "{revision}"
down_revision = {parent!r}


def upgrade() -> None:
    op.execute({up!r})


def downgrade() -> None:
    pass
"""

PROJECTS = Path(__file__).parents[1] / "fixtures"


@pytest.fixture
def call(capsys: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Run the tool in `tmp_path` and return its exit code and report."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        code = main([*arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def alembic_project(folder: Path, *statements: str) -> None:
    """Make an Alembic project whose revisions 0001, 0002, … execute one statement each."""
    versions = folder / "alembic" / "versions"
    versions.mkdir(parents=True)
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = alembic\n")
    (folder / "alembic" / "env.py").write_text(ENVIRONMENT)
    for number, up in enumerate(statements, 1):
        parent = f"{number - 1:04}" if number > 1 else None
        text = REVISION.format(revision=f"{number:04}", parent=parent, up=up)
        (versions / f"{number:04}_step.py").write_text(text)


@pytest.mark.service("postgresql")
def test_the_newest_migration_of_another_tool_is_rehearsed_behind_the_others(
    call: Any, tmp_path: Path, postgresql_server: str
) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    for name, text in (
        ("000001_users", "CREATE TABLE users (id bigint PRIMARY KEY, name text);"),
        ("000002_code", "ALTER TABLE users ADD COLUMN code bigserial;"),
    ):
        (folder / f"{name}.up.sql").write_text(text)
    (folder / "000002_code.down.sql").write_text("ALTER TABLE users DROP COLUMN code;")
    code, report = call("rehearse", "--scratch-url", postgresql_server, "--rows", "2000")
    assert code == 1, report
    assert [one["text"] for one in report["data"]["statements"]] == ["ALTER TABLE users ADD COLUMN code bigserial"]
    assert (report["data"]["down"], report["data"]["again"]) == ("same", "same")
    assert "work-under-lock" in {finding["code"] for finding in report["findings"]}


@pytest.mark.service("postgresql")
def test_a_revision_of_alembic_is_rewritten_and_what_replaces_it_holds(
    call: Any, tmp_path: Path, postgresql_server: str
) -> None:
    alembic_project(
        tmp_path, "CREATE TABLE users (id bigint PRIMARY KEY)", "ALTER TABLE users ADD COLUMN code bigserial"
    )
    revision = "alembic/versions/0002_step.py"
    scratch = ("--scratch-url", postgresql_server, "--rows", "2000")
    code, report = call("rehearse", revision, *scratch)
    assert code == 1, report
    code, report = call("rewrite", "--engine", "postgresql")
    assert code == 0, report
    assert {finding["code"] for finding in report["findings"]} == {"rendered"}
    assert not (tmp_path / "alembic/versions/0001_step.rewritten").exists()
    code, report = call("rehearse", "alembic/versions/0002_step.rewritten", *scratch)
    assert code == 0, report
    assert any("CREATE SEQUENCE" in one["text"] for one in report["data"]["statements"])


def test_an_engine_that_the_project_is_not_written_for_is_refused(call: Any, tmp_path: Path) -> None:
    alembic_project(tmp_path, "CREATE TABLE users (id bigint PRIMARY KEY)")
    code, report = call("rehearse", "--engine", "sqlite")
    assert code == 2
    assert [finding["code"] for finding in report["findings"]] == ["other-engine"]


TOOLS = {
    "golang-migrate": {
        "1_users.up.sql": "CREATE TABLE users (id integer PRIMARY KEY);",
        "2_code.up.sql": "BEGIN;\nALTER TABLE users ADD COLUMN code text;\nCOMMIT;",
        "2_code.down.sql": "-- back\nBEGIN;\n{down}COMMIT;",
    },
    "goose": {
        "1_users.sql": "-- +goose Up\nCREATE TABLE users (id integer PRIMARY KEY);",
        "2_code.sql": "-- +goose Up\nALTER TABLE users ADD COLUMN code text;\n-- +goose Down\n{down}",
    },
    "sqitch": {
        "sqitch.plan": "%project=shop\n\nusers 2024-01-01T00:00:00Z a <a@b.example>\n"
        "code [users] 2024-01-02T00:00:00Z a <a@b.example>\n",
        "deploy/users.sql": "BEGIN;\nCREATE TABLE users (id integer PRIMARY KEY);\nCOMMIT;",
        "deploy/code.sql": "BEGIN;\nALTER TABLE users ADD COLUMN code text;\nCOMMIT;",
        "revert/code.sql": "BEGIN;\n{down}COMMIT;",
    },
    "flyway": {
        "V1__users.sql": "CREATE TABLE users (id integer PRIMARY KEY);",
        "V2__code.sql": "ALTER TABLE users ADD COLUMN code text;",
        "U2__code.sql": "{down}",
    },
    "liquibase": {
        "1_users.sql": "--liquibase formatted sql\n--changeset a:1\nCREATE TABLE users (id integer PRIMARY KEY);",
        "2_code.sql": "--liquibase formatted sql\n--changeset a:2\nALTER TABLE users ADD COLUMN code text;\n"
        "--rollback {down}",
    },
    "dbmate": {
        "1_users.sql": "-- migrate:up\nCREATE TABLE users (id integer PRIMARY KEY);",
        "2_code.sql": "-- migrate:up\nALTER TABLE users ADD COLUMN code text;\n-- migrate:down\n{down}",
    },
}


@pytest.mark.parametrize("name", TOOLS)
def test_the_way_down_of_another_tool_is_that_of_its_migration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    def written(down: str) -> Script:
        for file, text in TOOLS[name].items():
            path = tmp_path / ("" if name == "sqitch" else "migrations") / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text.replace("{down}", down))
        return scripts.choose([], Path("db/migrations"), None, "postgresql").rehearsed[-1][0]

    def work(steps: Sequence[Step], *, transactional: bool) -> list[tuple[list[str], bool]]:
        groups = scripts.groups(steps, "postgresql", transactional=transactional)
        return [([step.text for step in group], together) for group, together in groups]

    monkeypatch.chdir(tmp_path)
    found = written("ALTER TABLE users DROP COLUMN code;\n")
    assert work(found.up, transactional=found.transactional) == [(["ALTER TABLE users ADD COLUMN code text"], True)]
    back = work(found.down or (), transactional=found.down_transactional)
    assert back == [(["ALTER TABLE users DROP COLUMN code"], True)]
    if name != "dbmate":
        assert written("").down is None, "a file without a statement leads nowhere"


ROLLBACKS = {
    "several lines": (
        "--rollback DROP TABLE a\n--rollback ;\n--rollback DROP TABLE b;",
        ["DROP TABLE a", "DROP TABLE b"],
    ),
    "a block": ("/* liquibase rollback\nDROP TABLE a;\nDROP TABLE b;\n*/", ["DROP TABLE a", "DROP TABLE b"]),
    "empty": ("--rollback empty", None),
    "not required": ("-- rollback not required", None),
    "none": ("-- a comment about rollback", None),
}


@pytest.mark.parametrize("name", ROLLBACKS)
def test_what_liquibase_rolls_back_is_read_at_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "migrations").mkdir()
    text, expected = ROLLBACKS[name]
    head = "--liquibase formatted sql\n--changeset a:1\nCREATE TABLE a (id int); CREATE TABLE b (id int);\n"
    (tmp_path / "migrations" / "1.sql").write_text(head + text)
    (script, _) = scripts.choose([], Path("db/migrations"), None, "postgresql").rehearsed[0]
    assert (None if script.down is None else [one.text for one in script.down]) == expected
    assert script.unknown_down is None
    if script.down:
        lines = (head + text).splitlines()
        assert [lines[one.line - 1][one.column - 1 :].startswith("DROP TABLE") for one in script.down] == [True, True]


def test_a_rollback_of_another_changeset_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "changelog").mkdir()
    (tmp_path / "changelog" / "1.sql").write_text(
        "--liquibase formatted sql\n--changeset a:1\nSELECT 1;\n--rollback changesetId:0 changesetAuthor:a"
    )
    (script, _) = scripts.choose([], Path("db/migrations"), None, "postgresql").rehearsed[0]
    assert script.down is None
    assert script.unknown_down == "its --rollback runs another changeset"


def downs(root: Path, engine: Engine) -> dict[str, Script]:
    chosen = scripts.choose([root], Path("db/migrations"), None, engine)
    return {Path(one.file).name[:4]: one for one, _ in chosen.rehearsed}


def test_alembic_prints_the_way_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    alembic_project(tmp_path, "CREATE TABLE users (id int)", "SELECT 1", "ALTER TABLE users ADD COLUMN code int")
    versions = tmp_path / "alembic" / "versions"
    for name, back in (("0001", "op.drop_table('users')"), ("0003", "op.drop_column('users', 'code')")):
        path = versions / f"{name}_step.py"
        path.write_text(path.read_text().replace("    pass", f"    {back}"))
    found = downs(tmp_path, "postgresql")
    assert {name: [step.text for step in one.down or ()] for name, one in found.items()} == {
        "0001": ["DROP TABLE users"], "0002": [], "0003": ["ALTER TABLE users DROP COLUMN code"],
    }  # fmt: skip
    assert (found["0002"].down, found["0002"].unknown_down) == (None, None)
    (versions / "0002_step.py").write_text(
        (versions / "0002_step.py").read_text().replace("    pass", "    raise NotImplementedError('no way')")
    )
    found = downs(tmp_path, "postgresql")
    assert [step.text for step in found["0003"].down or ()] == ["ALTER TABLE users DROP COLUMN code"]
    assert found["0002"].down is found["0001"].down is None
    assert "stops at 0002: NotImplementedError: no way" in (found["0001"].unknown_down or "")


def test_django_prints_the_way_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(PROJECTS / "django", tmp_path / "project")
    start = "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n"
    for number, operation in ((2, "'SELECT 2', reverse_sql='SELECT 3'"), (3, "'SELECT 4'")):
        parent = "0001_initial" if number == 2 else f"{number - 1:04}_a"
        (tmp_path / "project" / "people" / "migrations" / f"{number:04}_a.py").write_text(
            f"{start}    dependencies = [('people', '{parent}')]\n    operations = [migrations.RunSQL({operation})]\n"
        )
    monkeypatch.chdir(tmp_path / "project")
    found = downs(tmp_path / "project", "sqlite")
    assert [step.text for step in found["0002"].down or ()] == ["SELECT 3"]
    assert "DROP TABLE" in "".join(step.text for step in found["0001"].down or ())
    assert (found["0003"].down, found["0003"].unknown_down) == (None, None), "RunSQL without reverse_sql has none"


@pytest.mark.service("postgresql")
def test_a_way_down_that_cannot_be_told_is_in_the_result(call: Any, tmp_path: Path, postgresql_server: str) -> None:
    folder = tmp_path / "db" / "migrate"
    folder.mkdir(parents=True)
    (folder / "1_a.rb").write_text(
        "class A < ActiveRecord::Migration[7.0]\n  def up\n    execute 'CREATE TABLE users (id int)'\n  end\nend\n"
    )
    _, report = call("rehearse", "--engine", "postgresql", "--scratch-url", postgresql_server, "--rows", "10")
    assert report["data"]["down"] == "unknown"
    assert [one["message"] for one in report["findings"] if one["code"] == "down-not-rehearsed"] == [
        "down was not rehearsed: what undoes a migration of Rails is Ruby, of which only the SQL of the way up is read"
    ]


def test_a_lone_statement_that_ends_transactions_is_sent_in_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """golang-migrate sends a file as one message, in which a lone statement may commit."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "migrations").mkdir()
    path = tmp_path / "migrations" / "1_fill.up.sql"
    for text, transactional in (
        ("DO $$ BEGIN UPDATE users SET a = 1; COMMIT; END $$;", False),
        ("DO $$ BEGIN UPDATE users SET a = 'COMMIT'; END $$; -- COMMIT", True),
        ("SELECT 1; DO $$ BEGIN UPDATE users SET a = 1; COMMIT; END $$;", True),
    ):
        path.write_text(text)
        chosen = scripts.choose([], Path("db/migrations"), None, "postgresql")
        assert chosen.rehearsed[0][0].transactional is transactional, text


@pytest.mark.service("postgresql")
def test_statements_that_commit_are_rehearsed_as_they_are_run(
    call: Any, tmp_path: Path, postgresql_server: str, postgresql_url: str
) -> None:
    body = "BEGIN UPDATE users SET name = 'a'; COMMIT; UPDATE users SET name = 'b'; COMMIT; END"
    folder = tmp_path / "db" / "migrations"
    folder.mkdir(parents=True)
    (folder / "1_users.sql").write_text(
        "-- migrate:up\nCREATE TABLE users (id bigint PRIMARY KEY, name text);\n"
        f"CREATE PROCEDURE fill() LANGUAGE plpgsql AS $${body}$$;\n"
    )
    (folder / "2_fill.sql").write_text(f"-- migrate:up transaction:false\nCALL fill();\nDO $${body}$$;\n")
    code, report = call("rehearse", "--scratch-url", postgresql_server, "--rows", "500")
    assert code == 0, report
    assert call("up", "--database-url", postgresql_url)[0] == 0


@pytest.mark.service("postgresql")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "SET lock_timeout = '2s';\nALTER TABLE users ADD COLUMN code text;\nRESET lock_timeout;\n"
            "CREATE INDEX CONCURRENTLY users_code ON users (code);\n",
            [None, None, None, None],
            id="as psql sends it",
        ),
        pytest.param(
            "BEGIN;\nALTER TABLE users ADD COLUMN code text;\nCOMMIT;\n"
            "CREATE INDEX CONCURRENTLY users_code ON users (code);\n",
            [None, None],
            id="its own transaction ends before",
        ),
        pytest.param(
            "BEGIN;\nALTER TABLE users ADD COLUMN code text;\n"
            "CREATE INDEX CONCURRENTLY users_code ON users (code);\nCOMMIT;\n",
            [None, "CREATE INDEX CONCURRENTLY cannot run inside a transaction block"],
            id="inside its own transaction",
        ),
    ],
)
def test_a_plain_file_is_sent_as_what_stands_in_it_allows(
    call: Any, tmp_path: Path, postgresql_server: str, text: str, expected: list[str | None]
) -> None:
    (tmp_path / "schema.sql").write_text("CREATE TABLE users (id bigint PRIMARY KEY, name text);")
    (tmp_path / "add_code.sql").write_text(text)
    code, report = call("rehearse", "add_code.sql", "--schema", "schema.sql", "--scratch-url", postgresql_server)
    assert [one["error"] for one in report["data"]["statements"]] == expected
    assert code == (1 if any(expected) else 0)


@pytest.mark.service("postgresql")
def test_locks_are_held_to_the_end_of_the_transaction_in_the_file(
    call: Any, tmp_path: Path, postgresql_server: str
) -> None:
    (tmp_path / "schema.sql").write_text("CREATE TABLE users (id bigint PRIMARY KEY, name text);")
    (tmp_path / "add_code.sql").write_text(
        "CREATE INDEX CONCURRENTLY users_name ON users (name);\n"
        "BEGIN;\nALTER TABLE users ADD COLUMN code text;\nSELECT pg_sleep(1);\nCOMMIT;\n"
    )
    code, report = call("rehearse", "add_code.sql", "--schema", "schema.sql", "--scratch-url", postgresql_server)
    assert code == 1
    assert "query-waited" in {one["code"] for one in report["findings"]}, report["findings"]
