"""Crashes, races, locks, restarts, full disks: nothing is lost, nothing runs twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests import services
from tests.migrate.support import ROOT, start, wait_for, write_migrations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Ten files; the rows of `log` would show a statement that ran twice or not at all.
COMMON = {
    "01_log": "CREATE TABLE log (id integer PRIMARY KEY, what varchar(20));INSERT INTO log VALUES (1, 'one')",
    "02_users": "CREATE TABLE users (id integer PRIMARY KEY, name varchar(50), lower_name varchar(50), hits integer)",
    "03_rows": "INSERT INTO users (id, name, hits) VALUES " + ", ".join(f"({n}, 'User {n}', 0)" for n in range(1, 8)),
    "04_counted": "-- migrate:up transaction:false\nUPDATE users SET hits = hits + 1 WHERE id < 4;\n"
    "INSERT INTO log SELECT max(id) + 1, 'counted' FROM log;\nUPDATE users SET hits = hits + 1 WHERE id > 2;\n",
    "05_backfill": "-- migrate:up transaction:false\n-- db_migrate: backfill table=users key=id batch=2\n"
    "UPDATE users SET lower_name = lower(name), hits = hits + 10 WHERE id <> 5;\n",
    "06_column": "ALTER TABLE users ADD COLUMN email varchar(50);UPDATE users SET email = name WHERE id > 0;"
    "INSERT INTO log SELECT max(id) + 1, 'email' FROM log",
}
POSTGRESQL = COMMON | {
    "07_index": "-- migrate:up transaction:false\nCREATE INDEX CONCURRENTLY users_name ON users (name);",
    "08_mixed": "-- migrate:up transaction:false\nSET work_mem = '8MB';\n"
    "CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS users_email ON users (email);\n"
    "INSERT INTO log SELECT max(id) + 1, 'between' FROM log;\nCREATE INDEX CONCURRENTLY ON users (hits);\n"
    "DROP INDEX CONCURRENTLY users_name;\nINSERT INTO log SELECT max(id) + 1, 'after' FROM log;\n",
    "09_check": "ALTER TABLE users ADD CONSTRAINT positive CHECK (hits >= 0) NOT VALID",
    "10_validate": "ALTER TABLE users VALIDATE CONSTRAINT positive;INSERT INTO log SELECT max(id) + 1, 'x' FROM log",
}
MARIADB = COMMON | {
    "07_index": "ALTER TABLE users ADD INDEX users_name (name), ALGORITHM=INPLACE, LOCK=NONE;",
    "08_mixed": "SET SESSION foreign_key_checks = 0;\nALTER TABLE users ADD COLUMN a int, ADD COLUMN b int;\n"
    "INSERT INTO log SELECT max(id) + 1, 'between' FROM log;\nALTER TABLE users RENAME COLUMN a TO c;\n"
    "CREATE TABLE child (id int PRIMARY KEY, user_id int, FOREIGN KEY (user_id) REFERENCES users (id));\n"
    "INSERT INTO child VALUES (1, 999);\n",
    "09_trigger": "CREATE TRIGGER t BEFORE INSERT ON log FOR EACH ROW BEGIN SET NEW.what = upper(NEW.what); END;\n"
    "INSERT INTO log SELECT max(id) + 1, 'loud' FROM log;\nDROP TRIGGER t;\n",
    "10_rename": "RENAME TABLE child TO kid;\nINSERT INTO log SELECT max(id) + 1, 'end' FROM log;\n",
}
SQLITE = COMMON | {
    "07_index": "CREATE INDEX users_name ON users (name)",
    "08_rebuild": "CREATE TABLE n (id integer PRIMARY KEY, name text NOT NULL, hits integer);"
    "INSERT INTO n SELECT id, name, hits FROM users;INSERT INTO log SELECT max(id) + 1, 'copied' FROM log",
    "09_vacuum": "-- migrate:up transaction:false\nVACUUM;\nINSERT INTO log SELECT max(id) + 1, 'v' FROM log;\n",
    "10_end": "ALTER TABLE n RENAME TO people;INSERT INTO log SELECT max(id) + 1, 'end' FROM log",
}


def kill_everywhere(url: str, folder: Path, *extra: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.migrate.killer", url, str(folder), *extra],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(__import__("os"), "fork"), reason="needs fork")
def test_killed_at_every_message_on_sqlite(tmp_path: Path) -> None:
    # In memory where the system has such a folder: what a kill leaves does not depend on the disk.
    quick = Path(tempfile.mkdtemp(dir="/dev/shm" if Path("/dev/shm").is_dir() else None))
    folder = write_migrations(tmp_path / "migrations", SQLITE)
    try:
        result = kill_everywhere(f"sqlite:{quick / 'app.db'}", folder)
    finally:
        shutil.rmtree(quick)
    assert result["failures"] == []
    assert result["points"] > 60


@pytest.mark.slow
@pytest.mark.longest
def test_killed_at_every_message_on_postgresql(tmp_path: Path, postgresql_url: str) -> None:
    folder = write_migrations(tmp_path / "migrations", POSTGRESQL)
    result = kill_everywhere(postgresql_url, folder)
    assert result["failures"] == []
    assert result["points"] > 60


@pytest.mark.slow
@pytest.mark.longest
def test_killed_at_every_message_on_mariadb(tmp_path: Path, mariadb_url: str) -> None:
    folder = write_migrations(tmp_path / "migrations", MARIADB)
    result = kill_everywhere(mariadb_url, folder)
    assert result["failures"] == []
    assert result["points"] > 60


# `kept` was there before: what a way back that ran twice would do to it shows.
BACK = {
    "1": "-- migrate:up\nCREATE TABLE kept (id integer PRIMARY KEY, n integer);INSERT INTO kept VALUES (1, 0);\n"
    "-- migrate:down transaction:false\nUPDATE kept SET n = n + 1 WHERE id = 1;\n"
    "UPDATE kept SET n = n + 1 WHERE n > 0;\n",
    "2": "-- migrate:up\nALTER TABLE kept ADD COLUMN a integer;\n"
    "-- migrate:down\nALTER TABLE kept DROP COLUMN a;\nUPDATE kept SET n = n + 10 WHERE id = 1;\n",
    "3": "-- migrate:up transaction:false\nCREATE INDEX{} kept_n ON kept (n);\n"
    "-- migrate:down transaction:false\n{}UPDATE kept SET n = n + 100 WHERE id = 1;\n",
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fixture", "build", "drop"),
    [
        (None, "", "DROP INDEX kept_n;\n"),
        ("postgresql_url", " CONCURRENTLY", "DROP INDEX CONCURRENTLY kept_n;\n"),
        ("mariadb_url", "", "ALTER TABLE kept DROP INDEX kept_n;\n"),
    ],
    ids=["sqlite", "postgresql", "mariadb"],
)
def test_killed_at_every_message_on_the_way_back(
    tmp_path: Path, request: pytest.FixtureRequest, fixture: str | None, build: str, drop: str
) -> None:
    url = str(request.getfixturevalue(fixture)) if fixture else f"sqlite:{tmp_path / 'd' / 'app.db'}"
    folder = write_migrations(tmp_path / "migrations", BACK | {"3": BACK["3"].format(build, drop)})
    result = kill_everywhere(url, folder, "--down")
    assert result["failures"] == []
    assert result["points"] > 15


def test_two_and_eight_runners_at_once_apply_each_file_once_on_sqlite(tmp_path: Path) -> None:
    race(tmp_path, f"sqlite:{tmp_path / 'd' / 'app.db'}", SQLITE)


@pytest.mark.slow
def test_two_and_eight_runners_at_once_apply_each_file_once_on_postgresql(tmp_path: Path, postgresql_url: str) -> None:
    race(tmp_path, postgresql_url, POSTGRESQL)


@pytest.mark.slow
def test_two_and_eight_runners_at_once_apply_each_file_once_on_mariadb(tmp_path: Path, mariadb_url: str) -> None:
    race(tmp_path, mariadb_url, MARIADB)


def race(tmp_path: Path, url: str, files: dict[str, str]) -> None:
    """Eight runners on an empty database, then two on one with three more files."""
    folder = write_migrations(tmp_path / "migrations", files)
    for count in (8, 2):
        runners = [start("up", "--database-url", url, "-d", str(folder), "--json", cwd=tmp_path) for _ in range(count)]
        results = [runner.communicate(timeout=120) for runner in runners]
        assert [runner.returncode for runner in runners] == [0] * count, results
        finished = [len(json.loads(out)["data"]["finished"]) for out, _ in results]
        assert sorted(finished) == [0] * (count - 1) + [len(files) if count == 8 else 3]
        write_migrations(folder, {f"2{n}_more": f"CREATE TABLE more{n} (id integer PRIMARY KEY)" for n in range(3)})


def open_psycopg(url: str, **options: Any) -> Any:
    import psycopg

    return psycopg.connect(url, autocommit=True, **options)


@pytest.mark.timing
def test_a_long_transaction_makes_the_migration_give_way_and_nobody_wait(tmp_path: Path, postgresql_url: str) -> None:
    folder = write_migrations(
        tmp_path / "migrations",
        {"1": "CREATE TABLE busy (id int PRIMARY KEY);INSERT INTO busy VALUES (1)", "2_alter": ALTER},
    )
    arguments = ["--database-url", postgresql_url, "-d", str(folder), "--json"]
    first = start("up", *arguments, "--to", "1", cwd=tmp_path)
    assert first.wait(60) == 0
    holder = open_psycopg(postgresql_url)
    holder.execute("BEGIN")
    holder.execute("SELECT * FROM busy")
    runner = start("up", *arguments, "--lock-timeout", "300ms", cwd=tmp_path)
    reader = open_psycopg(postgresql_url)
    waits: list[float] = []
    released = time.monotonic() + 4
    while runner.poll() is None:
        begun = time.monotonic()
        reader.execute("SELECT count(*) FROM busy")
        waits.append(time.monotonic() - begun)
        time.sleep(0.01)
        if holder is not None and time.monotonic() > released:
            holder.execute("COMMIT")
            holder.close()
            holder = None
    out, errors = runner.communicate()
    reader.close()
    assert runner.returncode == 0, errors
    done = json.loads(out)["data"]["finished"][0]
    assert done["retries"] >= 2, "it waited instead of giving way"
    assert len(waits) > 50
    assert max(waits) < 1.5, "a reader waited far longer than the limit of 300 ms"


ALTER = "ALTER TABLE busy ADD COLUMN a int;\nALTER TABLE busy ADD COLUMN b int;"


@pytest.mark.slow
def test_it_gives_up_after_its_attempts_and_names_who_holds_the_lock(tmp_path: Path, postgresql_url: str) -> None:
    folder = write_migrations(tmp_path / "migrations", {"1": "CREATE TABLE busy (id int)", "2": ALTER})
    arguments = ["up", "--database-url", postgresql_url, "-d", str(folder), "--json"]
    assert start(*arguments, "--to", "1", cwd=tmp_path).wait(60) == 0
    with open_psycopg(postgresql_url, application_name="report-job") as holder:
        holder.execute("BEGIN")
        holder.execute("SELECT * FROM busy")
        runner = start(*arguments, "--lock-timeout", "100ms", "--lock-retries", "2", cwd=tmp_path)
        report = json.loads(runner.communicate(timeout=60)[0])
        assert (runner.returncode, report["findings"][0]["code"]) == (4, "lock-not-available")
        assert "report-job" in report["findings"][0]["fix"]
        assert report["findings"][0]["where"].endswith("2.sql:2:1")


@pytest.mark.slow
def test_killed_while_an_index_is_being_built_it_repairs_and_goes_on(tmp_path: Path, postgresql_url: str) -> None:
    build = "-- migrate:up transaction:false\nCREATE INDEX CONCURRENTLY IF NOT EXISTS slow_one ON busy (id);\n"
    files = {"1": "CREATE TABLE busy (id int)", "2": build}
    folder = write_migrations(tmp_path / "migrations", files)
    arguments = ["up", "--database-url", postgresql_url, "-d", str(folder), "--json"]
    assert start(*arguments, "--to", "1", cwd=tmp_path).wait(60) == 0
    with open_psycopg(postgresql_url) as holder, open_psycopg(postgresql_url) as watcher:
        holder.execute("BEGIN")
        holder.execute("INSERT INTO busy VALUES (1)")
        runner = start(*arguments, cwd=tmp_path)
        wait_for(lambda: watcher.execute("SELECT 1 FROM pg_index WHERE NOT indisvalid").fetchone())
        runner.kill()
        runner.communicate()
        # The backend of the killed runner still waits; end it as a restart would, with the invalid index left behind.
        watcher.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE application_name = 'db_migrate' AND datname = current_database()"
        )
        wait_for(lambda: watcher.execute(
            "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'db_migrate' "
            "AND datname = current_database()").fetchone()[0])  # fmt: skip
        holder.execute("COMMIT")
        assert watcher.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'slow_one'::regclass"
        ).fetchone() == (False,)
        again = start(*arguments, cwd=tmp_path)
        report = json.loads(again.communicate(timeout=60)[0])
        assert (again.returncode, [one["code"] for one in report["findings"]]) == (0, ["repaired"])
        assert watcher.execute(
            "SELECT indisvalid FROM pg_index WHERE indexrelid = 'slow_one'::regclass"
        ).fetchone() == (True,)


def test_a_unique_index_that_fails_leaves_nothing_invalid(tmp_path: Path, postgresql_url: str) -> None:
    files = {"1": "CREATE TABLE t (id int);INSERT INTO t VALUES (1), (1)",
             "2": "-- migrate:up transaction:false\nCREATE UNIQUE INDEX CONCURRENTLY once ON t (id);\n"}  # fmt: skip
    folder = write_migrations(tmp_path / "migrations", files)
    arguments = ["up", "--database-url", postgresql_url, "-d", str(folder), "--json"]
    runner = start(*arguments, cwd=tmp_path)
    report = json.loads(runner.communicate(timeout=60)[0])
    assert (runner.returncode, [one["code"] for one in report["findings"]]) == (1, ["repaired", "statement-failed"])
    with open_psycopg(postgresql_url) as connection:
        assert connection.execute("SELECT 1 FROM pg_class WHERE relname = 'once'").fetchone() is None
        connection.execute("DELETE FROM t")
    assert start(*arguments, cwd=tmp_path).wait(60) == 0


@pytest.mark.slow
def test_a_second_runner_does_not_stop_a_concurrent_index(tmp_path: Path, postgresql_url: str) -> None:
    files = {"1": "CREATE TABLE busy (id int)",
             "2": "-- migrate:up transaction:false\nCREATE INDEX CONCURRENTLY slow_one ON busy (id);\n"}  # fmt: skip
    folder = write_migrations(tmp_path / "migrations", files)
    arguments = ["up", "--database-url", postgresql_url, "-d", str(folder), "--json"]
    assert start(*arguments, "--to", "1", cwd=tmp_path).wait(60) == 0
    with open_psycopg(postgresql_url) as holder, open_psycopg(postgresql_url) as watcher:
        holder.execute("BEGIN")
        holder.execute("INSERT INTO busy VALUES (1)")
        one = start(*arguments, cwd=tmp_path)
        wait_for(lambda: watcher.execute("SELECT 1 FROM pg_index WHERE NOT indisvalid").fetchone())
        two = start(*arguments, cwd=tmp_path)
        time.sleep(1)
        holder.execute("COMMIT")
        assert (one.wait(30), two.wait(30)) == (0, 0), "the waiting runner blocked the one that works"
        one.communicate()
        two.communicate()


@pytest.fixture
def own_postgresql(tmp_path: Path) -> Iterator[tuple[str, Callable[..., None]]]:
    """A server of this test alone, and a function that calls pg_ctl on it."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb")) or [
        Path(found) for found in [shutil.which("initdb")] if found
    ]
    if not binaries:
        services.missing("there is no initdb to make a server that can be stopped")
    folder = Path(tempfile.mkdtemp(prefix="pg"))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    user: dict[str, Any] = {}
    if os.getuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        user = {"user": "postgres", "group": "postgres", "extra_groups": []}

    def call_tool(tool: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(binaries[-1].with_name(tool)), *arguments], cwd=folder, check=False, timeout=60,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **user,
        )  # fmt: skip
        assert done.returncode == 0, (tool, arguments)

    def control(action: str) -> None:
        options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        more = ["-o", options, "-l", str(folder / "log")] if action == "start" else ["-m", "immediate"]
        call_tool("pg_ctl", "-D", str(folder / "data"), "-w", *more, action)

    call_tool("initdb", "-D", str(folder / "data"), "-U", "postgres", "-A", "trust", "--no-sync")
    control("start")
    try:
        yield f"postgresql://postgres@127.0.0.1:{port}/postgres", control
    finally:
        subprocess.run(
            [str(binaries[-1].with_name("pg_ctl")), "-D", str(folder / "data"), "-m", "immediate", "stop"],
            check=False, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, cwd=folder, **user,
        )  # fmt: skip
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_server_that_restarts_half_way_is_waited_for(
    tmp_path: Path, own_postgresql: tuple[str, Callable[[str], None]]
) -> None:
    url, control = own_postgresql
    steps = "INSERT INTO log VALUES (2);\nSELECT pg_sleep(3);\nINSERT INTO log VALUES (3);"
    files = {
        "1": "CREATE TABLE log (id int PRIMARY KEY);INSERT INTO log VALUES (1)",
        "2": f"-- migrate:up transaction:false\n{steps}",
        "3": "INSERT INTO log VALUES (4);SELECT pg_sleep(0.1)",
    }
    folder = write_migrations(tmp_path / "migrations", files)
    runner = start("up", "--database-url", url, "-d", str(folder), "--json", cwd=tmp_path)
    with open_psycopg(url) as watcher:
        wait_for(
            lambda: watcher.execute("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(3)%'").fetchone()
        )
    control("stop")
    time.sleep(1)
    control("start")
    out, errors = runner.communicate(timeout=90)
    assert runner.returncode == 0, (out, errors)
    assert [one["code"] for one in json.loads(out)["findings"]] == ["reconnected"]
    with open_psycopg(url) as watcher:
        assert watcher.execute("SELECT id FROM log ORDER BY 1").fetchall() == [(1,), (2,), (3,), (4,)]


