"""`rehearse` end to end: a hazard has to be seen, and a safe migration has to pass, on each engine."""

from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from senior_backend.migrate.cli import main
from senior_backend.migrate.rehearse import scratch

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SETUP = """-- migrate:up
CREATE TYPE mood AS ENUM ('happy', 'sad');
CREATE TABLE teams (id bigserial PRIMARY KEY, name text NOT NULL UNIQUE);
CREATE TABLE users (
  id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  email varchar(80) NOT NULL UNIQUE,
  age int CHECK (age >= 18 AND age < 130),
  team_id bigint REFERENCES teams,
  mood mood NOT NULL DEFAULT 'happy',
  status text CHECK (status IN ('on', 'off')),
  tags text[],
  data jsonb,
  seen tstzrange,
  created_at timestamptz DEFAULT now()
);
CREATE TABLE memberships (
  user_id bigint NOT NULL REFERENCES users, team_id bigint NOT NULL REFERENCES teams, since date,
  PRIMARY KEY (user_id, team_id)
);
-- migrate:down
DROP TABLE memberships; DROP TABLE users; DROP TABLE teams; DROP TYPE mood;
"""
Rehearse = "Callable[..., tuple[int, dict[str, Any]]]"


@pytest.fixture
def rehearse(tmp_path: Path, postgresql_server: str, capsys: Any) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Rehearse one up section and way back on top of `SETUP`."""

    def call(up: str, down: str = "", *options: str, mark: str = "") -> tuple[int, dict[str, Any]]:
        (tmp_path / "1_setup.sql").write_text(SETUP)
        path = tmp_path / "2_change.sql"
        path.write_text(f"-- migrate:up{mark}\n{up}\n-- migrate:down\n{down}\n")
        arguments = [str(path), "--scratch-url", postgresql_server, "--rows", "3000", "--json", *options]
        code = main(["rehearse", *arguments])
        return code, json.loads(capsys.readouterr().out)

    return call


def codes(report: dict[str, Any], severity: str = "error") -> set[str]:
    return {finding["code"] for finding in report["findings"] if finding["severity"] == severity}


@pytest.mark.service("postgresql")
def test_a_safe_migration_passes(rehearse: Any) -> None:
    code, report = rehearse("ALTER TABLE users ADD COLUMN note text;", "ALTER TABLE users DROP COLUMN note;")
    assert (code, codes(report)) == (0, set()), report["findings"]
    data = report["data"]
    assert data["touched"] == ["users"]
    assert {one["table"]: one["rows"] for one in data["filled"]} == {"teams": 3000, "users": 3000}
    assert (data["down"], data["again"]) == ("same", "same")
    assert data["queries"] > 50
    assert data["query_errors"] == 0
    statement = data["statements"][0]
    assert statement["locks"] == {"users": "AccessExclusiveLock"}
    assert (statement["rewritten"], statement["rows_read"]) == ([], 0)


@pytest.mark.service("postgresql")
def test_a_rewrite_under_a_lock_is_found(rehearse: Any) -> None:
    code, report = rehearse(
        "ALTER TABLE users ALTER COLUMN age TYPE bigint;", "ALTER TABLE users ALTER COLUMN age TYPE int;",
        "--production-rows", "100000000",
    )  # fmt: skip
    assert code == 1
    assert "work-under-lock" in codes(report)
    assert "users" in report["data"]["statements"][0]["rewritten"]
    assert report["data"]["statements"][0]["rows_read"] >= 3000


@pytest.mark.service("postgresql")
def test_a_rename_breaks_the_running_version(rehearse: Any) -> None:
    code, report = rehearse(
        "ALTER TABLE users RENAME COLUMN status TO state;", "ALTER TABLE users RENAME COLUMN state TO status;"
    )
    assert code == 1
    assert codes(report) == {"running-version-broken"}
    assert any("status" in finding["message"] for finding in report["findings"])


@pytest.mark.service("postgresql")
def test_a_way_down_that_leads_elsewhere_is_found(rehearse: Any) -> None:
    code, report = rehearse("ALTER TABLE users ADD COLUMN a int; ALTER TABLE users ADD COLUMN b int;",
                            "ALTER TABLE users DROP COLUMN a;")  # fmt: skip
    assert code == 1
    assert "down-differs" in codes(report)
    assert report["data"]["down"] == "different"


@pytest.mark.service("postgresql")
def test_a_statement_that_fails_is_named_with_its_place(rehearse: Any) -> None:
    code, report = rehearse("ALTER TABLE users ADD COLUMN a int;\nALTER TABLE nowhere ADD COLUMN b int;")
    assert code == 1
    (finding,) = report["findings"]
    assert finding["code"] == "statement-failed"
    assert re.search(r"2_change\.sql:3:1$", finding["where"])


@pytest.mark.service("postgresql")
def test_a_query_that_waits_too_long_is_found_and_named(rehearse: Any) -> None:
    """A statement that sleeps while it holds its lock: the workload has to be seen waiting for it."""
    code, report = rehearse(
        "ALTER TABLE users ADD COLUMN a int;\nSELECT pg_sleep(1);", "ALTER TABLE users DROP COLUMN a;",
        "--max-wait", "300ms", "--no-down",
    )  # fmt: skip
    assert code == 1
    assert "query-waited" in codes(report)
    assert report["data"]["longest_wait_seconds"] > 0.8
    first = report["data"]["statements"][0]
    assert first["longest_wait_seconds"] > 0.8, "the wait belongs to the statement whose lock it was"
    assert first["held_seconds"] > 1


@pytest.mark.service("postgresql")
def test_concurrently_runs_outside_a_transaction_and_blocks_nobody(rehearse: Any) -> None:
    code, report = rehearse(
        "CREATE INDEX CONCURRENTLY users_status ON users (status);", "DROP INDEX users_status;",
        mark=" transaction:false",
    )  # fmt: skip
    assert (code, codes(report)) == (0, set()), report["findings"]


@pytest.mark.service("postgresql")
def test_rows_satisfy_what_the_migration_demands_of_them(rehearse: Any) -> None:
    """Adding a foreign key, a check and NOT NULL succeeds on invented rows, as it does where data is in order."""
    code, report = rehearse(
        "CREATE INDEX users_team ON users (team_id);"
        "ALTER TABLE users ADD CONSTRAINT even CHECK (age % 2 = 0) NOT VALID;"
        "ALTER TABLE users VALIDATE CONSTRAINT even; ALTER TABLE users ALTER COLUMN status SET NOT NULL;",
        "", "--production-rows", "0", "--no-down",
    )  # fmt: skip
    assert code == 0, report["findings"]


EXCLUSIONS = """-- migrate:up
CREATE EXTENSION IF NOT EXISTS btree_gist;
CREATE TABLE rooms (id bigint PRIMARY KEY);
CREATE TABLE bookings (id bigint PRIMARY KEY, room_id bigint NOT NULL REFERENCES rooms, during tstzrange NOT NULL,
  EXCLUDE USING gist (room_id WITH =, during WITH &&));
