"""Views on a column that is replaced: they read the new one, and keep all that they are beside their query."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg import sql

from senior_backend.migrate.cli import main
from tests.migrate.rewrite.harness import ROWS, Version, apply_sequence, rewrite

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SETUP = """
CREATE TABLE items (id bigint PRIMARY KEY, n int NOT NULL DEFAULT 0, label varchar(40), note text);
CREATE TABLE log (line text);
CREATE VIEW all_items WITH (security_barrier = true, check_option = local) AS SELECT * FROM items WHERE n >= 0;
CREATE VIEW named AS SELECT id, n AS number, upper(label) AS label, label || ' n' AS title FROM items;
CREATE VIEW top AS SELECT a.number, b.n + 1 AS next FROM named AS a JOIN all_items AS b USING (id) WHERE b.n > 5;
CREATE VIEW beside AS SELECT id, note FROM items;
"""
MORE = """
CREATE FUNCTION noted() RETURNS trigger LANGUAGE plpgsql AS $$
  BEGIN INSERT INTO log VALUES (NEW.title); RETURN NEW; END $$;
CREATE TRIGGER named_insert INSTEAD OF INSERT ON named FOR EACH ROW EXECUTE FUNCTION noted();
CREATE RULE top_delete AS ON DELETE TO top DO INSTEAD NOTHING;
ALTER VIEW all_items ALTER COLUMN note SET DEFAULT 'it''s new';
COMMENT ON VIEW top IS 'the "top"';
COMMENT ON COLUMN named.number IS 'how many';
"""
KEPT = """
SELECT c.relname, c.relowner::regrole::text, c.reloptions, obj_description(c.oid, 'pg_class'),
  (SELECT array_agg(entry::text ORDER BY entry::text)
    FROM unnest(coalesce(c.relacl, acldefault('r', c.relowner))) AS entry),
  (SELECT array_agg(format('%s %s %s', a.attname, a.attacl::text, col_description(c.oid, a.attnum)) ORDER BY a.attnum)
    FROM pg_attribute AS a WHERE a.attrelid = c.oid AND a.attnum > 0),
  (SELECT array_agg(pg_get_expr(adbin, adrelid)) FROM pg_attrdef WHERE adrelid = c.oid),
  (SELECT array_agg(pg_get_triggerdef(t.oid)) FROM pg_trigger AS t WHERE tgrelid = c.oid),
  (SELECT array_agg(rulename::text ORDER BY rulename) FROM pg_rewrite WHERE ev_class = c.oid)