@pytest.mark.slow
def test_a_server_that_does_not_come_back_is_told(
    tmp_path: Path, own_postgresql: tuple[str, Callable[[str], None]]
) -> None:
    url, control = own_postgresql
    folder = write_migrations(tmp_path / "migrations", {"1": "SELECT 1", "2": "SELECT pg_sleep(5)"})
    runner = start("up", "--database-url", url, "-d", str(folder), "--json", "--reconnect", "1s", cwd=tmp_path)
    with open_psycopg(url) as watcher:
        wait_for(
            lambda: watcher.execute("SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(5)%'").fetchone()
        )
    control("stop")
    out, _ = runner.communicate(timeout=60)
    report = json.loads(out)
    assert (runner.returncode, [one["version"] for one in report["data"]["finished"]]) == (4, ["1"])
    down = start("status", "--database-url", url, "-d", str(folder), "--json", cwd=tmp_path)
    assert json.loads(down.communicate(timeout=30)[0])["findings"][0]["code"] == "database-unavailable"
    assert down.returncode == 4


def test_a_full_disk_on_sqlite_changes_nothing(tmp_path: Path) -> None:
    """The limit on the size of files that a process writes is the disk that is full."""
    import resource

    folder = write_migrations(tmp_path / "migrations", {
        "1": "CREATE TABLE t (x text)",
        "2": "CREATE TABLE u (x int);INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n "
             "WHERE i < 2000) SELECT hex(randomblob(2000)) FROM n",
    })  # fmt: skip
    database = tmp_path / "app.db"
    arguments = ["up", "--database-url", f"sqlite:{database}", "-d", str(folder), "--json"]

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))

    runner = start(*arguments, cwd=tmp_path, preexec_fn=small_disk)
    out, errors = runner.communicate(timeout=60)
    report = json.loads(out)
    assert (runner.returncode, report["findings"][0]["code"]) == (4, "database-unavailable"), (out, errors)
    assert [one["version"] for one in report["data"]["finished"]] == ["1"]
    with sqlite3.connect(database) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'u'").fetchone() is None
    assert start(*arguments, cwd=tmp_path).wait(60) == 0


