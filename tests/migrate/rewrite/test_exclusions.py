"""EXCLUDE through a side table: it holds for every row that can be committed, and nobody waits for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from tests.migrate.rewrite.harness import Version, apply_sequence, rewrite

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.service("postgresql")
SETUP = "CREATE TABLE seats (id bigint PRIMARY KEY, during int4range, note text);"
ADD = "ALTER TABLE seats ADD CONSTRAINT no_overlap EXCLUDE USING gist (during WITH &&);"
FILL = "INSERT INTO seats SELECT i, int4range(i * 10, i * 10 + 10) FROM generate_series(1, 4000) AS i; ANALYZE seats;"
OVERLAPS = "SELECT count(*) FROM seats AS a JOIN seats AS b ON a.during && b.during AND a.id < b.id WHERE a.id < 300"


def fails(connection: psycopg.Connection[Any], statement: str) -> bool:
    try:
        connection.execute(statement)
    except psycopg.errors.ExclusionViolation as error:
        return error.diag.constraint_name == "no_overlap"
    return False


@pytest.mark.slow
def test_old_and_new_rows_exclude_each_other_and_writers_go_on(tmp_path: Path, postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(SETUP + FILL)
        out = rewrite(tmp_path, SETUP, ADD)
        old, new = (
            Version(
                "UPDATE seats SET note = %s WHERE id = %s", f"{name} {{}}".format,
                "INSERT INTO seats (id, note) VALUES (%s, %s)",
            )
            for name in ("old", "new")
        )  # fmt: skip
        applied = apply_sequence(postgresql_url, out, old=old, new=new)
        assert (old.errors, new.errors) == ([], [])
        assert applied.under_lock(["seats"]) == []
        same = "SELECT id, during FROM seats EXCEPT SELECT id, during FROM no_overlap_rows"
        assert connection.execute(same).fetchall() == []
        assert (
            connection.execute("SELECT count(*) FROM no_overlap_rows").fetchone()
            == connection.execute("SELECT count(*) FROM seats").fetchone()
        )
        assert fails(connection, "INSERT INTO seats VALUES (-1, '[15, 16)')"), "an old row excludes a new one"
        assert fails(connection, "UPDATE seats SET during = '[25, 35)' WHERE id = 5")
        assert not fails(connection, "UPDATE seats SET id = -2, during = '[1, 3)' WHERE id = 5")
        assert fails(connection, "INSERT INTO seats VALUES (-3, '[2, 4)')"), "the row went on under another key"
        assert not fails(connection, "DELETE FROM seats WHERE id = -2; INSERT INTO seats VALUES (-3, '[2, 4)')")
        assert connection.execute(OVERLAPS).fetchone() == (0,)
        assert not fails(connection, "TRUNCATE seats; INSERT INTO seats VALUES (1, '[15, 16)')")


def test_of_two_that_exclude_each_other_one_is_committed(tmp_path: Path, postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(SETUP)
        apply_sequence(postgresql_url, rewrite(tmp_path, SETUP, ADD))
        with psycopg.connect(postgresql_url) as first, psycopg.connect(postgresql_url) as second:
            first.execute("INSERT INTO seats VALUES (1, '[1, 5)')")
            second.execute("SET lock_timeout = '100ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):  # it waits for the first
                second.execute("INSERT INTO seats VALUES (2, '[3, 9)')")
            second.rollback()
            first.commit()
            assert fails(second, "INSERT INTO seats VALUES (2, '[3, 9)')")


def test_rows_that_exclude_each_other_already_are_found(tmp_path: Path, postgresql_url: str) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(SETUP + "INSERT INTO seats VALUES (1, '[1, 5)'), (2, '[3, 9)');")
        with pytest.raises(AssertionError, match="no_overlap"):
            apply_sequence(postgresql_url, rewrite(tmp_path, SETUP, ADD))


def test_equal_columns_alone_are_a_unique_constraint(tmp_path: Path, postgresql_url: str) -> None:
    out = rewrite(tmp_path, SETUP, "ALTER TABLE seats ADD CONSTRAINT one EXCLUDE (note WITH =) DEFERRABLE;")
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(SETUP)
        apply_sequence(postgresql_url, out)
        found = connection.execute("SELECT contype, condeferrable FROM pg_constraint WHERE conname = 'one'").fetchone()
    assert found == ("u", True)
