"""How long linting takes: whole processes, and how the time grows with the number of statements."""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from benchmarks.migrate_lint import ENVIRONMENT, KINDS, QUIET, SMALL, compare, corpus
from benchmarks.migrate_lint import commands as both
from senior_backend.migrate.catalog import Catalog
from senior_backend.migrate.hazards.registry import rules_for
from senior_backend.migrate.hazards.rule import Unit
from senior_backend.migrate.lint import Linter
from senior_backend.migrate.statements import Engine

ROOT = Path(__file__).parents[3]
GROWING: dict[str, tuple[Engine, bool | None, str]] = {
    "indexes on one table": ("postgresql", None, "CREATE INDEX i{n} ON users (name);"),
    "tables": ("postgresql", True, "CREATE TABLE t{n} (a int REFERENCES users (id));"),
    "columns of many tables": ("postgresql", True, "ALTER TABLE t{n} ADD COLUMN a int;"),
    "data in one transaction": ("postgresql", True, "UPDATE users SET a = {n} WHERE id = {n};"),
    "validations": ("postgresql", None, "ALTER TABLE users VALIDATE CONSTRAINT c{n};"),
    "enum values": ("postgresql", True, "ALTER TYPE mood ADD VALUE 'v{n}';"),
    "row security": ("postgresql", None, "ALTER TABLE t{n} ENABLE ROW LEVEL SECURITY;"),
    "what is not understood": ("postgresql", None, "ALTER TABLE users FROB {n};"),
    "mysql columns": ("mariadb", True, "ALTER TABLE t{n} MODIFY a BIGINT;"),
    "sqlite rebuilds": ("sqlite", None, "DROP TABLE t{n}; ALTER TABLE n{n} RENAME TO t{n};"),
}


def seconds(engine: Engine, transaction: bool | None, text: str) -> float:
    """Return the processor time of linting a script."""
    linter = Linter(Catalog(engine), rules_for(engine))
    started = time.process_time()
    linter.run([Unit("a.sql", text, transaction)])
    return time.process_time() - started


@pytest.mark.timing
@pytest.mark.parametrize("name", GROWING)
def test_time_grows_with_the_number_of_statements_and_no_faster(name: str) -> None:
    engine, transaction, form = GROWING[name]
    small, large = ("\n".join(form.format(n=n) for n in range(count)) for count in (400, 3200))
    seconds(engine, transaction, small)
    ratio = min(seconds(engine, transaction, large) for _ in range(2)) / max(
        min(seconds(engine, transaction, small) for _ in range(3)), 1e-4
    )
    assert ratio < 8 * 3, f"8 times the statements took {ratio:.1f} times as long"


@pytest.mark.timing
@pytest.mark.slow
def test_a_large_file_takes_at_most_twice_as_long_as_squawk(tmp_path: Path) -> None:
    path = tmp_path / "large.sql"
    path.write_text(corpus(10_000))
    wanted = ("squawk", "db_migrate lint")
    results = compare({name: command for name, command in both(path).items() if name in wanted}, rounds=1)
    assert results["db_migrate lint"].wall <= 2 * results["squawk"].wall, results


@pytest.mark.timing
@pytest.mark.slow
def test_a_large_file_without_a_finding_takes_at_most_twice_the_processor_time_of_squawk(tmp_path: Path) -> None:
    path = tmp_path / "large.sql"
    path.write_text(corpus(10_000, QUIET))
    results = compare({name: command for name, command in both(path).items() if "JSON" in name}, rounds=6)
    assert results["db_migrate lint, JSON"].cpu <= 2 * results["squawk, JSON"].cpu, results


def processor_seconds(command: list[str]) -> float:
    """Return the processor time of one run: what other programs do meanwhile counts little.

    The first run of all compiles the modules.
    """
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT)
    assert not done.stderr, done.stderr.decode()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


BARE = "import argparse, dataclasses, json, re"
TOO_MUCH = """
import os, runpy, sys, jinja2, psycopg, pymysql, yaml
sys.argv = sys.argv[1:]
sys.path.insert(0, os.path.dirname(sys.argv[0]))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.mark.timing
def test_a_small_file_takes_a_quarter_of_a_second_and_six_starts_of_a_bare_interpreter(tmp_path: Path) -> None:
    """The second limit is the stricter one on quick machines."""
    path = tmp_path / "small.sql"
    path.write_text(SMALL)
    python, *lint = both(path)["db_migrate lint"]
    commands = {
        "bare": [python, "-c", BARE],
        "lint": [python, *lint],
        "packages that it does not need": [python, "-c", TOO_MUCH, *lint],
    }
    rounds = [{name: processor_seconds(command) for name, command in commands.items()} for _ in range(4)]
    least = {name: min(times[name] for times in rounds) for name in commands}
    assert least["lint"] <= 0.25, least
    assert least["lint"] <= 6 * least["bare"] < least["packages that it does not need"], least


def test_sqlite_and_mysql_need_no_package(tmp_path: Path) -> None:
    path = tmp_path / "a.sql"
    path.write_text("ALTER TABLE a ADD COLUMN b TEXT;")
    for engine in ("sqlite", "mysql"):
        done = subprocess.run(
            [
                sys.executable,
                "-S",
                str(ROOT / "scripts" / "db_migrate.py"),
                "lint",
                str(path),
                "--engine",
                engine,
            ],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_the_corpus_holds_all_kinds() -> None:
    assert corpus(100).count("\n") == 100
    assert len(KINDS) == 10