CREATE TABLE slots (id bigint PRIMARY KEY, desk int NOT NULL, starts timestamp NOT NULL, ends timestamp NOT NULL,
  CHECK (starts < ends), EXCLUDE USING gist (desk WITH =, tsrange(starts, ends) WITH &&));
CREATE TABLE cages (id bigint PRIMARY KEY, cage int NOT NULL, animal text NOT NULL,
  EXCLUDE USING gist (cage WITH =, animal WITH <>));
CREATE TABLE years (id bigint PRIMARY KEY, at int4range NOT NULL, EXCLUDE USING gist (at WITH &&));
CREATE TABLE kinds (id bigint PRIMARY KEY, kind boolean NOT NULL, EXCLUDE USING btree ((NOT kind) WITH =));
-- migrate:down
"""


@pytest.mark.service("postgresql")
def test_invented_rows_keep_exclusions_and_one_that_none_keeps_is_told(
    tmp_path: Path, postgresql_server: str, capsys: Any
) -> None:
    tables = ("bookings", "slots", "cages", "years", "kinds")
    (tmp_path / "1_setup.sql").write_text(EXCLUSIONS)
    change = tmp_path / "2_change.sql"
    ups = "".join(f"ALTER TABLE {table} ADD COLUMN note text;\n" for table in tables)
    downs = "".join(f"ALTER TABLE {table} DROP COLUMN note;\n" for table in tables)
    change.write_text(f"-- migrate:up\n{ups}-- migrate:down\n{downs}")
    main(["rehearse", str(change), "--scratch-url", postgresql_server, "--rows", "1000", "--json"])
    report = json.loads(capsys.readouterr().out)
    filled = {one["table"]: one["rows"] for one in report["data"]["filled"]}
    assert {table: filled[table] for table in tables} == {**dict.fromkeys(tables, 1000), "kinds": 2}
    assert {one["where"] for one in report["findings"] if one["code"] == "query-left-out"} <= {"kinds"}
    assert [one["where"] for one in report["findings"] if one["code"] == "table-not-filled"] == ["kinds"]


@pytest.mark.service("postgresql")
def test_a_table_with_nothing_but_an_identity_is_filled(tmp_path: Path, postgresql_server: str, capsys: Any) -> None:
    tables = "CREATE TABLE accounts (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY);"
    tables += "CREATE TABLE payments (id bigserial PRIMARY KEY, account_id bigint NOT NULL);"
    change = "ALTER TABLE payments ADD CONSTRAINT owned FOREIGN KEY (account_id) REFERENCES accounts (id) NOT VALID;"
    (tmp_path / "1_setup.sql").write_text(f"-- migrate:up\n{tables}\n-- migrate:down\n")
    path = tmp_path / "2_change.sql"
    path.write_text(f"-- migrate:up\n{change}\n-- migrate:down\nALTER TABLE payments DROP CONSTRAINT owned;\n")
    code = main(["rehearse", str(path), "--scratch-url", postgresql_server, "--rows", "500", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert (code, codes(report)) == (0, set()), report["findings"]
    assert {one["table"]: one["rows"] for one in report["data"]["filled"]} == {"accounts": 500, "payments": 500}
    assert report["data"]["query_errors"] == 0


@pytest.mark.service("postgresql")
def test_the_named_database_is_not_touched(rehearse: Any, postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "PREFIX", f"rehearsal_{secrets.token_hex(6)}_")
    code, _ = rehearse("ALTER TABLE users ADD COLUMN note text;", "", "--no-down", "--scratch-url", postgresql_url)
    assert code == 0
    with psycopg.connect(postgresql_url) as connection:
        left = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE %s", (f"{scratch.PREFIX}%",))
        assert left.fetchall() == []
        assert connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone() == (0,)


@pytest.mark.service("postgresql")
def test_the_picture_is_one_file_that_escapes_what_it_shows(rehearse: Any, tmp_path: Path) -> None:
    page = tmp_path / "timeline.html"
    rehearse("ALTER TABLE users ADD COLUMN note text DEFAULT '<script>alert(1)</script>';",
             "ALTER TABLE users DROP COLUMN note;", "--timeline", str(page), "--no-down")  # fmt: skip
    text = page.read_text()
    assert "<svg" in text
    assert "&lt;script&gt;" in text
    assert "<script" not in text
    assert not re.search(r"""(?:src|href)=["']""", text), "loads something"
    assert text.count("<rect") > 20