@pytest.mark.skipif(os.name == "nt", reason="needs permissions")
def test_a_read_only_sqlite_target_is_told() -> None:
    folder = Path(tempfile.mkdtemp(prefix="read-only-"))  # not under pytest's folders, which only their owner enters
    folder.chmod(0o755)
    try:
        migrations = write_migrations(folder / "migrations", {"1": "CREATE TABLE t (x text)"})
        place = folder / "place"
        place.mkdir(mode=0o555)
        somebody: dict[str, Any] = {}
        if os.getuid() == 0:  # permissions do not bind root
            somebody = {"user": 65534, "group": 65534, "extra_groups": []}
            if not all(parent.stat().st_mode & 0o001 for parent in Path(sys.executable).parents):
                pytest.skip("no other user can enter the folder of this Python")
        arguments = ["up", "--database-url", f"sqlite:{place / 'app.db'}", "-d", str(migrations), "--json"]
        runner = start(*arguments, cwd=folder, env={**os.environ, "HOME": "/nonexistent"}, **somebody)
        out, errors = runner.communicate(timeout=60)
        assert (runner.returncode, json.loads(out)["findings"][0]["code"]) == (4, "database-unavailable"), errors
        assert list(place.iterdir()) == []
    finally:
        shutil.rmtree(folder)


