"""Migrations of projects with another tool, read in its format and checked with what it says about transactions."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from senior_backend.migrate.cli import main

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
