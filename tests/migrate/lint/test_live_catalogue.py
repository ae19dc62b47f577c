"""The catalogue of a live database equals the one replayed from the statements that made it."""

from __future__ import annotations

import json
import re
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest

from senior_backend.migrate.catalog import Catalog
from senior_backend.migrate.catalog_live import read
from senior_backend.migrate.catalog_replay import apply
from senior_backend.migrate.cli import main
from senior_backend.migrate.hazards import examples
from senior_backend.migrate.lint import read_statements
from senior_backend.migrate.statements import split

if TYPE_CHECKING:
    from senior_backend.migrate.statements import Engine

CHANGES = """
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
ALTER TABLE users ADD COLUMN score positive, ADD COLUMN tags text[] DEFAULT '{}', DROP COLUMN code;
ALTER TABLE users ADD CONSTRAINT aged CHECK (age > -1) NOT VALID;
ALTER TABLE users VALIDATE CONSTRAINT aged;
ALTER TABLE users ALTER COLUMN note SET NOT NULL;
ALTER TABLE users ALTER COLUMN balance TYPE numeric(12, 2);
ALTER TABLE orders RENAME COLUMN total TO amount;
ALTER TABLE orders RENAME TO purchases;
ALTER INDEX users_email RENAME TO users_mail;
CREATE UNIQUE INDEX users_lower ON users (lower(email)) INCLUDE (name) WHERE age > 3;
CREATE TABLE pets (id serial PRIMARY KEY, owner bigint REFERENCES users, name varchar(20) UNIQUE, CHECK (name <> ''));
ALTER TABLE pets DROP CONSTRAINT pets_name_key;
ALTER TABLE events ATTACH PARTITION events_2 FOR VALUES FROM (100000) TO (200000);
CREATE FUNCTION seven() RETURNS int LANGUAGE sql IMMUTABLE AS $$ SELECT 7 $$;
DROP TABLE logs;
CREATE POLICY grown_up ON users USING (age > 17 AND EXISTS (SELECT 1 FROM purchases WHERE user_id = users.id));
CREATE TRIGGER noted BEFORE UPDATE OF note ON users FOR EACH ROW WHEN (OLD.name <> NEW.name) EXECUTE FUNCTION touch();
CREATE RULE quiet AS ON DELETE TO purchases WHERE OLD.amount > 3 DO INSTEAD NOTHING;
CREATE VIEW spent AS
    SELECT name, (SELECT sum(amount) FROM purchases AS p WHERE p.user_id = u.id) AS sum FROM users AS u;
CREATE VIEW spent_a_lot AS SELECT name FROM spent WHERE sum > 100;
CREATE TABLE kinds (id int, kind text) PARTITION BY LIST (kind);
CREATE TABLE kinds_rest PARTITION OF kinds DEFAULT;
CREATE TABLE kinds_a PARTITION OF kinds FOR VALUES IN ('a', NULL);
CREATE SCHEMA attic;
ALTER TABLE orgs SET SCHEMA attic;
"""


def replayed(engine: Engine, sql: str) -> Catalog:
    """Return the catalogue behind a script."""
    catalog = Catalog(engine)
    for parsed in read_statements(sql, engine):
        for operation in parsed.operations:
            apply(catalog, operation)
    return catalog


def described(catalog: Catalog) -> dict[str, object]:
    """Return what of a catalogue can be compared; expressions are printed differently."""
    return {
        f"{key[0]}.{key[1]}": {
            "kind": table.kind,
            "columns": {
                name: (str(column.type), column.not_null, column.default is not None, column.generated, column.identity)
                for name, column in table.columns.items()
            }
            if "view" not in table.kind
            else None,
            "constraints": {
                name: (one.kind, one.columns, one.valid, one.references) for name, one in table.constraints.items()
            },
            "indexes": {
                name: (one.columns, one.unique, one.valid, one.backs, set(one.mentioned), one.where is not None)
                for name, one in table.indexes.items()
                if "view" not in table.kind
            },
            "parent": table.parent,
            "partitions": table.partitions,
            "triggers": table.triggers,
            "reads": set(table.reads),
            "dependents": {(one.kind, one.name, one.columns) for one in table.dependents},
            "partition key": table.partition_key,
            "bound": table.bound,
        }
        for key, table in sorted(catalog.tables.items())
    }


def demands(catalog: Catalog) -> dict[str, Any]:
    """Return the domains; of the checks, which the server writes in its own way, only what they compare."""
    return {
        name: (one.base, one.constrained, one.not_null, one.known, {
            check: "".join(re.findall(r"[\w<>=]+", condition)).lower() for check, condition in one.checks.items()
        })
        for name, one in catalog.domains.items()
    }  # fmt: skip


def test_postgresql(postgresql_url: str) -> None:
    sql = examples.POSTGRESQL + CHANGES
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(sql)
    live, applied = read(postgresql_url)
    replay = replayed("postgresql", sql)
    live_tables, replay_tables = described(live), described(replay)
    assert live_tables.keys() == replay_tables.keys()
    for name, table in live_tables.items():
        if name == "public.pets":  # the default of serial is nextval(), which only the server writes out
            continue
        assert table == replay_tables[name], name
    assert live.enums == replay.enums
    assert demands(live) == demands(replay)
    assert live.functions == replay.functions
    assert live.referrers.keys() == {key for key, value in replay.referrers.items() if value}
    assert live.version is not None
    assert applied == set()