@pytest.mark.slow
def test_an_interrupt_ends_with_130_and_what_was_done(tmp_path: Path, postgresql_url: str) -> None:
    files = {"1": "CREATE TABLE log (id int)", "2": "INSERT INTO log VALUES (1);SELECT pg_sleep(20)"}
    folder = write_migrations(tmp_path / "migrations", files)
    runner = start("up", "--database-url", postgresql_url, "-d", str(folder), "--json", cwd=tmp_path)
    with open_psycopg(postgresql_url) as watcher:
        sleeping = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(20)%' AND state = 'active'"
        wait_for(lambda: watcher.execute(sleeping).fetchone())
        runner.send_signal(signal.SIGINT)
        report = json.loads(runner.communicate(timeout=30)[0])
        assert (runner.returncode, [one["version"] for one in report["data"]["finished"]]) == (130, ["1"])
        assert watcher.execute("SELECT count(*) FROM log").fetchone() == (0,)


def test_a_statement_that_runs_too_long_is_stopped_unless_its_file_says_so(tmp_path: Path, postgresql_url: str) -> None:
    folder = write_migrations(tmp_path / "migrations", {"1": "SELECT pg_sleep(2)"})
    arguments = ["up", "--database-url", postgresql_url, "-d", str(folder), "--json", "--statement-timeout", "500ms"]
    runner = start(*arguments, cwd=tmp_path)
    report = json.loads(runner.communicate(timeout=30)[0])
    assert (runner.returncode, report["findings"][0]["code"]) == (1, "statement-failed")
    assert "--statement-timeout" in report["findings"][0]["fix"]
    write_migrations(folder, {"1": "SET LOCAL statement_timeout = '10s';SELECT pg_sleep(1)"})
    assert start(*arguments, cwd=tmp_path).wait(30) == 0