FROM pg_class AS c WHERE c.relkind = 'v' AND c.relnamespace = 'public'::regnamespace ORDER BY 1
"""


@pytest.fixture
def roles(postgresql_url: str) -> Iterator[tuple[str, str]]:
    """Owners and readers of views."""
    names = (f"owner {secrets.token_hex(4)}", f"reader {secrets.token_hex(4)}")
    owner, reader = map(sql.Identifier, names)
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(SETUP + MORE)
        connection.execute(
            f"INSERT INTO items SELECT i, i, 'label ' || i, 'note ' || i FROM generate_series(1, {ROWS}) AS i; ANALYZE"
        )
        connection.execute(sql.SQL("CREATE ROLE {}; CREATE ROLE {}").format(owner, reader))
        connection.execute(sql.SQL("GRANT SELECT ON items, named, all_items TO {}").format(owner))
        connection.execute(sql.SQL("ALTER VIEW top OWNER TO {}").format(owner))
        connection.execute(sql.SQL("GRANT SELECT ON top TO {} WITH GRANT OPTION").format(reader))
        connection.execute(sql.SQL("GRANT SELECT, DELETE ON named TO PUBLIC, {}").format(reader))
        connection.execute(sql.SQL("GRANT UPDATE (label) ON all_items TO {}").format(reader))
        try:
            yield names
        finally:
            for role in (owner, reader):
                connection.execute(sql.SQL("DROP OWNED BY {} CASCADE").format(role))
                connection.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.mark.slow
@pytest.mark.service("postgresql")
@pytest.mark.parametrize(
    ("change", "kind"), [("ALTER COLUMN n TYPE bigint", "bigint"), ("RENAME COLUMN n TO hits", "integer")]
)
def test_views_read_the_new_column_and_keep_all_that_they_are(
    change: str, kind: str, roles: tuple[str, str], tmp_path: Path, postgresql_url: str
) -> None:
    """The application writes the table and, through a view, counts in the column that is replaced, all the time."""
    out = rewrite(tmp_path, SETUP, f"ALTER TABLE items {change};")
    column = "hits" if "hits" in change else "n"
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        before = connection.execute(KEPT).fetchall()
        assert any(roles[1] in str(row) for row in before)
    old, new = (
        Version(
            "UPDATE all_items SET label = %s WHERE id = %s", f"{name} {{}}".format,
            "INSERT INTO items (id, label) VALUES (%s, %s)", "UPDATE all_items SET n = n + 1 WHERE id = 1",
        )
        for name in ("old", "new")
    )  # fmt: skip
    applied = apply_sequence(postgresql_url, out, old=old, new=new)
    assert (old.errors, new.errors) == ([], [])
    assert applied.under_lock(["items"]) == []
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        assert connection.execute(KEPT).fetchall() == before
        found = connection.execute(
            "SELECT format_type(atttypid, atttypmod) FROM pg_attribute WHERE (attrelid::regclass::text, attname) IN "
            "(('all_items', 'n'), ('named', 'number'), ('top', 'next')) ORDER BY attrelid::regclass::text"
        ).fetchall()
        assert [row[0] for row in found] == [kind] * 3
        count = connection.execute(f"SELECT {column} FROM items WHERE id = 1").fetchone()
        assert count == (1 + old.increments + new.increments,)
        assert connection.execute("SELECT number, next FROM top WHERE number = 7").fetchone() == (7, 8)
        connection.execute(f"UPDATE items SET {column} = 77 WHERE id = 7")
        assert connection.execute("SELECT next FROM top WHERE number = 77").fetchone() == (78,)
        connection.execute("INSERT INTO named (id, title) VALUES (-1, 'through the trigger')")
        assert connection.execute("SELECT line FROM log").fetchall() == [("through the trigger",)]


@pytest.mark.service("postgresql")
def test_a_view_that_is_not_known_keeps_the_switch_from_happening(tmp_path: Path, postgresql_url: str) -> None:
    out = rewrite(tmp_path, SETUP, "ALTER TABLE items ALTER COLUMN n TYPE bigint;")
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(SETUP + "CREATE VIEW stranger AS SELECT number FROM named;")
        with pytest.raises(AssertionError, match="other objects depend"):
            apply_sequence(postgresql_url, out)
        kind = connection.execute(
            "SELECT atttypid::regtype::text FROM pg_attribute WHERE attrelid = 'top'::regclass AND attname = 'next'"
        ).fetchone()
        assert kind == ("integer",)


@pytest.mark.service("postgresql")
def test_the_way_back_of_the_switch_gives_the_views_the_old_column_again(tmp_path: Path, postgresql_url: str) -> None:
    out = rewrite(tmp_path, SETUP, "ALTER TABLE items ALTER COLUMN n TYPE bigint;")
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(SETUP + MORE)
        before = connection.execute("SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'").fetchall()
        kept = connection.execute(KEPT).fetchall()
    switch = next(path for path in out.glob("*_switch.sql"))
    for path in out.glob("*_contract.sql"):
        path.unlink()
    apply_sequence(postgresql_url, out)
    back = switch.read_text().partition("-- migrate:down")[2]
    with psycopg.connect(postgresql_url) as connection:
        connection.execute(back)
        found = connection.execute("SELECT viewname, definition FROM pg_views WHERE schemaname = 'public'").fetchall()
        assert sorted(found) == sorted(before)
        assert connection.execute(KEPT).fetchall() == kept


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ("CREATE MATERIALIZED VIEW sums AS SELECT sum(n) FROM items;", "materialized"),
        ("CREATE MATERIALIZED VIEW sums AS SELECT next FROM top;", "materialized"),
        ("ALTER TABLE items ADD twice int GENERATED ALWAYS AS (n * 2) STORED;", "generated"),
        ("CREATE POLICY few ON items USING (n < 5);", "policy"),
        ("CREATE TRIGGER t AFTER UPDATE OF n ON items FOR EACH ROW EXECUTE FUNCTION f();", "trigger"),
    ],
)
def test_what_holds_on_to_the_old_column_is_told(more: str, reason: str, tmp_path: Path, capsys: Any) -> None:
    """A new type needs another column; a new name needs none in the end, so that nothing has to let go."""
    path = tmp_path / "2_change.sql"
    (tmp_path / "1_setup.sql").write_text(f"-- migrate:up\n{SETUP}{more}\n")
    for change, refused in (("ALTER COLUMN n TYPE bigint", True), ("RENAME COLUMN n TO hits", False)):
        path.write_text(f"-- migrate:up\nALTER TABLE items {change};\n")
        assert main(["rewrite", str(path), "--engine", "postgresql", "--dry-run", "--json"]) == refused
        findings = json.loads(capsys.readouterr().out)["findings"]
        assert any(one["code"] == "no-rewrite" and reason in one["message"] for one in findings) == refused, findings