def _run_on_mariadb(url: str, script: str) -> None:
    parts = urlsplit(url)
    connection = pymysql.connect(
        host=parts.hostname or "", port=parts.port or 3306, user=parts.username or "", database=parts.path[1:]
    )
    with connection, connection.cursor() as cursor:
        for statement in split(script, "mariadb"):
            cursor.execute(statement.text)


def test_mariadb(mariadb_url: str) -> None:
    _run_on_mariadb(mariadb_url, examples.MYSQL)
    live, _ = read(mariadb_url)
    assert live.engine == "mariadb"
    users = live.tables["public", "users"]
    assert users.columns["id"].auto_increment
    assert str(users.columns["email"].type) == "varchar(50)"
    assert users.columns["email"].collation == "utf8mb4_bin"
    assert users.columns["email"].comment == "login"
    assert users.primary_key == ("id",)
    assert set(users.indexes) == {"users_pkey", "users_email"}
    assert users.charset == "utf8mb4"
    assert live.settings["lock_wait_timeout"].isdigit()


def test_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    connection = sqlite3.connect(path)
    connection.executescript(examples.SQLITE)
    connection.close()
    live, _ = read(f"sqlite:{path}")
    tables = {name: table for name, table in described(live).items() if "sqlite_" not in name}
    assert tables == described(replayed("sqlite", examples.SQLITE))


def test_lint_against_a_live_database(postgresql_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE users (id int, email varchar(5), name text)")
        connection.execute("INSERT INTO users SELECT i, i::text FROM generate_series(1, 1200) AS i")
        connection.execute("ANALYZE users")
        connection.execute("CREATE TABLE schema_migrations (version text PRIMARY KEY)")
        connection.execute("INSERT INTO schema_migrations VALUES ('1')")
    (tmp_path / "1_old.sql").write_text("-- migrate:up\nDROP TABLE users;\n")
    (tmp_path / "2_new.sql").write_text(
        "-- migrate:up\nALTER TABLE users ALTER email TYPE text;\nALTER TABLE users ALTER COLUMN id TYPE bigint;\n"
    )
    assert main(["lint", str(tmp_path), "--database-url", postgresql_url, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    (finding,) = report["findings"]
    assert finding["where"].endswith("2_new.sql:3:1")
    assert "about 1,200 rows" in finding["message"]


def test_an_invalid_index_is_seen(postgresql_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE users (id int, email text); INSERT INTO users VALUES (1, 'a'), (2, 'a')")
        with pytest.raises(psycopg.errors.UniqueViolation):
            connection.execute("CREATE UNIQUE INDEX CONCURRENTLY users_email ON users (email)")
    path = tmp_path / "a.sql"
    path.write_text("CREATE UNIQUE INDEX CONCURRENTLY IF NOT EXISTS users_email ON users (email);")
    assert main(["lint", str(path), "--database-url", postgresql_url, "--json"]) == 1
    (finding,) = json.loads(capsys.readouterr().out)["findings"]
    assert finding["code"] == "pg-if-not-exists-keeps-invalid-index"
    assert "INVALID" in finding["message"]


def test_a_database_that_does_not_answer_ends_with_4(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.sql"
    path.write_text("SELECT 1;")
    assert main(["lint", str(path), "--database-url", "postgresql://nobody@127.0.0.1:9/none", "--json"]) == 4
    assert "127.0.0.1" in capsys.readouterr().out


def test_mariadb_names_indexes_as_the_replay_does(mariadb_url: str) -> None:
    script = (
        "CREATE TABLE t (a INT UNIQUE, b INT, UNIQUE (b, a), KEY (b), KEY (a), c INT UNIQUE KEY);"
        "ALTER TABLE t ADD KEY (c), ADD UNIQUE (b, c); ALTER TABLE t DROP KEY b_2, ADD CONSTRAINT UNIQUE (c, b);"
    )
    _run_on_mariadb(mariadb_url, script)
    live, _ = read(mariadb_url)
    indexes = [
        {name: one.columns for name, one in table.indexes.items()}
        for catalog in (replayed("mariadb", script), live)
        for table in catalog.tables.values()
        if table.name.name == "t"
    ]
    assert len(indexes[0]) == 7
    assert indexes[0] == indexes[1]


INDEXES = (
    'CREATE INDEX users_low ON users (lower(email) text_pattern_ops DESC, name COLLATE "C" NULLS FIRST) INCLUDE (age)'
    " WHERE note = 'new';"
    "CREATE UNIQUE INDEX users_mail ON users (email) NULLS NOT DISTINCT;"
    "CREATE UNIQUE INDEX users_code ON users (code);"
)


def test_an_index_that_the_database_has_is_not_made_again(postgresql_url: str, tmp_path: Path, capsys: Any) -> None:
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(examples.POSTGRESQL + INDEXES)
    migration = tmp_path / "1_indexes.sql"
    for name, expected in ((r"\g<0>_again", 3), (r"\g<0>", 0)):
        migration.write_text(re.sub(r"(?<=INDEX )\w+", name, INDEXES))
        main(["lint", str(migration), "--database-url", postgresql_url, "--json"])
        report = json.loads(capsys.readouterr().out)
        assert [one["code"] for one in report["findings"]].count("pg-duplicate-index") == expected