def test_a_role_that_a_file_takes_does_not_write_the_ledger(tmp_path: Path, postgresql_url: str) -> None:
    role = f"owner_{tmp_path.name[-12:]}_{os.getpid()}".replace("-", "_")
    with open_psycopg(postgresql_url) as connection:
        connection.execute(f"CREATE ROLE {role}")
        try:
            connection.execute(f"GRANT CREATE, USAGE ON SCHEMA public TO {role}")
            folder = write_migrations(
                tmp_path / "m",
                {
                    "1": "SELECT 1",
                    "2": f"SET ROLE {role};CREATE TABLE theirs (x int)",
                    "3": "CREATE TABLE ours (x int)",
                },
            )
            runner = start("up", "--database-url", postgresql_url, "-d", str(folder), "--json", cwd=tmp_path)
            out, errors = runner.communicate(timeout=30)
            assert runner.returncode == 0, (out, errors)
            owners = connection.execute(
                "SELECT tablename, tableowner FROM pg_tables WHERE tablename IN ('theirs', 'ours')"
            )
            assert dict(owners.fetchall()) == {"theirs": role, "ours": "postgres"}
        finally:
            connection.execute(f"DROP OWNED BY {role} CASCADE")
            connection.execute(f"DROP ROLE {role}")


def test_copy_data_of_a_dump_is_loaded(tmp_path: Path, postgresql_url: str) -> None:
    data = "COPY t (a, b) FROM stdin;\n1\tit's; ok\n2\t\\N\n\\.\n"
    text = f"CREATE TABLE t (a int, b text);\n{data}INSERT INTO t VALUES (3, 'x');"
    folder = write_migrations(tmp_path / "migrations", {"1": text})
    assert start("up", "--database-url", postgresql_url, "-d", str(folder), cwd=tmp_path).wait(30) == 0
    with open_psycopg(postgresql_url) as connection:
        assert connection.execute("SELECT * FROM t ORDER BY a").fetchall() == [(1, "it's; ok"), (2, None), (3, "x")]


