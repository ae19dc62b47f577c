"""`rewrite` as a user meets it: files, comments, ways back, what it refuses, and what follows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from senior_backend.migrate import files
from senior_backend.migrate.cli import main
from senior_backend.migrate.rewrites import render, sql
from senior_backend.migrate.statements import split

if TYPE_CHECKING:
    from collections.abc import Callable

SETUP = """-- migrate:up
CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL, age int, note text);
CREATE TABLE teams (id bigint PRIMARY KEY);
-- migrate:down
DROP TABLE teams; DROP TABLE users;
"""


@pytest.fixture
def rewrite(tmp_path: Path, capsys: Any) -> Callable[..., tuple[int, dict[str, Any], dict[str, str]]]:
    """Rewrite one file on top of `SETUP`; return exit code, report and the files."""

    def call(text: str, *options: str, name: str = "20260102000000_change.sql", engine: str = "postgresql") -> Any:
        folder = tmp_path / "migrations"
        folder.mkdir(exist_ok=True)
        if engine == "postgresql":
            (folder / "20260101000000_setup.sql").write_text(SETUP)
        (folder / name).write_text(text)
        code = main(["rewrite", str(folder / name), "--engine", engine, "--json", *options])
        report = json.loads(capsys.readouterr().out)
        out = folder / f"{name.removesuffix('.sql')}.rewritten"
        return code, report, {path.name: path.read_text() for path in sorted(out.glob("*.sql"))}

    return call


def test_the_users_text_and_comments_stay(rewrite: Any) -> None:
    up = (
        "-- first: a harmless column\nALTER TABLE users ADD COLUMN a text, -- inline\n  ADD COLUMN b text;\n"
        "/* why this index */\ncreate index   users_note on users(note);\n-- the end"
    )
    code, _, written = rewrite(
        f"-- migrate:up\n{up}\n-- migrate:down\nALTER TABLE users DROP COLUMN b, DROP COLUMN a;\n"
    )
    assert code == 0
    text = "\n".join(written.values())
    for kept in ("-- first: a harmless column", "/* why this index */", "-- the end", "ADD COLUMN a text"):
        assert kept in text, kept
    assert "create index   CONCURRENTLY users_note on users(note);" in text
    assert "DROP COLUMN b" in text
    assert len(written) == 2


def test_files_parse_sort_and_follow_the_original(rewrite: Any, tmp_path: Path) -> None:
    (tmp_path / "migrations").mkdir()
    (tmp_path / "migrations" / "20260102000001_next.sql").write_text("-- migrate:up\nSELECT 1;\n-- migrate:down\n")
    code, report, written = rewrite("-- migrate:up\nALTER TABLE users ALTER COLUMN age TYPE bigint;\n-- migrate:down\n")
    assert code == 0
    versions = [files.parse(tmp_path / name, text).version for name, text in written.items()]
    assert versions == sorted(versions)
    assert all("20260102000000" < version < "20260102000001" for version in versions)
    listed = report["data"]["migrations"][0]["files"]
    assert [one["name"] for one in listed] == list(written)
    assert [one["deploy"] for one in listed][-1] == "after the next deploy"
    assert files.parse(tmp_path / listed[-1]["name"], written[listed[-1]["name"]]).after_deploy
    assert not files.parse(tmp_path / listed[0]["name"], written[listed[0]["name"]]).after_deploy


def test_versions_go_on_where_there_is_room() -> None:
    assert render.versions("20260102000000", 3, ["20260102000000"]) == [
        "20260102000000", "20260102000001", "20260102000002",
    ]  # fmt: skip
    assert render.versions("002", 2, ["002", "003"]) == ["00201", "00202"]


def test_nothing_to_do_writes_nothing(rewrite: Any) -> None:
    code, report, written = rewrite("-- migrate:up\nALTER TABLE users ADD COLUMN a text;\n-- migrate:down\n")
    assert (code, written) == (0, {})
    assert "nothing to rewrite" in report["summary"]


def test_a_dry_run_writes_nothing(rewrite: Any) -> None:
    code, report, written = rewrite("-- migrate:up\nCREATE INDEX i ON users (note);\n-- migrate:down\n", "--dry-run")
    assert (code, written) == (0, {})
    assert "CONCURRENTLY" in report["data"]["migrations"][0]["files"][0]["text"]


def test_each_step_goes_back_or_says_that_it_does_not(rewrite: Any) -> None:
    """A way back without a statement is refused by `down`: it may have been forgotten."""
    changes = "ALTER TABLE users ALTER COLUMN age TYPE bigint, ALTER COLUMN note SET NOT NULL;"
    _, _, written = rewrite(f"-- migrate:up\n{changes}\n-- migrate:down\n")
    assert len(written) > 4
    for name, text in written.items():
        found = files.parse(Path(name), text)
        says_so = any(one.name == "irreversible" for one in found.directives)
        assert says_so or found.statements("down", "postgresql"), name


def test_the_copy_of_a_column_of_a_domain_does_not_write_the_table_anew(tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "1_setup.sql").write_text(
        "-- migrate:up\nCREATE DOMAIN positive AS int CHECK (VALUE > 0);\n"
        "CREATE TABLE t (id int PRIMARY KEY, n positive);\n"
    )
    path = tmp_path / "2_change.sql"
    path.write_text("-- migrate:up\nALTER TABLE t RENAME COLUMN n TO hits;\n")
    assert main(["rewrite", str(path), "--engine", "postgresql", "--dry-run", "--json"]) == 0
    assert "ADD COLUMN hits int4;" in json.loads(capsys.readouterr().out)["data"]["migrations"][0]["files"][0]["text"]


def test_what_has_no_online_form_is_said(rewrite: Any) -> None:
    code, report, _ = rewrite(
        "-- migrate:up\nALTER TABLE strangers ADD EXCLUDE USING gist (seat WITH &&);\n-- migrate:down\n"
    )
    assert code == 1
    assert "no-rewrite" in {finding["code"] for finding in report["findings"]}


def test_without_a_schema_a_type_change_is_not_guessed(tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "alone.sql"
    path.write_text("ALTER TABLE users ALTER COLUMN age TYPE bigint;")
    assert main(["rewrite", str(path), "--engine", "postgresql", "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert any("not known" in finding["message"] for finding in report["findings"])
    assert not (tmp_path / "alone.rewritten").exists()


def test_a_new_table_is_left_alone(rewrite: Any) -> None:
    code, _, written = rewrite(
        "-- migrate:up\nCREATE TABLE n (id int PRIMARY KEY, a int);\nCREATE INDEX n_a ON n (a);\n"
        "ALTER TABLE n ALTER COLUMN a SET NOT NULL;\n-- migrate:down\nDROP TABLE n;\n"
    )
    assert (code, written) == (0, {})


def test_rows_are_copied_behind_the_commit_of_the_lock_and_not_without_need(rewrite: Any) -> None:
    code, _, written = rewrite(
        "-- migrate:up\nCREATE TABLE notes (user_id bigint, note text);\n"
        "INSERT INTO notes SELECT id, note FROM users;\nCREATE INDEX notes_user ON notes (user_id);\n-- migrate:down\n"
    )
    assert (code, written) == (0, {})
    code, _, written = rewrite(
        "-- migrate:up\nCREATE TABLE ages (user_id bigint REFERENCES users, age int);\n"
        "INSERT INTO ages SELECT id, age FROM users;\nDELETE FROM teams WHERE id < 0;\n"
        "CREATE INDEX ages_user ON ages (user_id);\n-- migrate:down\nDROP TABLE ages;\n",
        name="20260103000000_ages.sql",
    )
    assert code == 0
    lock, copy, index = written.values()
    assert "CREATE TABLE ages" in lock
    assert "INSERT" not in lock
    assert "INSERT INTO ages" in copy
    assert "DELETE FROM teams" in copy
    assert "CREATE INDEX CONCURRENTLY ages_user" in index


def test_a_dropped_index_comes_back_as_it_was(rewrite: Any, postgresql_url: str) -> None:
    index = (
        'CREATE UNIQUE INDEX low ON users (lower(note) text_pattern_ops DESC NULLS LAST, name COLLATE "C")'
        " INCLUDE (age) NULLS NOT DISTINCT WHERE age > 3"
    )
    code, _, written = rewrite(f"-- migrate:up\n{index};\nDROP INDEX low;\n-- migrate:down\n")
    assert code == 0
    down = files.parse(Path("1_a.sql"), list(written.values())[-1]).down
    assert down is not None
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE users (id bigint PRIMARY KEY, name text NOT NULL, age int, note text)")
        made = []
        for text in (index, down):
            for statement in split(text, "postgresql"):
                connection.execute(statement.text)
            made.append(connection.execute("SELECT pg_get_indexdef('low'::regclass)").fetchone())
            connection.execute("DROP INDEX low")
    assert made[0] == made[1]


def test_two_indexes_without_a_name_get_two(rewrite: Any) -> None:
    code, _, written = rewrite(
        "-- migrate:up\nCREATE INDEX ON users (age);\nCREATE INDEX ON users (age) WHERE age > 1;\n-- migrate:down\n"
    )
    assert code == 0
    assert "users_age_idx ON" in "".join(written.values())
    assert "users_age_idx1 ON" in "".join(written.values())


def test_an_existing_file_is_not_overwritten(rewrite: Any) -> None:
    text = "-- migrate:up\nCREATE INDEX i ON users (note);\n-- migrate:down\n"
    assert rewrite(text)[0] == 0
    assert rewrite(text)[0] == 0, "the same text again is no conflict"
    code, report, written = rewrite(text.replace("note", "age"))
    assert code == 2
    assert report["findings"][0]["code"] == "file-exists"
    assert "(note)" in "".join(written.values())


def test_not_null_without_a_value_is_a_draft(rewrite: Any) -> None:
    code, report, written = rewrite("-- migrate:up\nALTER TABLE users ADD COLUMN r text NOT NULL;\n-- migrate:down\n")
    assert code == 0, report["findings"]
    drafts = [text for text in written.values() if "-- db_migrate: draft" in text]
    assert len(drafts) == 1
    assert "in place of NULL" in drafts[0]


@pytest.mark.parametrize(
    ("text", "code", "word"),
    [
        (b"\x00\x01\xff", 2, ""),
        (b"", 0, "nothing to rewrite"),
        (b"SELECT 'oh", 2, "never ends"),
        (b"this is not sql;", 1, "understood"),
        (b"-- migrate:up\nCREATE INDEX ON ;\n-- migrate:down\n", 1, "understood"),
        ('-- migrate:up\nCREATE INDEX größe ON "Größe" ("ä b");\n-- migrate:down\n'.encode(), 0, "wrote"),
    ],
)
def test_hostile_input_writes_no_ddl(*, text: bytes, code: int, word: str, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "1_x.sql"
    path.write_bytes(text)
    assert main(["rewrite", str(path), "--engine", "postgresql"]) == code
    output = capsys.readouterr()
    assert word in output.out + output.err
    assert "Traceback" not in output.err
    if code:
        assert not list(tmp_path.glob("*.rewritten/*"))


def test_columns_are_renamed_outside_of_strings_only() -> None:
    expression = "n > 5 AND label <> 'n' AND \"n\" < 9 -- n\n AND nn = 1"
    assert sql.rename_column(expression, "n", "m") == "m > 5 AND label <> 'n' AND m < 9 -- n\n AND nn = 1"


def test_names_are_cut_with_a_mark() -> None:
    long = sql.made("a" * 50, "b" * 50, "idx")
    assert len(long) <= sql.LONGEST
    assert long != sql.made("a" * 50, "b" * 51, "idx")


@pytest.mark.service("postgresql")
@pytest.mark.slow
def test_the_sequence_holds_in_a_rehearsal(rewrite: Any, postgresql_server: str, tmp_path: Path, capsys: Any) -> None:
    rewrite(
        "-- migrate:up\nALTER TABLE users ALTER COLUMN age TYPE bigint;\n"
        "ALTER TABLE users RENAME COLUMN name TO title;\n"
        "CREATE INDEX users_note ON users (note);\n-- migrate:down\n"
    )
    folder = tmp_path / "migrations" / "20260102000000_change.rewritten"
    code = main(["rehearse", str(folder), "--scratch-url", postgresql_server, "--rows", "5000", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert code == 0, report["findings"]
    assert report["data"]["query_errors"] == 0


def test_mysql_says_how_a_change_may_be_done(rewrite: Any, tmp_path: Path) -> None:
    folder = tmp_path / "migrations"
    folder.mkdir()
    (folder / "20260101000000_setup.sql").write_text(
        "-- migrate:up\nCREATE TABLE users (id BIGINT PRIMARY KEY, a INT, b VARCHAR(20)) ENGINE=InnoDB;\n"
        "-- migrate:down\n"
    )
    code, report, written = rewrite(
        "-- migrate:up\nALTER TABLE users ADD COLUMN n INT DEFAULT 3, ADD INDEX u (a);\nCREATE INDEX i ON users (b);\n"
        "ALTER TABLE users MODIFY a BIGINT;\n-- migrate:down\n",
        engine="mariadb",
    )  # fmt: skip
    text = "\n".join(written.values())
    assert "ADD COLUMN n INT DEFAULT 3, ALGORITHM=INSTANT;" in text
    assert "ADD INDEX u (a), ALGORITHM=INPLACE, LOCK=NONE;" in text
    assert "CREATE INDEX i ON users (b) ALGORITHM=INPLACE LOCK=NONE;" in text
    assert "-- gh-ost" in text
    assert "-- db_migrate: draft" in text
    assert code in (0, 1), report["findings"]


@pytest.mark.service("mariadb")
def test_mariadb_accepts_what_is_written(rewrite: Any, tmp_path: Path, mariadb_url: str) -> None:
    """The clauses are accepted, so nothing copies; and the server refuses them where only a copy would do."""
    import pymysql

    from senior_backend.migrate.databases.urls import parse_url

    folder = tmp_path / "migrations"
    folder.mkdir()
    setup = (
        "CREATE TABLE teams (id BIGINT PRIMARY KEY) ENGINE=InnoDB;\n"
        "CREATE TABLE users (id BIGINT PRIMARY KEY, a INT, b VARCHAR(20), team_id BIGINT, gone INT) ENGINE=InnoDB;"
    )
    (folder / "20260101000000_setup.sql").write_text(f"-- migrate:up\n{setup}\n-- migrate:down\n")
    _, report, written = rewrite(
        "-- migrate:up\nALTER TABLE users ADD COLUMN n INT DEFAULT 3, ADD INDEX u (a);\n"
        "ALTER TABLE users ADD COLUMN token CHAR(36) NOT NULL DEFAULT (uuid());\n"
        "ALTER TABLE users ADD CONSTRAINT f FOREIGN KEY (team_id) REFERENCES teams (id);\n"
        "ALTER TABLE users MODIFY b VARCHAR(40);\nALTER TABLE users MODIFY a BIGINT;\n"
        "ALTER TABLE users DROP COLUMN gone;\nDROP INDEX u ON users;\n-- migrate:down\n",
        engine="mariadb",
    )
    address = parse_url(mariadb_url)
    connection = pymysql.connect(
        host=address.host, port=address.port, user=address.user, password=address.password or "",
        database=address.database, autocommit=True,
    )  # fmt: skip
    refused = 0
    with connection, connection.cursor() as cursor:
        for sql_text in filter(str.strip, setup.split(";")):
            cursor.execute(sql_text)
        cursor.execute("INSERT INTO users (id, a) VALUES (1, 1), (2, 2)")
        for name, text in written.items():
            migration = files.parse(tmp_path / name, text)
            for statement in migration.statements("up", "mariadb"):
                if migration.draft:
                    with pytest.raises(pymysql.Error, match="ALGORITHM"):
                        cursor.execute(statement.text)
                    refused += 1
                else:
                    cursor.execute(statement.text)
        cursor.execute("SELECT count(DISTINCT token), count(*) FROM users WHERE n = 3")
        assert cursor.fetchone() == (2, 2)
    assert refused == 1, report["findings"]


def test_what_stays_because_too_little_is_known_is_not_called_safe(rewrite: Callable[..., Any]) -> None:
    code, report, _ = rewrite(
        "ALTER TABLE invoices RENAME COLUMN total TO amount;\nCREATE UNIQUE INDEX number ON invoices (number);\n"
    )
    assert code == 1
    assert report["summary"] == "wrote 2 files in place of 1 migration; left to you: 2 problems"
    shown = json.dumps(report["data"])
    assert "the statements that stay as they are" in shown
    assert "safe" not in shown
