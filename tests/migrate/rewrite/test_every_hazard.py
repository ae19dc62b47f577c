"""Every bad example of every PostgreSQL rule: what comes out runs on a real server, down leads back, up runs again."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from senior_backend.migrate.cli import main
from senior_backend.migrate.hazards import examples
from senior_backend.migrate.hazards.registry import rules_in
from senior_backend.migrate.rehearse import observe, scripts
from senior_backend.migrate.rehearse.conduct import compare
from senior_backend.migrate.rehearse.postgresql import PostgresServer

if TYPE_CHECKING:
    from pathlib import Path

    from senior_backend.migrate.hazards.rule import Rule

RULES = [rule for rule in rules_in("postgresql") if rule.bad and rule.group == "default"]
NOT_ONLINE = {
    "pg-attach-partition-scans",
    "pg-change-type-rebuilds-index", "pg-column-in-use", "pg-domain-constraint-scans", "pg-drop-object",
    "pg-duplicate-assignment", "pg-materialized-view-emptied", "pg-object-in-use",
    "pg-lock-table", "pg-nested-or-open-transaction", "pg-rename-column", "pg-rename-object",
    "pg-foreign-key-type-differs", "pg-refresh-concurrently-refused",
    "pg-row-security-without-policy", "pg-set-storage-rewrites", "pg-system-catalogue-written", "pg-truncate",
    "pg-unbounded-change",
    "pg-vacuum-full-or-cluster",
}  # fmt: skip
"""Rules of which some example has no online form; the tool has to say so instead of writing something."""


def rewritten(folder: Path, sql: str, setup: str, *, transaction: bool, capsys: Any) -> tuple[int, dict[str, Any]]:
    (folder / "20260101000000_setup.sql").write_text(f"-- migrate:up\n{setup}\n-- migrate:down\n")
    mark = "" if transaction else " transaction:false"
    path = folder / "20260102000000_change.sql"
    path.write_text(f"-- migrate:up{mark}\n{sql}\n-- migrate:down\n")
    code = main(["rewrite", str(path), "--engine", "postgresql", "--out", str(folder / "out"), "--json"])
    return code, json.loads(capsys.readouterr().out)


@pytest.mark.slow
@pytest.mark.service("postgresql")
@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.id)
def test_what_comes_out_runs(rule: Rule, tmp_path: Path, postgresql_server: str, capsys: Any) -> None:
    for number, example in enumerate(rule.bad):
        folder = tmp_path / str(number)
        folder.mkdir()
        setup = examples.POSTGRESQL + example.setup
        code, report = rewritten(folder, example.sql, setup, transaction=example.transaction, capsys=capsys)
        assert code in (0, 1), report
        if code == 1:
            assert rule.id in NOT_ONLINE, f"{example.sql}: {report['findings']}"
            assert report["findings"], "a failure without a word"
            continue
        if not report["data"]["migrations"][0]["files"] or example.fails or not example.runs:
            continue
        if example.transaction:
            _assert_a_file_is_one_transaction(folder / "out")
        name = f"test_rewrite_{time.monotonic_ns()}"
        with psycopg.connect(postgresql_server, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}")
            try:
                _run(postgresql_server, name, setup, folder / "out", example.sql)
            finally:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def _assert_a_file_is_one_transaction(out: Path) -> None:
    """Tools that send a file as one query (dbmate, golang-migrate) make it one transaction, whatever its mark says."""
    for path in out.glob("*.sql"):
        script = scripts.script(scripts.load(path, "postgresql"), "postgresql")
        texts = [step.text for step in script.up]
        work = [text for text in texts if not text.startswith(("SET ", "RESET ", "DO $$ BEGIN LOCK"))]
        assert script.transactional or len(work) == 1, f"{path.name}: {texts}"
        for way in (texts, [step.text for step in script.down or ()]):
            unchecked = next((i for i, text in enumerate(way) if text.rstrip("; ").endswith("NOT VALID")), len(way))
            assert not any("VALIDATE CONSTRAINT" in text for text in way[unchecked:]), f"{path.name}: {way}"


def _run(url: str, database: str, setup: str, out: Path, sql: str) -> None:
    server = PostgresServer(psycopg.conninfo.make_conninfo(url, dbname=database), "test")
    session = server.connect("test")
    session.query(setup)
    session.query(examples.POSTGRESQL_DATA)
    found = [scripts.script(scripts.load(path, "postgresql"), "postgresql") for path in sorted(out.glob("*.sql"))]
    before = server.fingerprint(session)
    after: dict[str, str] = {}
    for direction in ("up", "down", "again"):
        order = found[::-1] if direction == "down" else found
        if direction == "down" and any(script.down is None for script in found):
            break
        runs = observe.run_scripts(server, session, order, direction, clock=time.monotonic)
        failed = [f"{run.step.text}: {run.error}" for run in runs if run.error]
        assert not failed, f"{sql} -> {direction}: {failed}"
        if direction == "up":
            after = server.fingerprint(session)
        else:
            expected = before if direction == "down" else after
            assert compare(expected, server.fingerprint(session)) == (), f"{sql} -> {direction}"
    session.close()