def test_a_file_that_failed_half_way_on_mariadb_goes_on_behind_what_is_done(tmp_path: Path, mariadb_url: str) -> None:
    """MySQL commits around DDL: what is done stays done, and is not run again."""
    up = "CREATE TABLE a (x int);\nINSERT INTO a VALUES (1);\nALTER TABLE nowhere ADD COLUMN y int;\n"
    down = "-- migrate:down\nALTER TABLE a RENAME TO b;\nDROP TABLE nowhere;\n"
    folder = write_migrations(tmp_path / "migrations", {"1": f"-- migrate:up\n{up}{down}"})
    arguments = ["--database-url", mariadb_url, "-d", str(folder), "--json"]

    def run(*words: str) -> tuple[int, dict[str, Any]]:
        process = start(*words, *arguments, cwd=tmp_path)
        return process.wait(30), json.loads(process.communicate()[0])

    code, report = run("up")
    assert (code, report["findings"][0]["where"][-4:]) == (1, ":4:1")
    code, report = run("status")
    assert (code, report["findings"][0]["code"]) == (1, "half-way")
    assert run("down")[1]["findings"][0]["code"] == "half-way"
    path = folder / "1.sql"
    path.write_text(path.read_text().replace("(1)", "(2)"))
    code, report = run("up")
    assert (code, report["findings"][0]["code"]) == (5, "edited"), "a statement that was done has changed"
    path.write_text(path.read_text().replace("(2)", "(1)").replace("TABLE nowhere ADD", "TABLE a ADD"))
    assert run("up")[0] == 0
    token = run("plan", "--down")[1]["data"]["token"]
    assert run("down", "--token", token)[0] == 1
    path.write_text(path.read_text().replace("DROP TABLE nowhere", "DROP TABLE b"))
    assert run("up")[1]["findings"][0]["code"] == "half-way"
    token = run("plan", "--down")[1]["data"]["token"]
    assert run("down", "--token", token)[0] == 0
    assert run("verify")[1]["findings"][0]["code"] == "pending"


