"""The way back of a sequence, before its last step: it reads no table under a lock, and leads to where it began."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from senior_backend.migrate.rehearse import observe, scripts
from senior_backend.migrate.rehearse.conduct import compare
from senior_backend.migrate.rehearse.postgresql import PostgresServer
from tests.migrate.rewrite.harness import ROWS, Applied, rewrite

if TYPE_CHECKING:
    from pathlib import Path

SETUP = """
CREATE TABLE teams (id bigint PRIMARY KEY);
CREATE TABLE people (id bigint PRIMARY KEY, age int NOT NULL, note text NOT NULL,
    team_id bigint CONSTRAINT people_team REFERENCES teams);
"""
FILL = f"""
INSERT INTO teams SELECT i FROM generate_series(1, {ROWS}) AS i;
INSERT INTO people SELECT i, i % 90, 'note', i FROM generate_series(1, {ROWS}) AS i;
"""
CHANGES = {
    "type": "ALTER TABLE people ALTER COLUMN age TYPE bigint;",
    "dropped column": "ALTER TABLE people DROP COLUMN note;",
    "dropped key": "ALTER TABLE people DROP CONSTRAINT people_team;",
    "not null": "ALTER TABLE people ALTER COLUMN team_id SET NOT NULL;",
}


@pytest.mark.slow
@pytest.mark.service("postgresql")
@pytest.mark.parametrize("change", CHANGES)
def test_the_way_back_reads_nothing_under_a_lock(change: str, tmp_path: Path, postgresql_url: str) -> None:
    out = rewrite(tmp_path, SETUP, CHANGES[change])
    server = PostgresServer(postgresql_url, "test")
    session = server.connect("migration")
    session.query(SETUP + FILL)
    files = [scripts.script(scripts.load(path, "postgresql"), "postgresql") for path in sorted(out.glob("*.sql"))]
    there = [one for one in files if one.down is not None]
    assert there == files[: len(there)], "what cannot be undone comes last"
    before = server.fingerprint(session)
    after: dict[str, str] = {}
    for direction in ("up", "down", "again"):
        order = there[::-1] if direction == "down" else there
        runs = observe.run_scripts(server, session, order, direction, clock=time.monotonic)
        assert not [f"{run.step.text}: {run.error}" for run in runs if run.error]
        judged = [replace(run, direction="up") for run in runs]  # the one direction whose growth is judged
        assert Applied([one.file for one in there], judged, {}).under_lock(["people", "teams"]) == [], direction
        if direction == "up":
            after = server.fingerprint(session)
        else:
            assert compare(before if direction == "down" else after, server.fingerprint(session)) == (), direction
    session.close()
