"""`db_migrate.py lint` as its users call it."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from senior_backend.migrate.cli import main

HAZARD = "CREATE INDEX i ON users (name);\n"
SAFE = "SET lock_timeout = '1s';\nALTER TABLE users ADD COLUMN n int;\n"


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = main(["lint", *arguments, "--json"])
        return code, json.loads(capsys.readouterr().out)

    return run


def write(path: Path, text: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return str(path)


def codes(report: dict[str, Any]) -> list[str]:
    return [finding["code"] for finding in report["findings"]]


def test_a_hazard_ends_with_1_and_says_where_and_how(call: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.sql", "\n  " + HAZARD)
    code, report = call(path, "--engine", "postgresql")
    assert code == report["exit_code"] == 1
    (finding,) = report["findings"]
    assert finding["code"] == "pg-create-index-blocks-writes"
    assert finding["where"] == f"{path}:2:3"
    assert "CREATE INDEX CONCURRENTLY i ON users (name)" in finding["fix"]
    (hazard,) = report["data"]["hazards"]
    assert (hazard["lock"], hazard["effect"], hazard["table"]) == ("SHARE", "scan", "users")
    text = Path(path).read_text()
    assert text[hazard["start"] : hazard["end"]] == HAZARD.strip().rstrip(";")
    assert report["next"]


def test_a_clean_file_ends_with_0(call: Any, tmp_path: Path) -> None:
    code, report = call(write(tmp_path / "a.sql", SAFE), "--engine", "postgresql")
    assert code == 0
    assert report["findings"] == []
    assert report["data"]["statements"] == 2


def test_warnings_end_with_1_only_where_that_is_asked_for(call: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.sql", "ALTER TABLE users ADD COLUMN n int;")
    assert call(path, "--engine", "postgresql")[0] == 0
    code, report = call(path, "--engine", "postgresql", "--fail-on", "warning")
    assert code == 1
    assert codes(report) == ["pg-missing-lock-timeout"]


def test_what_is_not_understood_ends_with_3(call: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.sql", "SELECT 1;\nALTER TABLE users FROBNICATE;\n")
    code, report = call(path, "--engine", "postgresql")
    assert code == 3
    assert codes(report) == ["not-understood"]
    assert report["findings"][0]["where"] == f"{path}:2:19"
    assert call(write(tmp_path / "b.sql", "ALTER TABLE a FROB b; " + HAZARD), "--engine", "postgresql")[0] == 1


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "nothing-to-check"),
        (b"-- nothing\n", "nothing-to-check"),
        (b"\x7fELF\x01\x00\x00", "binary-file"),
        (b"\xff\xfeA\x00", "binary-file"),
        (b"select '\xe9'", "binary-file"),
        (b"SELECT 'abc", "unterminated-quote"),
        (b"# Title\n\nSome words, and more words.\n", "not-sql"),
        (b'{"a": 1}', "not-sql"),
        (b"-- migrate:up\n-- migrate:up\n", "bad-migration-file"),
    ],
)
def test_bad_input_ends_with_2_and_its_place(call: Any, tmp_path: Path, content: bytes, code: str) -> None:
    path = tmp_path / "1_a.sql"
    path.write_bytes(content)
    exit_code, report = call(str(path), "--engine", "postgresql")
    assert exit_code == 2
    assert codes(report)[0] == code
    assert report["findings"][0]["where"].startswith(str(path))


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("missing.sql",), "no-such-path"),
        (("--pg-version", "new", "a.sql"), "bad-version"),
        (("--enable", "pg-nothing", "a.sql"), "unknown-rule"),
        (("--format", "xml", "a.sql"), "usage"),
        (("empty",), "no-migrations"),
    ],
)
def test_wrong_calls_end_with_2(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], code: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write(tmp_path / "a.sql", SAFE)
    exit_code, report = call(*arguments, "--engine", "postgresql")
    assert exit_code == 2
    assert codes(report) == [code]


def test_the_engine_is_told_from_the_text_or_asked_for(call: Any, tmp_path: Path) -> None:
    for text, engine in (
        ("CREATE TABLE a (b jsonb, c timestamptz);", "postgresql"),
        ("CREATE TABLE `a` (`b` INT AUTO_INCREMENT PRIMARY KEY) ENGINE=InnoDB;", "mysql"),
        ("CREATE TABLE a (b INTEGER PRIMARY KEY AUTOINCREMENT);", "sqlite"),
    ):
        code, report = call(write(tmp_path / "a.sql", text))
        assert (code, report["data"]["engine"]) == (0, engine)
    code, report = call(write(tmp_path / "a.sql", "CREATE TABLE a (b int);"))
    assert code == 3
    assert codes(report) == ["engine-unknown"]


def test_sql_of_another_engine_is_said_to_be_that(call: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.sql", "ALTER TABLE `users` MODIFY a BIGINT UNSIGNED;")
    code, report = call(path, "--engine", "postgresql")
    assert code == 3
    assert "--engine mysql" in report["findings"][0]["fix"]


def test_without_a_path_the_folder_of_migrations_is_checked(
    call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert codes(call()[1]) == ["no-such-path"]
    write(tmp_path / "sqitch.plan", "%project=a\n")
    write(tmp_path / "db" / "migrations" / "1_a.sql", DBMATE.format(options=""))
    assert codes(call("--engine", "postgresql")[1]) == ["pg-concurrently-in-transaction"]


def test_standard_input(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.TextIOWrapper(io.BytesIO(HAZARD.encode()), encoding="utf-8")
    monkeypatch.setattr(sys, "stdin", stream)
    code, report = call("-", "--engine", "postgresql")
    assert code == 1
    assert report["findings"][0]["where"] == "<stdin>:1:1"


def test_earlier_migrations_of_the_folder_are_replayed_and_not_checked(call: Any, tmp_path: Path) -> None:
    write(tmp_path / "001_a.sql", "CREATE TABLE users (id bigint, email varchar(50));")
    write(tmp_path / "002_b.sql", "DROP TABLE gone;")
    last = write(tmp_path / "003_c.sql", "SET lock_timeout = '1s'; ALTER TABLE users ALTER email TYPE varchar(60);")
    write(tmp_path / "004_d.sql", "ALTER TABLE users ALTER COLUMN email TYPE varchar(10);")
    code, report = call(last, "--engine", "postgresql")
    assert (code, codes(report)) == (0, [])
    code, report = call(str(tmp_path), "--engine", "postgresql")
    assert code == 1
    assert sorted(codes(report)) == ["pg-change-type-rewrites", "pg-drop-table", *["pg-missing-lock-timeout"] * 2]


def test_the_search_path_of_a_migration_ends_with_it(call: Any, tmp_path: Path) -> None:
    write(tmp_path / "001_a.sql", "SET search_path TO app; CREATE TABLE users (email varchar(5));")
    write(tmp_path / "002_b.sql", "CREATE TABLE users (email int);")
    change = "SET lock_timeout = '1s'; ALTER TABLE {}.users ALTER COLUMN email TYPE varchar(9);"
    assert call(write(tmp_path / "003_c.sql", change.format("app")), "--engine", "postgresql")[0] == 0
    assert call(write(tmp_path / "003_c.sql", change.format("public")), "--engine", "postgresql")[0] == 1


def test_prisma_folders_are_replayed_too(call: Any, tmp_path: Path) -> None:
    write(tmp_path / "20240101_a" / "migration.sql", 'CREATE TABLE "User" (id int, email varchar(5));')
    last = write(
        tmp_path / "20240102_b" / "migration.sql", 'SET lock_timeout = 1000; ALTER TABLE "User" ALTER email TYPE text;'
    )
    assert call(last, "--engine", "postgresql")[0] == 0


DBMATE = "-- migrate:up{options}\nCREATE INDEX CONCURRENTLY i ON users (name);\n\n-- migrate:down\nSELECT 1;\n"


def test_sections_of_dbmate_say_whether_there_is_a_transaction(call: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "1_a.sql", DBMATE.format(options=""))
    code, report = call(path, "--engine", "postgresql")
    assert (code, codes(report)) == (1, ["pg-concurrently-in-transaction"])
    assert report["findings"][0]["where"] == f"{path}:2:1"
    write(tmp_path / "1_a.sql", DBMATE.format(options=" transaction:false"))
    assert call(path, "--engine", "postgresql")[0] == 0


def test_whether_plain_files_run_in_a_transaction_can_be_said(call: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.sql", "CREATE INDEX CONCURRENTLY i ON users (name);")
    assert call(path, "--engine", "postgresql")[0] == 0
    assert call(path, "--engine", "postgresql", "--in-transaction")[0] == 1
    assert call(path, "--engine", "postgresql", "--no-in-transaction")[0] == 0


def test_a_schema_dump_gives_the_state(call: Any, tmp_path: Path) -> None:
    schema = write(tmp_path / "schema" / "structure.sql", "CREATE TABLE public.users (id int, email varchar(5));")
    path = write(tmp_path / "a.sql", "SET lock_timeout = 1; ALTER TABLE users ALTER COLUMN email TYPE text;")
    assert call(path, "--engine", "postgresql")[0] == 1
    assert call(path, "--engine", "postgresql", "--schema", schema)[0] == 0


@pytest.mark.parametrize(
    "text",
    [
        "-- db_migrate: ignore pg-create-index-blocks-writes because the table is tiny\n" + HAZARD,
        "CREATE INDEX i ON users (name); -- db_migrate: ignore pg-create-index-blocks-writes because it is tiny\n",
        "CREATE INDEX i -- db_migrate: ignore pg-create-index-blocks-writes because it is tiny\n ON users (name);\n",
        "/* db_migrate: ignore-file pg-create-index-blocks-writes because it is tiny */\nSELECT 1;\n" + HAZARD,
        '-- db_migrate: ignore pg-create-index-blocks-writes reason="it is tiny"\n' + HAZARD,
    ],
)
def test_a_comment_with_a_reason_silences_a_rule(call: Any, tmp_path: Path, text: str) -> None:
    code, report = call(write(tmp_path / "a.sql", text), "--engine", "postgresql")
    assert code == 0
    (suppressed,) = report["data"]["suppressed"]
    assert "tiny" in suppressed["reason"]


@pytest.mark.parametrize(
    ("comment", "code"),
    [
        ("ignore pg-create-index-blocks-writes", "suppression-without-reason"),
        ("ignore pg-create-index-blocks-writes because", "suppression-without-reason"),
        ("ignore because I say so", "suppression-without-rule"),
        ("ignore pg-create-indexes because it is tiny", "suppression-of-unknown-rule"),
        ("ignore pg-drop-table because it is tiny", "suppression-unused"),
    ],
)
def test_other_comments_silence_nothing_and_are_reported(call: Any, tmp_path: Path, comment: str, code: str) -> None:
    exit_code, report = call(write(tmp_path / "a.sql", f"-- db_migrate: {comment}\n{HAZARD}"), "--engine", "postgresql")
    assert exit_code == 1
    assert set(codes(report)) == {code, "pg-create-index-blocks-writes"}


def test_a_comment_inside_a_text_is_no_comment(call: Any, tmp_path: Path) -> None:
    text = "SELECT '-- db_migrate: ignore pg-create-index-blocks-writes because tiny'; " + HAZARD
    code, report = call(write(tmp_path / "a.sql", text), "--engine", "postgresql")
    assert (code, codes(report)) == (1, ["pg-create-index-blocks-writes"])


def test_a_comment_holds_for_one_statement(call: Any, tmp_path: Path) -> None:
    text = f"-- db_migrate: ignore pg-create-index-blocks-writes because tiny\n{HAZARD}CREATE INDEX j ON users (age);\n"
    code, report = call(write(tmp_path / "a.sql", text), "--engine", "postgresql")
    assert code == 1
    assert [finding["where"].rpartition(":")[0][-1] for finding in report["findings"]] == ["3"]


def test_sarif_names_rules_and_places(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = write(tmp_path / "a b.sql", HAZARD + "nonsense;\n")
    assert main(["lint", path, "--engine", "postgresql", "--format", "sarif"]) == 1
    log = json.loads(capsys.readouterr().out)
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"]
        (location,) = result["locations"]
        assert location["physicalLocation"]["artifactLocation"]["uri"].endswith("a%20b.sql")
        assert location["physicalLocation"]["region"]["startLine"] in (1, 2)
    assert {result["level"] for result in run["results"]} == {"error", "warning"}


def test_github_annotations(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = write(tmp_path / "a,b.sql", HAZARD)
    assert main(["lint", path, "--engine", "postgresql", "--format", "github"]) == 1
    (line,) = capsys.readouterr().out.strip().splitlines()
    assert line.startswith("::error file=")
    assert "a%2Cb.sql,line=1,col=1,title=pg-create-index-blocks-writes::" in line
    assert "%0A" in line


def test_rules_can_be_listed_enabled_and_disabled(call: Any, tmp_path: Path) -> None:
    for engine, least in (("postgresql", 90), ("mysql", 22), ("mariadb", 22), ("sqlite", 10)):
        code, report = call("--list-rules", "--engine", engine)
        assert code == 0
        assert len(report["data"]["rules"]) >= least
    path = write(tmp_path / "a.sql", "CREATE TABLE a (b timestamp);")
    assert call(path, "--engine", "postgresql")[1]["findings"] == []
    enabled = call(path, "--engine", "postgresql", "--enable", "style", "--disable", "pg-name-without-schema")[1]
    assert set(codes(enabled)) == {"pg-timestamp-without-time-zone", "pg-not-repeatable"} - {
        "pg-not-repeatable"
    } or set(codes(enabled)) == {"pg-timestamp-without-time-zone", "pg-not-repeatable"}


def test_versions_change_what_is_dangerous(call: Any, tmp_path: Path) -> None:
    path = write(tmp_path / "a.sql", "SET lock_timeout = 1; ALTER TABLE users ADD COLUMN n int DEFAULT 5;")
    assert call(path, "--pg-version", "10")[0] == 1
    assert call(path, "--pg-version", "11")[0] == 0
    mysql = write(tmp_path / "b.sql", "SET SESSION lock_wait_timeout = 5; ALTER TABLE users ADD COLUMN n int FIRST;")
    assert codes(call(mysql, "--mysql-version", "8.0.20")[1]) == ["my-add-column-rebuilds"]
    assert codes(call(mysql, "--mysql-version", "8.0.36")[1]) == []


def test_output_holds_every_finding(call: Any, tmp_path: Path) -> None:
    many = "".join(f"CREATE INDEX i{n} ON users (name, (age + {n}));\n" for n in range(150))
    out = tmp_path / "all.json"
    _, report = call(write(tmp_path / "a.sql", many), "--engine", "postgresql", "--output", str(out))
    assert (len(report["findings"]), report["omitted"]) == (100, 50)
    assert len(json.loads(out.read_text())["findings"]) == 150