LITE = """-- migrate:up
CREATE TABLE teams (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE users (id INTEGER PRIMARY KEY, email TEXT NOT NULL UNIQUE, age INT CHECK (age >= 18),
  team_id INTEGER REFERENCES teams (id), status TEXT CHECK (status IN ('on', 'off')));
-- migrate:down
DROP TABLE users; DROP TABLE teams;
"""


@pytest.mark.parametrize(
    ("up", "down", "expected", "found"),
    [
        ("ALTER TABLE users ADD COLUMN note TEXT;", "ALTER TABLE users DROP COLUMN note;", 0, set()),
        ("ALTER TABLE users RENAME COLUMN status TO state;", "ALTER TABLE users RENAME COLUMN state TO status;", 1,
         {"running-version-broken"}),
        ("ALTER TABLE users ADD COLUMN note TEXT;", "SELECT 1;", 1, {"down-differs", "statement-failed"}),
    ],
)  # fmt: skip
def test_sqlite(*, up: str, down: str, expected: int, found: set[str], tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "1_setup.sql").write_text(LITE)
    path = tmp_path / "2_change.sql"
    path.write_text(f"-- migrate:up\n{up}\n-- migrate:down\n{down}\n")
    code = main(["rehearse", str(path), "--engine", "sqlite", "--rows", "2000", "--json"])
    report = json.loads(capsys.readouterr().out)
    assert (code, codes(report)) == (expected, found), report["findings"]
    assert {one["table"]: one["rows"] for one in report["data"]["filled"]} == {"teams": 2000, "users": 2000}


