"""Apply a rewritten migration step by step while an old and a new version of an application write."""

from __future__ import annotations

import random
import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql

from senior_backend.migrate.cli import main
from senior_backend.migrate.rehearse import judge, observe, scripts
from senior_backend.migrate.rehearse.model import Filled, Rehearsal, StatementRun
from senior_backend.migrate.rehearse.postgresql import PostgresServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

ROWS = 20_000


@dataclass
class Version:
    """One version of an application: what it writes, and what it was told is written.

    `update` takes (value, id), `insert` takes (id, value); `increment` adds 1 to the number in row 1.
    """

    update: str
    value: Callable[[int], Any]
    insert: str = ""
    increment: str = ""
    errors: list[str] = field(default_factory=list)
    written: dict[int, Any] = field(default_factory=dict)
    increments: int = 0
    slowest: float = 0.0


class Writer(threading.Thread):
    """A version of the application at work on ids of its own (`ids`, and new ones from `fresh` on)."""

    def __init__(self, url: str, role: str, version: Version, ids: Sequence[int], fresh: int) -> None:
        super().__init__(daemon=True)
        self.url, self.role, self.version, self.ids, self.fresh = url, role, version, ids, fresh
        self.stop = threading.Event()

    def run(self) -> None:
        source, number = random.Random(1), 0
        with psycopg.connect(self.url, autocommit=True, prepare_threshold=None) as connection:
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(self.role)))
            while not self.stop.is_set():
                number += 1
                began = time.monotonic()
                try:
                    self._write(connection, source, number)
                except psycopg.Error as error:
                    self.version.errors.append(f"{type(error).__name__}: {error}".splitlines()[0])
                self.version.slowest = max(self.version.slowest, time.monotonic() - began)
                self.stop.wait(0.002)

    def _write(self, connection: psycopg.Connection[Any], source: random.Random, number: int) -> None:
        version, value = self.version, self.version.value(number)
        if version.increment and number % 3 == 0:
            connection.execute(version.increment)
            version.increments += 1
        elif version.insert and number % 3 == 1:
            connection.execute(version.insert, (self.fresh + number, value))
            version.written[self.fresh + number] = value
        else:
            key = source.choice(self.ids)
            connection.execute(version.update, (value, key))
            version.written[key] = value


@contextmanager
def application_role(url: str) -> Iterator[str]:
    """Yield a role that owns nothing and may read and write what is there, as applications do in production."""
    role = f"app_{secrets.token_hex(6)}"
    name = sql.Identifier(role)
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE ROLE {}").format(name))
        for rights, objects in (("SELECT, INSERT, UPDATE, DELETE", "TABLES"), ("USAGE", "SEQUENCES")):
            grant = sql.SQL("GRANT {} ON ALL {} IN SCHEMA public TO {}")
            connection.execute(grant.format(sql.SQL(rights), sql.SQL(objects), name))
    try:
        yield role
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP OWNED BY {}").format(name))
            connection.execute(sql.SQL("DROP ROLE {}").format(name))


@dataclass
class Applied:
    """What was seen while a sequence was applied."""

    files: list[str]
    runs: list[StatementRun]
    texts: dict[str, str]

    def under_lock(self, tables: Sequence[str]) -> list[str]:
        """Return the statements that scanned, rewrote or changed all rows while others had to wait."""
        filled = tuple(Filled(table, ROWS, 0.0) for table in tables)
        seen = Rehearsal("postgresql", "", ROWS, tuple(self.files), tuple(self.runs), filled=filled)
        return [f"{self.runs[one.statement].step.text} ({one.keeps_out})" for one in judge.growths(seen)]


def rewrite(folder: Path, setup: str, migration: str, *, transaction: bool = True) -> Path:
    """Write a setup and a migration, rewrite the latter, and return the folder of the sequence."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "20260101000000_setup.sql").write_text(f"-- migrate:up\n{setup}\n-- migrate:down\n")
    mark = "" if transaction else " transaction:false"
    path = folder / "20260102000000_change.sql"
    path.write_text(f"-- migrate:up{mark}\n{migration}\n-- migrate:down\n")
    out = folder / "out"
    code = main(["rewrite", str(path), "--engine", "postgresql", "--out", str(out), "--json"])
    assert code == 0, "the rewritten files are not clean"
    return out


def apply_sequence(
    url: str,
    out: Path,
    *,
    old: Version | None = None,
    new: Version | None = None,
    old_ids: Sequence[int] = range(2, 5000),
    new_ids: Sequence[int] = range(5000, 10_000),
) -> Applied:
    """Apply the files of `out` in order.

    The old version runs from before the first step until the deployment, the new one from then on; between the last
    step before the deployment and the first behind it both run. A file that waits for a deployment runs after the old
    version has ended.
    """
    server = PostgresServer(url, "test")
    migrations = [scripts.load(path, "postgresql") for path in sorted(out.glob("*.sql"))]
    session = server.connect("migration")
    runs: list[StatementRun] = []
    writers: dict[str, Writer] = {}
    with application_role(url) as role:
        if old:
            writers["old"] = Writer(url, role, old, old_ids, 1_000_000)
            writers["old"].start()
        try:
            for migration in migrations:
                if migration.after_deploy and "old" in writers:
                    _deploy(url, role, writers, new, new_ids)
                script = scripts.script(migration, "postgresql")
                with observe.Watch(server, session.identity, time.monotonic) as watch:
                    done = observe.run_scripts(server, session, [script], "up", clock=time.monotonic, watch=watch)
                base = runs[-1].transaction + 1 if runs else 0
                runs.extend(_shifted(run, base) for run in done)
                failed = [run for run in done if run.error]
                assert not failed, f"{failed[0].step.file}:{failed[0].step.line}: {failed[0].error}"
            if "old" in writers:
                _deploy(url, role, writers, new, new_ids)
            time.sleep(0.1)
        finally:
            for writer in writers.values():
                writer.stop.set()
                writer.join(10)
            session.close()
    return Applied([str(one.path) for one in migrations], runs, {one.path.name: one.text for one in migrations})


def _shifted(run: StatementRun, base: int) -> StatementRun:
    from dataclasses import replace

    return replace(run, transaction=run.transaction + base)


def _deploy(url: str, role: str, writers: dict[str, Writer], new: Version | None, new_ids: Sequence[int]) -> None:
    """Start the new version, let both run, then end the old one."""
    if new and "new" not in writers:
        writers["new"] = Writer(url, role, new, new_ids, 2_000_000)
        writers["new"].start()
    time.sleep(0.25)
    old = writers.pop("old")
    old.stop.set()
    old.join(10)
