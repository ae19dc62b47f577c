"""The migration runner's speed: python3 benchmarks/migrate_runner.py [--rows N] [--postgresql URL] [--mariadb URL].

Three questions: what `--help` and `status` cost on bare Python; whether applying N files costs linear time; how many
rows a second a backfill changes as a share of one UPDATE of the whole table, and how long a concurrent writer waits
in either case. Each pair is measured in one run, against the same server.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import secrets
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "scripts")]

from senior_backend.migrate.databases.opening import open_database  # noqa: E402
from senior_backend.migrate.databases.urls import parse_url  # noqa: E402

DOOR = ROOT / "scripts" / "db_migrate.py"


def call(*arguments: str, cwd: Path) -> tuple[float, dict[str, Any]]:
    """Return the seconds and the report of one call."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, str(DOOR), *arguments, "--json"], cwd=cwd, capture_output=True, check=False)
    seconds = time.perf_counter() - started
    report: dict[str, Any] = json.loads(done.stdout)
    if done.returncode:
        raise SystemExit(f"{arguments}: {report['summary']}")
    return seconds, report


def start_up(rounds: int = 15) -> None:
    """Print what a call costs before it does anything, beside bare Python."""
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), {"1": "CREATE TABLE a (x int)"})
        call("up", cwd=Path(folder))
        commands = {
            "bare Python and argparse": ["-c", "import argparse; argparse.ArgumentParser().format_help()"],
            "--help": ["-E", "-S", str(DOOR), "--help"],
            "status (SQLite)": ["-E", "-S", str(DOOR), "status"],
        }
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, arguments in commands.items():
                begun = time.perf_counter()
                subprocess.run([sys.executable, *arguments], cwd=folder, stdout=subprocess.DEVNULL, check=True)
                times[name].append(time.perf_counter() - begun)
    for name, values in times.items():
        print(f"{name:<28}{statistics.median(values) * 1000:8.1f} ms")


def write(folder: Path, files: dict[str, str]) -> None:
    """Write migrations into the default folder under `folder`."""
    target = folder / "db" / "migrations"
    target.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (target / f"{name}.sql").write_text(text if "migrate:up" in text else f"-- migrate:up\n{text};\n")


def many_files(url: str, counts: tuple[int, ...] = (100, 400, 1600)) -> None:
    """Print the seconds that N files take, and what one costs."""
    for count in counts:
        with tempfile.TemporaryDirectory() as folder, fresh(url, Path(folder)) as target:
            write(Path(folder), {f"{n:06}_t": f"CREATE TABLE t{n} (id int, name varchar(20))" for n in range(count)})
            seconds, _ = call("up", "--database-url", target, cwd=Path(folder))
            print(f"  {count:>5} files {seconds:7.2f} s {seconds / count * 1000:7.2f} ms each")


class fresh:  # noqa: N801 - used as a function
    """A database of its own for one measurement."""

    def __init__(self, url: str, folder: Path) -> None:
        self.url, self.folder = url, folder
        self.name = f"bench_{secrets.token_hex(4)}"

    def __enter__(self) -> str:
        if self.url.startswith("sqlite"):
            return f"sqlite:{self.folder / 'bench.db'}"
        self._query(f"CREATE DATABASE {self.name}")
        return self.url.rsplit("/", 1)[0] + "/" + self.name

    def __exit__(self, *_: object) -> None:
        if not self.url.startswith("sqlite"):
            self._query(f"DROP DATABASE {self.name}" + (" WITH (FORCE)" if "postgres" in self.url else ""))

    def _query(self, sql: str) -> None:
        database = open_database(parse_url(self.url))
        database.query(sql)
        database.close()


def fill(url: str, rows: int) -> None:
    """Make a table of `rows` users."""
    database = open_database(parse_url(url))
    kind = "bigint PRIMARY KEY"
    database.query(f"CREATE TABLE users (id {kind}, email varchar(60) NOT NULL, lower_email varchar(60), hits int)")
    numbers = {
        "postgresql": "SELECT n FROM generate_series(1, {}) AS n",
        "mysql": "SELECT seq AS n FROM seq_1_to_{}",
        "mariadb": "SELECT seq AS n FROM seq_1_to_{}",
        "sqlite": "WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {}) SELECT n FROM s",
    }[database.engine].format(rows)
    text = "concat('User', n, '@Example.com')" if database.engine != "sqlite" else "'User' || n || '@Example.com'"
    database.query(f"INSERT INTO users SELECT n, {text}, NULL, 0 FROM ({numbers}) AS numbers")
    if database.engine == "postgresql":
        database.query("VACUUM ANALYZE users")
    database.close()


def with_writer(url: str, rows: int, work: Callable[[], None]) -> tuple[float, list[float]]:
    """Return the seconds of `work`, and the waits of a writer that updates one row after the other meanwhile."""
    stop = threading.Event()
    waits: list[float] = []

    def writing() -> None:
        database = open_database(parse_url(url))
        database.limit(60, 0)
        number = 1
        while not stop.is_set():
            number = (number * 7919 + 13) % rows + 1
            begun = time.perf_counter()
            database.query(f"UPDATE users SET hits = hits + 1 WHERE id = {number}")
            waits.append(time.perf_counter() - begun)
            time.sleep(0.002)
        database.close()

    thread = threading.Thread(target=writing)
    thread.start()
    time.sleep(0.3)
    begun = time.perf_counter()
    work()
    seconds = time.perf_counter() - begun
    stop.set()
    thread.join()
    return seconds, sorted(waits)


def backfill(url: str, rows: int, batch: int) -> None:
    """Print the rates and the worst waits of one UPDATE and of a backfill."""
    statement = "UPDATE users SET lower_email = lower(email) WHERE lower_email IS NULL"
    rates = {}
    for name in ("one UPDATE", "backfill"):
        with tempfile.TemporaryDirectory() as folder, fresh(url, Path(folder)) as target:
            fill(target, rows)
            directive = f"-- db_migrate: backfill table=users key=id batch={batch}"
            write(Path(folder), {"1": f"-- migrate:up transaction:false\n{directive}\n{statement};\n"})

            def work(name: str = name, target: str = target, folder: str = folder) -> None:
                if name == "backfill":
                    call("up", "--database-url", target, cwd=Path(folder))
                    return
                database = open_database(parse_url(target))
                database.limit(60, 0)
                database.query(statement)
                database.close()

            seconds, waits = with_writer(target, rows, work)
            rates[name] = rows / seconds
            middle = waits[len(waits) // 2]
            print(
                f"  {name:<11}{rows / seconds:12,.0f} rows/s; the writer: worst {waits[-1] * 1000:8.0f} ms, "
                f"median {middle * 1000:6.2f} ms, {len(waits)} writes"
            )
    print(f"  share of the single UPDATE's rate: {rates['backfill'] / rates['one UPDATE']:.0%}")


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=1000)
    parser.add_argument("--postgresql", default=os.environ.get("TEST_POSTGRESQL_URL"))
    parser.add_argument("--mariadb", default=os.environ.get("TEST_MARIADB_URL"))
    options = parser.parse_args()
    print(f"Python {platform.python_version()}, {os.cpu_count()} cores")
    start_up()
    targets = {"SQLite": "sqlite:x", "PostgreSQL": options.postgresql, "MariaDB": options.mariadb}
    for name, url in targets.items():
        if url:
            print(f"{name}: applying N files")
            many_files(url)
    for name, url in targets.items():
        if url:
            print(f"{name}: {options.rows:,} rows, batches of {options.batch}")
            backfill(url, options.rows, options.batch)
    return 0


if __name__ == "__main__":
    sys.exit(main())
