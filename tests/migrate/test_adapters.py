"""Projects that have a migration tool already: one fixture for each, read and written in its own format."""

from __future__ import annotations

import compileall
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from senior_backend.migrate import adapters
from senior_backend.migrate.statements import split
from tests.migrate.support import call, write_migrations

FIXTURES = Path(__file__).parent / "fixtures"
TOOLS: dict[str, tuple[str, list[str]]] = {
    "alembic": ("sqlite", ["alembic/versions/0003_add_role_to_users.py",
                           "alembic/versions/0004_add_index_to_users_role.py"]),
    "atlas": ("postgresql", ["migrations/2*_add_role_to_users.sql", "migrations/2*_add_index_to_users_role.sql"]),
    "dbmate": ("postgresql", ["db/migrations/2*_add_role_to_users.sql",
                              "db/migrations/2*_add_index_to_users_role.sql"]),
    "django": ("sqlite", ["people/migrations/0002_add_role_to_users.py"]),
    "drizzle": ("postgresql", ["drizzle/0001_add_role_to_users.sql", "drizzle/meta/0002_snapshot.json"]),
    "ef": ("postgresql", ["Shop/Migrations/2*_AddRoleToUsers.cs", "Shop/Migrations/2*_AddIndexToUsersRole.cs"]),
    "flyway": ("postgresql", ["sql/V11__add_role_to_users.sql", "sql/U11__add_role_to_users.sql",
                              "sql/V12__add_index_to_users_role.sql.conf"]),
    "golang_migrate": ("postgresql", ["migrations/000003_add_role_to_users.up.sql",
                                      "migrations/000004_add_index_to_users_role.down.sql"]),
    "goose": ("postgresql", ["migrations/00003_add_role_to_users.sql", "migrations/00004_add_index_to_users_role.sql"]),
    "liquibase": ("postgresql", ["db/changelog/003_add_role_to_users.sql"]),
    "prisma": ("postgresql", ["prisma/migrations/2*_add_role_to_users/migration.sql"]),
    "rails": ("postgresql", ["db/migrate/2*_add_role_to_users.rb", "db/migrate/2*_add_index_to_users_role.rb"]),
    "sqitch": ("postgresql", ["deploy/add_role_to_users.sql", "revert/add_index_to_users_role.sql",
                              "verify/add_role_to_users.sql"]),
    "supabase": ("postgresql", ["supabase/migrations/2*_add_role_to_users.sql"]),
}  # fmt: skip


