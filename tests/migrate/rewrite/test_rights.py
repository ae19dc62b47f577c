"""What a rewrite adds has the comment, the privileges and the row security of what it stands for."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from tests.migrate.rewrite.harness import application_role, apply_sequence, rewrite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [pytest.mark.service("postgresql"), pytest.mark.slow]
SETUP = "CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0);"


@pytest.fixture
def role(postgresql_url: str) -> Iterator[str]:
    """A role that may read and change one column only."""
    name = f"reader {secrets.token_hex(4)}"
    quoted = sql.Identifier(name)
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(SETUP)
        connection.execute("COMMENT ON COLUMN items.n IS 'how many, it''s said'")
        connection.execute(sql.SQL("CREATE ROLE {}").format(quoted))
        connection.execute(sql.SQL("GRANT SELECT (n), UPDATE (n) ON items TO {} WITH GRANT OPTION").format(quoted))
        connection.execute("GRANT SELECT (n) ON items TO PUBLIC")
        try:
            yield name
        finally:
            connection.execute(sql.SQL("DROP OWNED BY {}; DROP ROLE {}").format(quoted, quoted))


@pytest.mark.parametrize(
    ("change", "column"),
    [("ALTER TABLE items ALTER COLUMN n TYPE bigint;", "n"), ("ALTER TABLE items RENAME COLUMN n TO hits;", "hits")],
)
def test_comment_and_privileges_stay(change: str, column: str, role: str, tmp_path: Path, postgresql_url: str) -> None:
    apply_sequence(postgresql_url, rewrite(tmp_path, SETUP, change))
    with psycopg.connect(postgresql_url) as connection:
        found = connection.execute(
            """
            SELECT col_description(attrelid, attnum), has_column_privilege(%(role)s, 'items', attname, 'SELECT'),
                   has_column_privilege(%(role)s, 'items', attname, 'UPDATE WITH GRANT OPTION'),
                   attacl::text LIKE '%%=r/%%'
            FROM pg_attribute WHERE attrelid = 'items'::regclass AND attname = %(column)s
            """,
            {"role": role, "column": column},
        ).fetchone()
    assert found == ("how many, it's said", True, True, True)


def renamed(folder: Path) -> Path:
    """Return the sequence of a rename without its last step, with which the view goes."""
    out = rewrite(folder, SETUP, "ALTER TABLE items RENAME TO things;")
    max(out.glob("*.sql")).unlink()
    return out


def test_a_view_under_the_old_name_has_the_column_privileges(role: str, tmp_path: Path, postgresql_url: str) -> None:
    apply_sequence(postgresql_url, renamed(tmp_path))
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
        connection.execute("UPDATE items SET n = n + 1")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("SELECT id FROM items")


def test_a_view_under_the_old_name_keeps_row_security(tmp_path: Path, postgresql_url: str) -> None:
    out = renamed(tmp_path)
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(SETUP)
        connection.execute("INSERT INTO items SELECT i, i FROM generate_series(1, 4) i")
        connection.execute("ALTER TABLE items ENABLE ROW LEVEL SECURITY")
        connection.execute("CREATE POLICY small ON items USING (n < 3)")
        with application_role(postgresql_url) as role:
            apply_sequence(postgresql_url, out)
            connection.execute(sql.SQL("SET ROLE {}").format(sql.Identifier(role)))
            assert connection.execute("SELECT n FROM items ORDER BY n").fetchall() == [(1,), (2,)]
            assert connection.execute("UPDATE items SET n = n - 1").rowcount == 2


def test_row_security_beside_column_privileges_has_no_view(role: str, tmp_path: Path, postgresql_url: str) -> None:
    out = renamed(tmp_path)
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("ALTER TABLE items ENABLE ROW LEVEL SECURITY")
    with pytest.raises(AssertionError, match="no view can stand for things"):
        apply_sequence(postgresql_url, out)
    assert role