@pytest.mark.slow
def test_killed_while_mariadb_copies_a_table_the_statement_is_not_sent_again(tmp_path: Path, mariadb_url: str) -> None:
    """The server goes on without its client, and commits: the next runner waits for it, looks, and goes on."""
    import pymysql

    from senior_backend.migrate.databases.urls import parse_url

    folder = write_migrations(
        tmp_path / "migrations",
        {
            "1": "CREATE TABLE big (id int PRIMARY KEY, filler varchar(200))",
            "2": "INSERT INTO big WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 387) "
            "SELECT a.i * 388 + b.i + 1, repeat('x', 200) FROM n AS a, n AS b",
            "3": "ALTER TABLE big ADD COLUMN twice int AS (id * 2) STORED, ALGORITHM=COPY;\n"
            "INSERT INTO big (id) VALUES (0)",
        },
    )
    arguments = ["up", "--database-url", mariadb_url, "-d", str(folder), "--json"]
    assert start(*arguments, "--to", "2", cwd=tmp_path).wait(60) == 0
    address = parse_url(mariadb_url)
    watcher = pymysql.connect(host=address.host, port=address.port, user=address.user, password=address.password or "",
                              database=address.database, autocommit=True)  # fmt: skip

    def altering() -> bool:
        with watcher.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM information_schema.processlist "
                "WHERE db = DATABASE() AND info LIKE 'ALTER TABLE big%'"
            )
            row = cursor.fetchone()
            return bool(row and row[0])

    runner = start(*arguments, cwd=tmp_path)
    wait_for(altering)
    runner.kill()
    runner.communicate()
    again = start(*arguments, cwd=tmp_path)
    out, errors = again.communicate(timeout=90)
    assert again.returncode == 0, (out, errors)
    with watcher.cursor() as cursor:
        cursor.execute("SELECT count(*), sum(twice = id * 2) FROM big")
        row = cursor.fetchone()
    watcher.close()
    assert row is not None
    assert [int(value) for value in row] == [388 * 388 + 1] * 2


