"""Migrations of projects with another tool, read in its format and checked with what it says about transactions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from senior_backend.migrate.cli import main
from tests.migrate.support import call

PROJECTS = Path(__file__).parents[1] / "fixtures"
IN_FILES = ["atlas", "drizzle", "flyway", "golang_migrate", "goose", "liquibase", "prisma", "sqitch", "supabase"]


@pytest.mark.parametrize("name", IN_FILES)
def test_a_project_is_read_in_its_own_format(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(PROJECTS / name, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    assert main(["lint", ".", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["data"]["engine"] == "postgresql"
    assert report["data"]["statements"] >= 1


def test_what_the_tool_wraps_in_a_transaction_counts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(PROJECTS / "flyway", tmp_path / "project")
    (existing,) = {path.parent for path in (tmp_path / "project").rglob("V1__*.sql")}
    new = existing / "V900__late.sql"
    new.write_text("CREATE TABLE late (a int);\nALTER TABLE late ADD b int;\nVACUUM late;\n")
    monkeypatch.chdir(tmp_path)
    assert main(["lint", str(new.relative_to(tmp_path)), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["data"]["files"] == 1
    assert {finding["where"].rpartition(":")[0][-1] for finding in report["findings"]} == {"3"}


def test_a_file_of_a_project_stands_on_the_migrations_before_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(PROJECTS / "prisma", tmp_path / "project")
    (folder,) = {path.parents[1] for path in (tmp_path / "project").rglob("migration.sql")}
    first, second = folder / "29990101000000_a", folder / "29990102000000_b"
    for place, sql in ((first, "CREATE TABLE late (a varchar(5));"), (second, "ALTER TABLE late ALTER a TYPE text;")):
        place.mkdir()
        (place / "migration.sql").write_text(sql)
    assert main(["lint", str(second / "migration.sql"), "--json"]) == 0
    findings = json.loads(capsys.readouterr().out)["findings"]
    assert [finding["code"] for finding in findings] == ["pg-missing-lock-timeout"]


def test_a_folder_above_a_project_is_read_as_the_project(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(PROJECTS / "prisma", tmp_path / "packages" / "data")
    result = call(capsys, "lint", str(tmp_path))
    assert result.data["engine"] == "postgresql"
    assert "told from the text" not in result.report["summary"]
    shutil.copytree(PROJECTS / "flyway", tmp_path / "services" / "shop")
    both = call(capsys, "lint", str(tmp_path))
    assert (both.code, both.codes) == (3, ["several-tools"])
    assert "(prisma)" in both.report["summary"]
    assert "(flyway)" in both.report["summary"]


def test_goose_ends_a_statement_without_a_semicolon(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "001_a.sql").write_text(
        "-- +goose Up\n-- +goose StatementBegin\nCREATE TABLE t (a text)\n-- +goose StatementEnd\n"
        "-- +goose StatementBegin\nDROP TABLE users\n-- +goose StatementEnd\n"
        "-- +goose Down\n-- +goose StatementBegin\nDROP TABLE t\n-- +goose StatementEnd\n"
    )
    result = call(capsys, "lint", str(tmp_path), "--engine", "postgresql")
    assert result.data["not_understood"] == 0
    assert [one["where"].split(":")[1] for one in result.report["findings"] if one["code"] == "pg-drop-table"] == ["6"]


def test_a_transaction_of_a_prisma_file_is_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "prisma" / "migrations" / "20260101000000_a"
    folder.mkdir(parents=True)
    (folder / "migration.sql").write_text("BEGIN;\nCREATE TABLE t (a jsonb);\nCOMMIT;\nCREATE TABLE u (a jsonb);\n")
    assert call(capsys, "lint", str(tmp_path)).codes == []


def test_a_comment_does_not_tell_the_engine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    remark = "/*\n  Warnings: a unique constraint on `users`.`email`, and `id` of `users` is unsigned.\n*/\n"
    (tmp_path / "a.sql").write_text(f"{remark}-- `x` ENGINE=InnoDB\nCREATE TABLE t (a jsonb, b bigserial);\n")
    assert call(capsys, "lint", str(tmp_path)).data["engine"] == "postgresql"


def test_numbers_of_files_are_numbers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "9_first.sql").write_text("CREATE TABLE t (a varchar(5));")
    (tmp_path / "10_second.sql").write_text("ALTER TABLE t ALTER a TYPE text;")
    for path in (tmp_path, tmp_path / "10_second.sql"):
        assert "pg-change-type-rewrites" not in call(capsys, "lint", str(path), "--engine", "postgresql").codes


def test_a_file_for_another_engine_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "1_a.postgres.sql").write_text("CREATE TABLE t (a jsonb);")
    (tmp_path / "1_a.mysql.sql").write_text("CREATE TABLE `t` (a JSON) ENGINE=InnoDB;")
    for engine in ("postgresql", "mysql", "mariadb"):
        result = call(capsys, "lint", str(tmp_path), "--engine", engine)
        assert (result.data["files"], result.data["not_understood"]) == (1, 0)
    named = call(capsys, "lint", str(tmp_path / "1_a.postgres.sql"), "--engine", "sqlite")
    assert named.data["files"] == 1


@pytest.mark.parametrize("mark", ["${schema}", '{{ index .Options "Schema" }}', "{{.Schema}}"])
def test_a_placeholder_is_read_as_a_name(mark: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "1_a.sql").write_text(f"{{{{ if .New }}}}\nCREATE TABLE {mark}.t (a varchar(5));\n{{{{ end }}}}\n")
    (tmp_path / "2_b.sql").write_text(f'ALTER TABLE {mark}.t ALTER a TYPE text;\nDROP TABLE "{mark}".t;\n')
    result = call(capsys, "lint", str(tmp_path), "--engine", "postgresql")
    assert result.data["not_understood"] == 0
    assert {"pg-drop-table", "pg-change-type-rewrites"} & set(result.codes) == {"pg-drop-table"}
    assert next(one for one in result.report["findings"] if one["code"] == "pg-drop-table")["where"].endswith(":2:1")


def test_of_more_than_is_shown_the_worst_come_first_and_all_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [f"a{number}" for number in range(120)]
    (tmp_path / "1_a.sql").write_text("".join(f"CREATE TABLE {name} (x jsonb NOT NULL);\n" for name in names))
    (tmp_path / "2_b.sql").write_text("".join(f"ALTER TABLE {name} ALTER x DROP NOT NULL;\n" for name in names))
    (tmp_path / "3_c.sql").write_text("DROP TABLE a1;")
    result = call(capsys, "lint", str(tmp_path))
    assert result.codes[0] == "pg-drop-table"
    assert result.data["by_rule"]["pg-drop-not-null"] == 120
    main(["lint", str(tmp_path)])
    assert "120    info      pg-drop-not-null" in capsys.readouterr().out


def test_a_django_migration_that_prints_no_sql_is_the_only_one_not_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(PROJECTS / "django", tmp_path / "project")
    folder = tmp_path / "project" / "people" / "migrations"
    start = "from django.db import migrations\n\n\nclass Migration(migrations.Migration):\n"
    (folder / "0002_asks.py").write_text(
        f"{start}    dependencies = [('people', '0001_initial')]\n"
        "    operations = [migrations.RunSQL([('SELECT %s', [object()], 1)])]\n"
    )
    (folder / "0003_drops.py").write_text(
        f"{start}    dependencies = [('people', '0002_asks')]\n"
        "    operations = [migrations.RunSQL('DROP TABLE users')]\n"
    )
    result = call(capsys, "lint", str(tmp_path / "project"))
    assert result.data["not_understood"] == 1
    assert [one["where"].split("/")[-1][:4] for one in result.report["findings"]] == ["0003", "0002"]


def test_an_alembic_revision_that_prints_no_sql_is_the_only_one_not_checked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(PROJECTS / "alembic", tmp_path / "project")
    folder = tmp_path / "project" / "alembic" / "versions"
    for number, parent, body in (
        ("v0.3.a", "0002", "op.get_bind().execute(sa.text('SELECT 1')).scalar()"),
        ("v0.4.b", "v0.3.a", "op.drop_table('users')"),
    ):
        head = f"import sqlalchemy as sa\nfrom alembic import op\nrevision = '{number}'\ndown_revision = '{parent}'\n"
        (folder / f"{number}_x.py").write_text(f"{head}\n\ndef upgrade():\n    {body}\n")
    result = call(capsys, "lint", str(tmp_path / "project"))
    assert result.data["not_understood"] == 1
    assert [one["where"].split("/")[-1][:6] for one in result.report["findings"]] == ["v0.4.b", "v0.3.a"]