@pytest.mark.service("mariadb")
def test_mariadb(mariadb_url: str, tmp_path: Path, capsys: Any) -> None:
    (tmp_path / "1_setup.sql").write_text("""-- migrate:up
CREATE TABLE teams (id BIGINT AUTO_INCREMENT PRIMARY KEY, name VARCHAR(50) NOT NULL UNIQUE);
CREATE TABLE users (id INT AUTO_INCREMENT PRIMARY KEY, email VARCHAR(80) NOT NULL UNIQUE, age INT,
  team_id BIGINT, status ENUM('on', 'off') NOT NULL DEFAULT 'on', active TINYINT(1), data JSON,
  created_at DATETIME DEFAULT CURRENT_TIMESTAMP, FOREIGN KEY (team_id) REFERENCES teams (id), CHECK (age >= 18));
-- migrate:down
DROP TABLE users; DROP TABLE teams;
""")
    path = tmp_path / "2_change.sql"
    up = "ALTER TABLE users MODIFY age BIGINT;\nALTER TABLE users ADD COLUMN note TEXT;"
    down = "ALTER TABLE users DROP COLUMN note;\nALTER TABLE users MODIFY age INT;"
    path.write_text(f"-- migrate:up\n{up}\n-- migrate:down\n{down}\n")
    arguments = ["--scratch-url", mariadb_url, "--rows", "4000", "--production-rows", "500000000", "--json"]
    code = main(["rehearse", str(path), *arguments])
    report = json.loads(capsys.readouterr().out)
    assert {one["table"]: one["rows"] for one in report["data"]["filled"]} == {"teams": 4000, "users": 4000}
    copied, instant = report["data"]["statements"]
    assert copied["rewritten"] == ["users"]
    assert copied["rows_read"] >= 4000
    assert instant["rewritten"] == []
    assert code in (0, 1)
    assert report["data"]["down"] == "same", report["data"]["differences"]


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        (["missing.sql", "--engine", "postgresql"], 4, "cannot read"),
        (["lonely.sql"], 2, "engine"),
        (["2_change.sql", "--engine", "sqlite", "--max-wait", "soon"], 2, "500ms"),
        (["2_change.sql", "--engine", "postgresql", "--scratch-url", "mysql://root@127.0.0.1/x"], 2, "mysql"),
        (["2_change.sql", "--engine", "postgresql", "--scratch-url", "postgresql://u:pw@127.0.0.1:1/x"], 4, "connect"),
        (["empty.sql", "--engine", "sqlite"], 2, "no statement"),
        (["broken.sql", "--engine", "sqlite"], 2, "never ends"),
        (["binary.sql", "--engine", "sqlite"], 2, "text"),
    ],
)
def test_wrong_calls_say_what_is_wrong(
    *, arguments: list[str], code: int, word: str, tmp_path: Path, capsys: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "1_setup.sql").write_text(LITE)
    (tmp_path / "2_change.sql").write_text("-- migrate:up\nSELECT 1;\n-- migrate:down\n")
    (tmp_path / "empty.sql").write_text("")
    (tmp_path / "lonely.sql").write_text("SELECT 1;")
    (tmp_path / "broken.sql").write_text("SELECT 'oh")
    (tmp_path / "binary.sql").write_bytes(b"\x00\xff\xfe")
    assert main(["rehearse", *arguments]) == code
    output = capsys.readouterr()
    text = output.out + output.err
    assert word in text
    assert "Traceback" not in text
    assert "pw" not in text