@pytest.fixture
def project(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "project"
    shutil.copytree(FIXTURES / request.param, folder)
    monkeypatch.chdir(folder)
    return folder


def up_statements(adapter: adapters.Adapter) -> list[tuple[str, bool]]:
    """Return the statements of the project's migrations, each with whether it runs in a transaction."""
    return [
        (statement.text, unit.transaction)
        for unit in adapter.module.read(adapter.root)
        for statement in split(unit.text, unit.engine or "postgresql", file=unit.path)
    ]


def test_there_is_a_fixture_for_every_adapter() -> None:
    modules = {path.stem for path in Path(adapters.__file__).parent.glob("[a-z]*.py")}
    assert modules == set(TOOLS) == {path.name for path in FIXTURES.iterdir()}


@pytest.mark.parametrize("project", TOOLS, indirect=True)
def test_a_project_is_recognised_and_its_files_are_read(project: Path, request: pytest.FixtureRequest) -> None:
    tool = request.node.callspec.params["project"]
    adapter = adapters.detect(Path())
    assert adapter is not None
    assert adapter.name == tool.replace("_", "-")
    assert adapter.module.engine(adapter.root) == TOOLS[tool][0]
    units = list(adapter.module.read(adapter.root))
    for unit in units:
        if unit.start is not None:
            text = unit.path.read_text()
            lines = (unit.text.splitlines(), text[unit.start : unit.start + len(unit.text)].splitlines())
            assert [len(line) for line in lines[0]] == [len(line) for line in lines[1]], "the offsets are wrong"
    found = [" ".join(text.replace('"', "").split()) for text, _ in up_statements(adapter)]
    created = [text.split()[2] for text in found if text.startswith("CREATE TABLE")]
    assert [name for name in created if name in ("users", "roles")] == ["users", "roles"]
    assert not any("DROP" in text for text in found), "the way back was read as well"
    for text, transaction in up_statements(adapter):
        assert not ("CONCURRENTLY" in text and transaction)


@pytest.mark.parametrize("project", TOOLS, indirect=True)
def test_new_writes_in_the_format_of_the_project(
    project: Path, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    tool = request.node.callspec.params["project"]
    before = {path for path in project.rglob("*") if path.is_file()}
    result = call(capsys, "new", "add_role_to_users", "role:string{30}!=member:index")
    assert result.code == 0
    assert result.data["engine"] == TOOLS[tool][0], result.report
    assert result.data["format"] == tool.replace("_", "-")
    for pattern in TOOLS[tool][1]:
        assert len(list(project.glob(pattern))) == 1, (pattern, result.data["files"])
    after = {path for path in project.rglob("*") if path.is_file() and "__pycache__" not in path.parts}
    written = after - before - {project / "shop.db"}  # Django connects even to print SQL
    assert written <= {project / one["path"] for one in result.data["files"]}
    adapter = adapters.detect(Path())
    assert adapter is not None
    found = up_statements(adapter)
    added = [text.lower() for text, _ in found if "add column role varchar(30)" in text.lower()]
    assert len(added) == 1
    assert "not null" in added[0]
    assert "default 'member'" in added[0]
    indexes = [(text, transaction) for text, transaction in found if "INDEX" in text and "(role)" in text]
    assert len(indexes) == 1
    if tool in ("supabase", "drizzle"):
        assert "CONCURRENTLY" not in indexes[0][0], "the tool would refuse it inside its transaction"
    elif TOOLS[tool][0] == "postgresql":
        assert "CONCURRENTLY" in indexes[0][0]
        assert tool == "prisma" or not indexes[0][1], "the tool would build the index in a transaction"


@pytest.mark.parametrize("project", TOOLS, indirect=True)
def test_the_tables_of_the_project_decide_what_a_name_means(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = call(capsys, "--name", "add_user_roles")
    assert (result.code, result.data["draft"]) == (0, False)
    content = result.data["files"][0]["content"]
    assert "PRIMARY KEY (user_id, role_id)" in content or 'PrimaryKeyConstraint("user_id", "role_id")' in content
    wrong = call(capsys, "new", "add_x_to_usrs")
    assert (wrong.code, wrong.codes) == (2, ["catalogue-mismatch"])


@pytest.mark.parametrize("project", [tool for tool in TOOLS if tool != "dbmate"], indirect=True)
@pytest.mark.parametrize("command", ["up", "down", "status", "plan", "verify"])
def test_no_second_runner_comes_into_a_project(project: Path, command: str, capsys: pytest.CaptureFixture[str]) -> None:
    result = call(capsys, command)
    assert (result.code, result.codes) == (5, ["other-tool"])
    assert not (project / "db" / "database.sqlite3").exists()


def run(*command: str, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


NAMES = (
    ["add_role_to_users", "role:string{30}!=member:index", "manager:references{users}"],
    ["add_user_roles", "note:string='a:b %s'"],
    ["rename_roles_to_groups"],
    ["create_orders", "user:references", "total:decimal{10,2}", "placed_at:datetime"],
)


@pytest.mark.slow
@pytest.mark.parametrize("project", ["alembic"], indirect=True)
def test_alembic_applies_what_new_wrote_and_takes_it_back(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in NAMES:
        assert call(capsys, "new", *words).code == 0
    assert compileall.compile_dir(str(project / "alembic"), quiet=1)
    run(sys.executable, "-m", "alembic", "upgrade", "head", cwd=project)
    with sqlite3.connect(project / "shop.db") as connection:
        tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        assert {"user_roles", "groups", "orders"} <= tables
        default = connection.execute(
            "SELECT dflt_value FROM pragma_table_info('user_roles') WHERE name = 'note'"
        ).fetchone()
        assert default == ("'a:b %s'",)
    run(sys.executable, "-m", "alembic", "downgrade", "0002", cwd=project)
    run(sys.executable, "-m", "alembic", "upgrade", "head", cwd=project)


@pytest.mark.slow
@pytest.mark.parametrize("project", ["alembic"], indirect=True)
def test_one_revision_runs_on_postgresql_as_well(
    project: Path, capsys: pytest.CaptureFixture[str], postgresql_url: str
) -> None:
    import psycopg

    ini = project / "alembic.ini"
    ini.write_text(ini.read_text().replace("sqlite:///shop.db", postgresql_url.replace("://", "+psycopg://")))
    for words in NAMES:
        assert call(capsys, "new", *words).code == 0
    for target in ("head", "0002", "head"):
        word = "downgrade" if target == "0002" else "upgrade"
        run(sys.executable, "-m", "alembic", word, target, cwd=project)
    with psycopg.connect(postgresql_url) as connection:
        valid = connection.execute("SELECT bool_and(convalidated) FROM pg_constraint WHERE contype = 'f'").fetchone()
        assert valid == (True,)
        found = connection.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_users_role'::regclass")
        assert found.fetchone() == (True,)


@pytest.mark.slow
@pytest.mark.parametrize("project", ["django"], indirect=True)
def test_django_applies_what_new_wrote_and_takes_it_back(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in NAMES:
        assert call(capsys, "new", *words).code == 0
    run(sys.executable, "manage.py", "migrate", cwd=project)
    with sqlite3.connect(project / "shop.db") as connection:
        default = connection.execute(
            "SELECT dflt_value FROM pragma_table_info('user_roles') WHERE name = 'note'"
        ).fetchone()
        assert default == ("'a:b %s'",)
    run(sys.executable, "manage.py", "migrate", "people", "0001", cwd=project)
    run(sys.executable, "manage.py", "migrate", cwd=project)


@pytest.mark.parametrize("project", ["alembic"], indirect=True)
def test_two_heads_of_alembic_are_not_guessed_between(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (project / "alembic/versions/0002_roles.py").read_text()
    (project / "alembic/versions/0003_more.py").write_text(text.replace('"0002"', '"0003"'))
    result = call(capsys, "new", "add_role_to_users", "role:string")
    assert (result.code, result.codes) == (3, ["several-heads"])


@pytest.mark.parametrize("project", ["alembic"], indirect=True)
def test_a_project_that_prints_no_sql_still_gets_its_revision(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "alembic/env.py").write_text("raise SystemExit('no settings')\n")
    result = call(capsys, "new", "add_user_roles")
    assert (result.code, result.codes) == (0, []), "the tables are in the revisions"
    assert "PrimaryKeyConstraint" in result.data["files"][0]["content"]
    assert call(capsys, "new", "add_x_to_usrs").codes == ["catalogue-mismatch"]
    for path in (project / "alembic/versions").glob("*.py"):
        path.unlink()
    result = call(capsys, "new", "add_user_roles")
    assert result.codes == ["draft"]
    assert "DRAFT" in result.data["files"][0]["content"]


@pytest.mark.parametrize("project", ["prisma", "flyway"], indirect=True)
def test_a_name_without_a_rule_writes_no_empty_file(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = sorted(project.rglob("*"))
    assert call(capsys, "new", "tidy_up").codes == ["bad-name"]
    assert sorted(project.rglob("*")) == before


def test_a_folder_that_is_named_is_ours_whatever_else_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(FIXTURES / "prisma", tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    write_migrations(tmp_path / "own", {"1_a": "CREATE TABLE a (x int)"})
    assert call(capsys, "up", "--migrations-dir", "own").code == 0


def test_a_table_that_is_not_in_snake_case_can_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(FIXTURES / "prisma", tmp_path, dirs_exist_ok=True)
    (folder,) = {path.parents[1] for path in tmp_path.rglob("migration.sql")}
    (folder / "20990101000000_names").mkdir()
    (folder / "20990101000000_names/migration.sql").write_text('CREATE TABLE "UserProfile" ("id" INTEGER PRIMARY KEY);')
    monkeypatch.chdir(tmp_path)
    result = call(capsys, "new", "add_nickname_to_user_profile", "nickname:string")
    assert (result.code, result.codes) == (0, [])
    assert 'ALTER TABLE "UserProfile" ADD COLUMN nickname' in result.data["files"][0]["content"]


@pytest.mark.parametrize("tool", [tool for tool in TOOLS if tool != "dbmate"])
def test_the_tool_of_a_part_of_the_project_is_found_from_above(
    tool: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(FIXTURES / tool, tmp_path / "services" / "shop")
    (tmp_path / "node_modules" / "x" / "prisma").mkdir(parents=True)
    (tmp_path / "node_modules/x/prisma/schema.prisma").write_text("")
    monkeypatch.chdir(tmp_path)
    result = call(capsys, "status")
    assert (result.code, result.codes) == (5, ["other-tool"])
    found = adapters.find(Path())
    assert found is not None
    assert (found.name, found.root.parts[:2]) == (tool.replace("_", "-"), ("services", "shop"))


def test_the_tool_around_a_part_of_a_repository_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(FIXTURES / "alembic", tmp_path / "repository")
    inner = tmp_path / "repository" / "src" / "shop"
    inner.mkdir(parents=True)
    monkeypatch.chdir(inner)
    assert call(capsys, "status").codes == ["no-migrations"], "nothing says where the repository ends"
    (tmp_path / "repository" / ".git").mkdir()
    assert call(capsys, "status").codes == ["other-tool"]


def test_between_several_tools_nothing_is_guessed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for engine in ("mysql", "postgres"):
        (tmp_path / "store" / engine).mkdir(parents=True)
        (tmp_path / "store" / engine / "1_a.up.sql").write_text("CREATE TABLE a (x int);")
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    for words in (["status"], ["new", "add_b_to_a", "b:string"], ["lint"]):
        result = call(capsys, *words)
        assert (result.code, result.codes) == (3, ["several-tools"])
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize(("folder", "engine"), [("mysql", "mysql"), ("store_sqlite", "sqlite"), ("sql", "postgresql")])
def test_a_folder_that_is_called_after_an_engine_is_for_that_engine(folder: str, engine: str, tmp_path: Path) -> None:
    (tmp_path / "go.mod").write_text("require github.com/golang-migrate/postgres v1\nrequire modernc.org/sqlite v1\n")
    place = tmp_path / folder
    place.mkdir()
    (place / "1_a.up.sql").write_text("CREATE TABLE a (x int);")
    found = adapters.detect(place)
    assert found is not None
    assert found.module.engine(found.root) == engine


def test_flyway_scripts_may_lie_deeper_and_leave_the_transaction_by_a_comment(tmp_path: Path) -> None:
    (tmp_path / "1.x").mkdir()
    (tmp_path / "V2__b.sql").write_text("-- flyway:executeInTransaction=false\nVACUUM;")
    (tmp_path / "1.x" / "V1__a.sql").write_text("SELECT 1;")
    found = adapters.detect(tmp_path)
    assert found is not None
    assert [(unit.path.name, unit.transaction) for unit in found.module.read(found.root)] == [
        ("V1__a.sql", True),
        ("V2__b.sql", False),
    ]


def test_prisma_wraps_a_file_in_a_transaction_on_postgresql_only(tmp_path: Path) -> None:
    folder = tmp_path / "prisma" / "migrations" / "1_a"
    folder.mkdir(parents=True)
    (folder / "migration.sql").write_text("PRAGMA foreign_keys=OFF;")
    for provider, expected in (("sqlite", False), ("postgresql", True)):
        (tmp_path / "prisma" / "schema.prisma").write_text(f'datasource db {{ provider = "{provider}" }}')
        found = adapters.detect(tmp_path)
        assert found is not None
        assert [unit.transaction for unit in found.module.read(found.root)] == [expected]


def test_liquibase_authors_may_have_blanks(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(
        "--liquibase formatted sql\n--changeset Jane Doe:1\nSELECT 1;\n"
        '--changeset "Jane: Doe":"second one" runInTransaction:false\nSELECT 2;\n'
    )
    found = adapters.detect(tmp_path)
    assert found is not None
    assert [unit.transaction for unit in found.module.read(found.root)] == [True, False]


def test_a_file_of_golang_migrate_with_its_own_transaction_is_wrapped_in_no_other(tmp_path: Path) -> None:
    (tmp_path / "1_a.up.sql").write_text("CREATE TABLE a (x int);")
    (tmp_path / "2_b.up.sql").write_text("PRAGMA foreign_keys=OFF;\nBEGIN;\nDROP TABLE a;\nCOMMIT;\n")
    (tmp_path / "3_c.up.sql").write_text("CREATE TRIGGER c AFTER INSERT ON a\nBEGIN\n  SELECT 1;\nEND;")
    found = adapters.detect(tmp_path)
    assert found is not None
    assert [unit.transaction for unit in found.module.read(found.root)] == [True, False, True]
