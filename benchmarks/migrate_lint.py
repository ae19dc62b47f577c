"""`db_migrate.py lint` against squawk, whole processes: python3 benchmarks/migrate_lint.py [statements].

Both check the same file of PostgreSQL statements, round and round in ABBA order; squawk comes from
`requirements/peers.txt`. The linter here replays the schema as it goes, squawk looks at each statement alone. A ratio
compares with squawk's run of the same output on the same file.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from senior_backend.console.environment import REQUIREMENTS, build  # noqa: E402

ROUNDS = 6
ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
"""Modules are compiled once, as on a user's machine."""
SMALL = "ALTER TABLE users ADD COLUMN age int;\nCREATE INDEX users_age ON users (age);\n"
KINDS = (
    "CREATE TABLE t{n} (id bigint PRIMARY KEY, name text NOT NULL, owner_id bigint, at timestamptz DEFAULT now());",
    "CREATE INDEX t{n}_name ON t{n} (name);",
    "ALTER TABLE t{old} ADD COLUMN c{n} int NOT NULL DEFAULT 5;",
    "ALTER TABLE t{old} ADD CONSTRAINT c{n} CHECK (id > 0) NOT VALID;",
    "ALTER TABLE t{old} VALIDATE CONSTRAINT c{n};",
    "CREATE INDEX CONCURRENTLY i{n} ON t{old} (name, owner_id);",
    "ALTER TABLE s{n} ALTER COLUMN name TYPE varchar(200);",
    "UPDATE t{old} SET name = 'x' WHERE id BETWEEN {n} AND {n} + 100;",
    "ALTER TABLE s{n} ADD CONSTRAINT f{n} FOREIGN KEY (owner_id) REFERENCES t{old} (id) NOT VALID;",
    "DROP INDEX CONCURRENTLY i{n};",
)

QUIET = (
    "INSERT INTO t{n} (id, name) VALUES ({n}, 'abc'), ({n} + 1, 'def');",
    "UPDATE t{old} SET name = 'x' WHERE id BETWEEN {n} AND {n} + 100;",
    "COMMENT ON TABLE t{n} IS 'table number {n}';",
    "GRANT SELECT ON t{n} TO PUBLIC;",
)


def corpus(statements: int, kinds: tuple[str, ...] = KINDS) -> str:
    """Return a script of so many statements, over many tables; `QUIET` holds kinds that no tool reports."""
    rounds = range(statements // len(kinds))
    return "\n".join(kind.format(n=n, old=max(n - 1, 0)) for n in rounds for kind in kinds) + "\n"


@dataclass(frozen=True)
class Run:
    """Seconds of wall clock and of processors, and MB of memory at most, of a whole process."""

    wall: float
    cpu: float
    megabytes: float


def run(command: list[str]) -> Run:
    """Measure one run; both tools end with 1 where they find something."""
    with tempfile.TemporaryFile("w+") as errors:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=errors, env=ENVIRONMENT)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):
            errors.seek(0)
            raise RuntimeError(errors.read())
    scale = 1024 if sys.platform != "darwin" else 1024 * 1024
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / scale)


def compare(commands: dict[str, list[str]], rounds: int = ROUNDS) -> dict[str, Run]:
    """Return the medians of each command; every second round goes backwards (ABBA), and a first one is thrown away."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for command in commands.values():
        run(command)
    for number in range(rounds):
        for name in reversed(commands) if number % 2 else commands:
            runs[name].append(run(commands[name]))
    return {name: _median(values) for name, values in runs.items()}


def _median(runs: list[Run]) -> Run:
    wall, cpu, megabytes = (
        statistics.median(values) for values in zip(*((one.wall, one.cpu, one.megabytes) for one in runs), strict=True)
    )
    return Run(wall, cpu, megabytes)


def commands(path: Path) -> dict[str, list[str]]:
    """Return the command lines of both tools for a file; squawk's text shows the source of each finding."""
    squawk = build(REQUIREMENTS / "peers.txt", "peers").parent / "squawk"
    python = build(REQUIREMENTS / "migrate.txt", "migrate")
    lint = [str(python), str(ROOT / "scripts" / "db_migrate.py"), "lint", str(path), "--engine", "postgresql"]
    return {
        "squawk": [str(squawk), str(path)],
        "squawk, JSON": [str(squawk), "--reporter", "json", str(path)],
        "db_migrate lint": lint,
        "db_migrate lint, JSON": [*lint, "--json"],
    }


PAIRS = {"db_migrate lint": "squawk", "db_migrate lint, JSON": "squawk, JSON"}
"""What each of ours is compared with."""


def main() -> int:
    statements = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as folder:
        print(f"Python {platform.python_version()}, {ROUNDS} rounds in ABBA order, medians of whole processes")
        files = {
            "small file": SMALL,
            f"{statements:,} statements": corpus(statements),
            f"{statements:,}, no finding": corpus(statements, QUIET),
        }
        for name, text in files.items():
            path = Path(folder) / "migration.sql"
            path.write_text(text)
            results = compare(commands(path))
            for tool, value in results.items():
                peer = results[PAIRS.get(tool, tool)]
                print(
                    f"{name:<24}{tool:<24}{value.wall * 1000:8.1f} ms{value.wall / peer.wall:8.2f}x"
                    f"{value.cpu * 1000:8.1f} ms CPU{value.cpu / peer.cpu:8.2f}x{value.megabytes:8.1f} MB"
                )
    return 0


if __name__ == "__main__":
    sys.exit(main())
