"""The way back is checked too: for what hurts in a rollback, on the schema that the migration leaves behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from senior_backend.migrate.cli import main

if TYPE_CHECKING:
    from pathlib import Path

FIRST = "CREATE TABLE users (id bigint PRIMARY KEY, email text, age int);"


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    main(["lint", *arguments, "--engine", "postgresql", "--json"])
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    return report


def codes(report: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in report["findings"]]


def dbmate(folder: Path, up: str, down: str, options: str = "") -> Path:
    (folder / "1_users.sql").write_text(f"-- migrate:up\n{FIRST}\n-- migrate:down\nDROP TABLE users;\n")
    path = folder / "2_change.sql"
    path.write_text(f"-- migrate:up{options}\n{up}\n-- migrate:down{options}\n{down}\n")
    return path


@pytest.mark.parametrize(
    ("up", "down", "options"),
    [
        ("CREATE TABLE tags (id int);", "DROP TABLE tags;", ""),
        ("ALTER TABLE users ADD COLUMN n int;", "ALTER TABLE users DROP COLUMN n;", ""),
        ("CREATE TYPE mood AS ENUM ('ok');", "DROP TYPE mood;", ""),
        ("CREATE VIEW v AS SELECT id FROM users;", "DROP VIEW v;", ""),
        (
            "CREATE INDEX CONCURRENTLY i ON users (age);",
            "DROP INDEX CONCURRENTLY IF EXISTS i;",
            " transaction:false",
        ),
        (
            "ALTER TABLE users ADD CONSTRAINT c CHECK (age > 0) NOT VALID;",
            "ALTER TABLE users DROP CONSTRAINT c;",
            "",
        ),
        ("ALTER TABLE users ALTER COLUMN age SET DEFAULT 1;", "ALTER TABLE users ALTER COLUMN age DROP DEFAULT;", ""),
    ],
)
def test_a_normal_migration_stays_clean(
    up: str, down: str, options: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dbmate(tmp_path, up, down, options)
    assert codes(run(capsys, str(tmp_path))) == []


@pytest.mark.parametrize(
    ("up", "down", "code"),
    [
        ("SELECT 1;", "ALTER TABLE users ALTER COLUMN age TYPE bigint;", "pg-change-type-rewrites"),
        ("SELECT 1;", "CREATE INDEX i ON users (age);", "pg-create-index-blocks-writes"),
        ("SELECT 1;", "ALTER TABLE users ALTER COLUMN age SET NOT NULL;", "pg-set-not-null-scans"),
        ("SELECT 1;", "ALTER TABLE users DROP COLUMN age;", "pg-drop-column"),
        ("SELECT 1;", "DROP TABLE users;", "pg-drop-table"),
        ("SELECT 1;", "DROP INDEX CONCURRENTLY i;", "pg-concurrently-in-transaction"),
        ("CREATE VIEW v AS SELECT age FROM users;", "ALTER TABLE users DROP COLUMN age;", "pg-column-in-use"),
        ("SELECT 1;", "DROP TBALE users;", "not-understood"),
    ],
)
def test_what_hurts_on_the_way_back_is_found_at_its_line(
    up: str, down: str, code: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = dbmate(tmp_path, up, down)
    report = run(capsys, str(path))
    assert code in codes(report)
    assert all(finding["where"].startswith(f"{path}:4:") for finding in report["findings"])


def test_the_next_migration_stands_on_the_schema_of_the_way_up(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dbmate(tmp_path, "ALTER TABLE users ALTER COLUMN email SET NOT NULL;", "ALTER TABLE users DROP COLUMN age;")
    (tmp_path / "3_again.sql").write_text("-- migrate:up\nALTER TABLE users ALTER COLUMN email SET NOT NULL;\n")
    report = run(capsys, str(tmp_path / "3_again.sql"))
    assert codes(report) == []


def test_a_column_that_another_migration_added_is_a_surprise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = dbmate(tmp_path, "ALTER TABLE users ADD COLUMN n int;", "ALTER TABLE users DROP COLUMN n, DROP COLUMN age;")
    (finding,) = run(capsys, str(path))["findings"]
    assert finding["code"] == "pg-drop-column"
    assert "age" in finding["message"]


def test_goose(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "1_a.sql").write_text(f"-- +goose Up\n{FIRST}\n-- +goose Down\nDROP TABLE users;\n")
    path = folder / "2_b.sql"
    path.write_text("-- +goose Up\nSELECT 1;\n-- +goose Down\nALTER TABLE users ALTER COLUMN age TYPE bigint;\n")
    report = run(capsys, str(path))
    assert "pg-change-type-rewrites" in codes(report)
    assert {finding["where"] for finding in report["findings"]} == {f"{path}:4:1"}


@pytest.mark.parametrize("names", [("2_b.up.sql", "2_b.down.sql"), ("2_b/up.sql", "2_b/down.sql")])
def test_files_of_their_own(names: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "migrations"
    first = folder / names[0].replace("2_b", "1_a")
    first.parent.mkdir(parents=True)
    first.write_text(FIRST)
    up, down = folder / names[0], folder / names[1]
    up.parent.mkdir(exist_ok=True)
    up.write_text("CREATE TABLE tags (id int);")
    down.write_text("DROP TABLE tags;\nALTER TABLE users ALTER COLUMN age TYPE bigint;\n")
    report = run(capsys, str(folder))
    assert codes(report) == ["pg-change-type-rewrites"]
    assert report["findings"][0]["where"] == f"{down}:2:1"


def test_one_statement_alone_in_a_file_is_no_transaction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "1_a.up.sql").write_text(FIRST)
    path = folder / "2_b.up.sql"
    path.write_text("CREATE INDEX CONCURRENTLY i ON users (age);")
    assert codes(run(capsys, str(path))) == []
    path.write_text("CREATE INDEX CONCURRENTLY i ON users (age);\nCREATE INDEX CONCURRENTLY j ON users (email);")
    assert set(codes(run(capsys, str(path)))) == {"pg-concurrently-in-transaction"}


@pytest.mark.parametrize(
    ("names", "more"),
    [
        (("db/migration/V1__a.sql", "db/migration/V2__b.sql", "db/migration/U2__b.sql"), {}),
        (
            ("deploy/a.sql", "deploy/b.sql", "revert/b.sql"),
            {"sqitch.plan": "%project=p\n\na 2026-01-01T00:00:00Z x <x@y>\nb 2026-01-02T00:00:00Z x <x@y>\n"},
        ),
    ],
)
def test_undo_and_revert_scripts(
    names: tuple[str, str, str], more: dict[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    texts = (FIRST, "CREATE TABLE tags (id int);", "DROP TABLE tags;\nALTER TABLE users ALTER COLUMN age TYPE bigint;")
    for name, text in {**dict(zip(names, texts, strict=True)), **more}.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    report = run(capsys, str(tmp_path))
    assert codes(report) == ["pg-change-type-rewrites"]
    assert report["findings"][0]["where"] == f"{tmp_path / names[2]}:2:1"


def test_a_down_file_named_alone_is_judged_behind_its_up_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "1_a.up.sql").write_text(FIRST)
    (tmp_path / "2_b.up.sql").write_text("CREATE TABLE tags (id int);")
    path = tmp_path / "2_b.down.sql"
    path.write_text("DROP TABLE tags;\nALTER TABLE users ALTER COLUMN age TYPE bigint;")
    report = run(capsys, str(path))
    assert codes(report) == ["pg-change-type-rewrites"]
    assert report["findings"][0]["where"] == f"{path}:2:1"
