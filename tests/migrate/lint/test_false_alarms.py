"""What other tools write and dump: silent where nothing is wrong, and understood to the last statement."""

from __future__ import annotations

from pathlib import Path

import pytest

from senior_backend.migrate.statements import Engine
from tests.migrate.hazards.linting import ids, lint

FIXTURES = Path(__file__).parent / "fixtures"
FILES: dict[str, Engine] = {
    "pg_dump": "postgresql",
    "rails_structure": "postgresql",
    "django": "postgresql",
    "prisma": "postgresql",
    "drizzle": "postgresql",
    "mysqldump": "mariadb",
    "sqlite_dump": "sqlite",
}


@pytest.mark.parametrize("name", FILES)
def test_a_first_migration_or_dump_raises_no_alarm(name: str) -> None:
    text = (FIXTURES / f"{name}.sql").read_text()
    result = lint(text, FILES[name], schema="", enable=())
    assert not result.not_understood
    assert not [one for one in result.found if one.severity != "info"]
    assert result.statements >= 4


QUIET = {
    "index on a table of the same file": "CREATE TABLE a (b int); CREATE INDEX ON a (b);",
    "foreign key between new tables": (
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (a int);"
        "ALTER TABLE b ADD FOREIGN KEY (a) REFERENCES a; CREATE INDEX ON b (a);"
    ),
    "temporary table": "CREATE TEMP TABLE a AS SELECT 1 AS b; UPDATE a SET b = 2; DROP TABLE a;",
    "partition of a new parent": (
        "CREATE TABLE a (b int) PARTITION BY LIST (b); CREATE TABLE c PARTITION OF a DEFAULT; CREATE INDEX ON a (b);"
    ),
    "wider varchar": "SET lock_timeout = '1s'; ALTER TABLE users ALTER email TYPE varchar(51);",
    "quoted names": 'CREATE TABLE "Order" ("user" int); CREATE INDEX "Order_idx" ON "Order" ("user");',
    "view swapped": "CREATE OR REPLACE VIEW active_users AS SELECT id, name, age FROM users;",
    "comment and grant": "COMMENT ON TABLE users IS 'x'; GRANT SELECT ON users TO PUBLIC; ANALYZE users;",
    "insert of reference rows": "INSERT INTO orgs (id, name) VALUES (7, 'seven');",
    "bounded update": "UPDATE users SET age = 1 WHERE id BETWEEN 1 AND 1000;",
    "the safe way to NOT NULL": (
        "SET lock_timeout = '1s'; ALTER TABLE users ADD CONSTRAINT n CHECK (name IS NOT NULL) NOT VALID;"
    ),
    "a constraint that is validated later": "ALTER TABLE users VALIDATE CONSTRAINT users_name_check;",
    "several statements a line": "SET lock_timeout = '1s'; ALTER TABLE users ADD a int; ALTER TABLE users ADD b int;",
    "the record of another tool": (
        "BEGIN; SET LOCAL lock_timeout = '1s'; ALTER TABLE users ADD COLUMN n int;"
        "UPDATE alembic_version SET version_num = 'b' WHERE version_num = 'a'; COMMIT;"
    ),
    "a column of the same migration": (
        "SET lock_timeout = '1s'; ALTER TABLE users ADD COLUMN n int; ALTER TABLE users RENAME COLUMN n TO m;"
    ),
    "set configuration": "SELECT set_config('lock_timeout', '1s', false); ALTER TABLE users ADD COLUMN n int;",
}


@pytest.mark.parametrize("name", QUIET)
def test_safe_migrations_stay_silent(name: str) -> None:
    result = lint(QUIET[name], enable=())
    assert not result.not_understood
    assert ids(result) == set()


LOUD = {
    "hidden in a DO block": ("DO $$ BEGIN ALTER TABLE users DROP COLUMN age; END $$;", "pg-drop-column"),
    "in a branch of a DO block": (
        "DO $$ BEGIN IF true THEN CREATE INDEX i ON users (age); END IF; END $$;",
        "pg-create-index-blocks-writes",
    ),
    "in a constant EXECUTE": ("DO $$ BEGIN EXECUTE 'TRUNCATE users'; END $$;", "pg-truncate"),
    "CONCURRENTLY in a DO block": (
        "DO $$ BEGIN CREATE INDEX CONCURRENTLY i ON users (age); END $$;",
        "pg-concurrently-in-transaction",
    ),
    "in a WITH query": ("WITH gone AS (DELETE FROM users RETURNING id) SELECT * FROM gone;", "pg-unbounded-change"),
    "second action of ALTER TABLE": (
        "ALTER TABLE users ADD COLUMN n int, ALTER COLUMN age TYPE bigint;",
        "pg-change-type-rewrites",
    ),
    "with its schema": ("ALTER TABLE public.users ALTER COLUMN age TYPE bigint;", "pg-change-type-rewrites"),
    "along the search path": (
        "SET search_path TO public; ALTER TABLE users ALTER COLUMN age TYPE bigint;",
        "pg-change-type-rewrites",
    ),
    "after a rename": (
        "ALTER TABLE users RENAME TO people; ALTER TABLE people ALTER COLUMN age TYPE bigint;",
        "pg-change-type-rewrites",
    ),
    "a column that a table unknown here has": (
        "ALTER TABLE strangers ALTER COLUMN x SET NOT NULL;",
        "pg-set-not-null-scans",
    ),
    "a table dropped and made again": (
        "DROP TABLE orders; CREATE TABLE orders (id bigint);",
        "pg-drop-table",
    ),
}


@pytest.mark.parametrize("name", LOUD)
def test_hazards_are_found_where_they_hide(name: str) -> None:
    sql, rule = LOUD[name]
    assert rule in ids(lint(sql, enable=()))
