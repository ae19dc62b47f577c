"""`rewrite` and `rehearse` in projects that have another migration tool: what its adapter reads is measured."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from senior_backend.migrate.cli import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

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
        (folder / f"{name}.down.sql").write_text("SELECT 1;")
    code, report = call("rehearse", "--scratch-url", postgresql_server, "--rows", "2000")
    assert code == 1, report
    assert [one["text"] for one in report["data"]["statements"]] == ["ALTER TABLE users ADD COLUMN code bigserial"]
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