def medians(commands: dict[str, list[str]], cwd: Path, rounds: int = 9) -> dict[str, float]:
    """Return the median processor time of each command: what others do on the machine does not count."""
    import resource

    def used() -> float:
        spent = resource.getrusage(resource.RUSAGE_CHILDREN)
        return spent.ru_utime + spent.ru_stime

    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, command in commands.items():
            before = used()
            subprocess.run([sys.executable, *command], cwd=cwd, stdout=subprocess.DEVNULL, check=True)
            times[name].append(used() - before)
    return {name: sorted(values)[rounds // 2] for name, values in times.items()}


@pytest.mark.timing
def test_start_up_stays_cheap(tmp_path: Path) -> None:
    write_migrations(tmp_path / "db" / "migrations", {"1": "CREATE TABLE a (x int)"})
    assert start("up", cwd=tmp_path).wait(30) == 0
    found = medians(
        {
            "bare": ["-E", "-S", "-c", "import argparse; argparse.ArgumentParser().format_help()"],
            "help": ["-E", "-S", str(ROOT / "scripts/db_migrate.py"), "--help"],
            "status": ["-E", "-S", str(ROOT / "scripts/db_migrate.py"), "status"],
        },
        tmp_path,
    )
    assert found["help"] < 3 * found["bare"], found
    assert found["status"] < 5 * found["bare"], found


@pytest.mark.timing
def test_many_files_cost_linear_time(tmp_path: Path) -> None:
    each = {}
    for count in (100, 800):
        folder = tmp_path / str(count)
        write_migrations(
            folder / "db" / "migrations", {f"{n:05}_t": f"CREATE TABLE t{n} (x int)" for n in range(count)}
        )
        begun = time.perf_counter()
        assert start("up", cwd=folder).wait(120) == 0
        each[count] = (time.perf_counter() - begun) / count
    assert each[800] < 3 * each[100], each
