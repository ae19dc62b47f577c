"""Kills a run of the migration runner at every message that changes something, and runs it again each time.

    python -m tests.migrate.killer URL FOLDER [--down]

For each point: an empty database, a child that ends itself with SIGKILL right behind its n-th message,
a second child that must finish, and a comparison with an undisturbed run. Prints a JSON document.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

READS = ("SELECT", "SET", "SHOW", "PRAGMA", "USE", "RESET")
ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT)]

from senior_backend.console import command  # noqa: E402, F401 - loaded before the forks
from senior_backend.migrate import backfill, execution, ledger, plan, probes_mysql, probes_postgresql  # noqa: E402, F401
from senior_backend.migrate.cli import main  # noqa: E402
from senior_backend.migrate.databases.opening import open_database  # noqa: E402
from senior_backend.migrate.databases.urls import parse_url  # noqa: E402
from senior_backend.migrate.files import load_folder  # noqa: E402


def victim_class(engine: str) -> Any:
    """Return the class whose messages are counted."""
    if engine == "postgresql":
        from senior_backend.migrate.databases.postgresql import PostgresqlDatabase

        return PostgresqlDatabase
    if engine == "sqlite":
        from senior_backend.migrate.databases.sqlite import SqliteDatabase

        return SqliteDatabase
    from senior_backend.migrate.databases.mysql import MysqlDatabase

    return MysqlDatabase


def kill_at(engine: str, point: int) -> None:
    """Let this process end itself right behind its n-th message, 0 for right before the first."""
    victim = victim_class(engine)
    seen = 0

    def counted(original: Any) -> Any:
        def send(*arguments: Any, **options: Any) -> Any:
            nonlocal seen
            text = str(getattr(arguments[1], "text", arguments[1]))
            if text.split(maxsplit=1)[0].upper() in READS:
                return original(*arguments, **options)  # a kill here is one behind the write before it
            if point == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            result = original(*arguments, **options)
            seen += 1
            if seen == point:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return send

    victim.query = counted(victim.query)
    victim.run = counted(victim.run)


def token_for_down(url: str, folder: str) -> str:
    """Return the token of taking everything back."""
    found = load_folder(Path(folder))
    database = open_database(parse_url(url))
    try:
        state = ledger.read(database)
        wanted = plan.plan_down(found, state, database.engine, database, to="0")
        return plan.token_of(wanted, state, database.identity())
    finally:
        database.close()


def child(url: str, folder: str, output: Path, point: int | None, *, down: bool = False) -> int:
    """Run `up`, or `down` to the beginning, in a forked child; return its wait status."""
    words = ["down", "--to", "0", "--token", token_for_down(url, folder)] if down else ["up"]
    process = os.fork()
    if process:
        return os.waitpid(process, 0)[1]
    code = 70
    try:
        handle = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        if point is not None:
            kill_at(parse_url(url).engine, point)
        code = main([*words, "--database-url", url, "--migrations-dir", folder, "--json", "--wait", "20s"])
    except BaseException:  # noqa: BLE001 - the parent reads it
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def reset(url: str) -> None:
    """Empty the database."""
    address = parse_url(url)
    if address.path is not None:
        for path in address.path.parent.glob(address.path.name + "*"):
            path.unlink()
        return
    database = open_database(address)
    try:
        if database.engine == "postgresql":
            # A killed client's backend may still be at work: it must end before its tables go.
            database.query(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            database.query("DROP SCHEMA public CASCADE")
            database.query("CREATE SCHEMA public")
        else:
            name = database.quoted(address.database)
            database.query(f"DROP DATABASE {name}")
            database.query(f"CREATE DATABASE {name}")
    finally:
        database.close()


def picture(url: str) -> dict[str, Any]:
    """Return everything that a run leaves: rows, columns, indexes, versions, and no progress rows."""
    database = open_database(parse_url(url))
    try:
        tables = database.tables()
        found: dict[str, Any] = {"tables": tables}
        for table in sorted(tables):
            columns = "version, step, state" if table == "_db_migrate_ledger" else "*"
            rows = database.query(f"SELECT {columns} FROM {database.own(table)}")
            found[table] = sorted(str(row) for row in rows)
        if database.engine == "postgresql":
            found["indexes"] = database.query(
                "SELECT c.relname, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid "
                "JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = 'public' ORDER BY 1"
            )
        elif database.engine == "sqlite":
            found["indexes"] = database.query("SELECT name FROM sqlite_master WHERE type = 'index' ORDER BY 1")
        else:
            found["indexes"] = database.query(
                "SELECT table_name, index_name, column_name FROM information_schema.statistics "
                "WHERE table_schema = DATABASE() ORDER BY 1, 2, 3"
            )
        return json.loads(json.dumps(found, default=str))  # type: ignore[no-any-return]
    finally:
        database.close()


def run(url: str, folder: str, *, down: bool) -> dict[str, Any]:
    """Kill at every point, and return what went wrong."""
    output = Path(folder).parent / "killer.out"

    def prepare() -> None:
        reset(url)
        if down and child(url, folder, output, None) != 0:
            raise SystemExit(f"the way up failed: {output.read_text()}")

    prepare()
    status = child(url, folder, output, None, down=down)
    if status != 0:
        return {"points": 0, "failures": [f"the undisturbed run failed: {output.read_text()}"]}
    expected = picture(url)
    failures: list[str] = []
    points = 0
    for point in range(10_000):
        prepare()
        status = child(url, folder, output, point, down=down)
        if not os.WIFSIGNALED(status):
            break
        points += 1
        status = child(url, folder, output, None, down=down)
        if status != 0:
            failures.append(f"message {point}: the second run failed: {output.read_text()[:1500]}")
        elif (found := picture(url)) != expected:
            different = [key for key in {*found, *expected} if found.get(key) != expected.get(key)]
            failures.append(
                f"message {point}: {[(key, expected.get(key), found.get(key)) for key in different]}"[:1500]
            )
        if len(failures) > 5:
            break
    return {"points": points, "failures": failures}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("folder")
    parser.add_argument("--down", action="store_true")
    options = parser.parse_args()
    print(json.dumps(run(options.url, options.folder, down=options.down), indent=2))
