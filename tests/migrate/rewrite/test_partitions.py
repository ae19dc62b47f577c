"""New partitions on a real server: what takes the place of ATTACH PARTITION reads nothing under its lock."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.migrate.rewrite.harness import ROWS, apply_sequence, rewrite

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.service("postgresql")

SETUP = """
CREATE TABLE events (id bigint NOT NULL, at int NOT NULL) PARTITION BY RANGE (at);
CREATE TABLE events_1 PARTITION OF events FOR VALUES FROM (0) TO (100000);
CREATE TABLE rest PARTITION OF events DEFAULT;
CREATE TABLE late (id bigint NOT NULL, at int NOT NULL);
"""
FILL = f"""
INSERT INTO events SELECT i, 500000 + i FROM generate_series(1, {ROWS}) i;
INSERT INTO late SELECT i, 200000 + i FROM generate_series(1, {ROWS}) i;
ANALYZE;
"""
ATTACH = "ALTER TABLE events ATTACH PARTITION late FOR VALUES FROM (200000) TO (300000);"
CREATE = "CREATE TABLE made PARTITION OF events FOR VALUES FROM (300000) TO (400000);"
TABLES = ["events", "rest", "late", "made"]


@pytest.mark.slow
@pytest.mark.parametrize(("sql", "child"), [(ATTACH, "late"), (CREATE, "made")])
def test_nothing_is_read_under_a_lock(sql: str, child: str, tmp_path: Path, postgresql_url: str) -> None:
    out = rewrite(tmp_path, SETUP, sql)
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(SETUP.encode())
        connection.execute(FILL.encode())
    applied = apply_sequence(postgresql_url, out)
    assert applied.under_lock(TABLES) == []
    with psycopg.connect(postgresql_url) as connection:
        attached = connection.execute(
            "SELECT 1 FROM pg_inherits WHERE inhrelid = %s::regclass AND inhparent = 'events'::regclass", [child]
        )
        assert attached.fetchone() == (1,)
        left = connection.execute(
            "SELECT conname FROM pg_constraint WHERE contype = 'c' AND connamespace = 'public'::regnamespace"
        ).fetchall()
    assert left == [], "the checks have done their work and go"


@pytest.mark.slow
@pytest.mark.parametrize("sql", [ATTACH, CREATE])
def test_the_measurement_sees_the_scan_of_the_plain_form(sql: str, tmp_path: Path, postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(SETUP.encode())
        connection.execute(FILL.encode())
    (tmp_path / "1_plain.sql").write_text(f"-- migrate:up\n{sql}\n-- migrate:down\n")
    assert apply_sequence(postgresql_url, tmp_path).under_lock(TABLES)
