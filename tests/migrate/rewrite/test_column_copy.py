"""What hangs on a column beside constraints and indexes goes to its copy: comment and column privileges."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import psycopg
import pytest
from psycopg import sql

from tests.migrate.rewrite.harness import apply_sequence, rewrite

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
