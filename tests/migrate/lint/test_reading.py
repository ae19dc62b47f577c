"""Statements and operations of all engines, and text that is not SQL."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from senior_backend.console.errors import InputError
from senior_backend.migrate import operations as ops
from senior_backend.migrate.lint import read_statements
from senior_backend.migrate.lint_sources import units_of
from senior_backend.migrate.options import ENGINES
from senior_backend.migrate.statements import Engine
from tests.migrate.hazards.linting import lint

if TYPE_CHECKING:
    from pathlib import Path


def opaque(sql: str, engine: Engine) -> list[str]:
    """Return why parts of a script are not understood."""
    return [
        operation.reason
        for parsed in read_statements(sql, engine)
        for operation in parsed.operations
        if isinstance(operation, ops.Opaque)
    ]


PLACES = "/* ä — 😀 */ SELECT 'é';\n  -- c\n  SELECT 2 ; ALTER TABLE \"Ünï\" ADD COLUMN a int\n;\n"


@pytest.mark.parametrize("engine", ["postgresql", "sqlite"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_places_count_characters(engine: Engine, line_end: str) -> None:
    text = PLACES.replace("\n", line_end)
    statements = [parsed.statement for parsed in read_statements(text, engine)]
    assert [text[one.start : one.end] for one in statements] == [one.text for one in statements]
    assert [(one.line, one.column) for one in statements] == [(1, 13), (3, 3), (3, 14)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", ["", " \n\t", "-- only a comment\n", ";;;"])
def test_nothing_is_no_statement(engine: Engine, text: str) -> None:
    assert not [one for one in read_statements(text, engine) if one.operations]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", ["SELECT 'abc", 'SELECT "abc', "SELECT 1 /* never ends", "SELECT '\0'"])
def test_text_without_an_end_is_refused_with_its_place(engine: Engine, text: str) -> None:
    with pytest.raises(InputError) as caught:
        read_statements(text, engine)
    assert caught.value.where is not None
    assert caught.value.where.endswith((":1:8", ":1:10", ":1:9"))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", ["garbage here", "CREATE TABEL x (a int)", "ALTER TABLE", "SELEC 1", ")(", "CREATE"])
def test_garbage_is_never_understood(engine: Engine, text: str) -> None:
    assert opaque(text, engine)
    assert opaque(f"SELECT 1; {text}; SELECT 2", engine)


def test_one_bad_statement_does_not_hide_the_others() -> None:
    parsed = read_statements("DROP TABLE a;\nnot sql;\nDROP TABLE b;", "postgresql")
    kinds = [type(one.operations[0]) for one in parsed]
    assert kinds == [ops.DropTable, ops.Opaque, ops.DropTable]
    assert parsed[1].statement.line == 2


def test_psql_commands_and_copy_data_survive() -> None:
    text = "\\set x 1\n\\echo hello\nCOPY t (a) FROM stdin;\n1\n;'\n\\.\nDROP TABLE b;\n\\i other.sql\n"
    assert opaque(text, "postgresql") == ["psql's \\i is not SQL: what it does is not in this file"]
    kinds = [type(one.operations[0]).__name__ for one in read_statements(text, "postgresql")]
    assert kinds == ["Insert", "DropTable", "Opaque"]


def test_delimiter_and_bodies_survive() -> None:
    text = (
        "DELIMITER //\nCREATE TRIGGER a BEFORE INSERT ON t FOR EACH ROW "
        "BEGIN SET NEW.x = 1; END//\nDELIMITER ;\nDROP TABLE b;"
    )
    assert [type(one.operations[0]) for one in read_statements(text, "mysql")] == [ops.CreateTrigger, ops.DropTable]


def test_a_byte_order_mark_is_no_statement() -> None:
    (parsed,) = read_statements("\ufeffDROP TABLE a;", "postgresql")
    assert isinstance(parsed.operations[0], ops.DropTable)


@pytest.mark.parametrize(
    "body",
    [
        "EXECUTE format('DROP TABLE %I', name);",
        "EXECUTE 'DROP TABLE ' || name;",
    ],
)
def test_sql_put_together_at_run_time_is_not_understood(body: str) -> None:
    assert opaque(f"DO $$ DECLARE name text; BEGIN {body} END $$;", "postgresql")


@pytest.mark.parametrize(
    ("body", "kinds"),
    [
        ("EXECUTE format('CREATE INDEX %I ON t (a)', 'i');", ["CreateIndex"]),
        ("EXECUTE format('CREATE INDEX %I ON t (a)', name);", ["CreateIndex"]),
        ("EXECUTE 'DROP TABLE ' || 'a';", ["DropTable"]),
        ("EXECUTE format('DROP TABLE %I.%s', 'a', 'b');", ["DropTable"]),
        ("EXECUTE 'GRANT SELECT ON t TO ' || quote_ident(name);", []),
        ("EXECUTE format('COMMENT ON TABLE %I IS %L', name, name);", []),
        ("EXECUTE 'ALTER TABLE t ADD COLUMN ' || name || ' int';", ["Opaque"]),
        ("EXECUTE format('CREATE INDEX i ON %I (a)', name);", ["Opaque"]),
        ("EXECUTE format('CREATE INDEX i ON events_%s (a)', name);", ["Opaque"]),
        ("EXECUTE name; EXECUTE name || name; DROP TABLE a;", ["DropTable", "Opaque"]),
    ],
)
def test_execute_is_read_as_far_as_its_text_is_known(body: str, kinds: list[str]) -> None:
    (parsed,) = read_statements(f"DO $$ DECLARE name text; BEGIN {body} END $$;", "postgresql")
    assert [type(one).__name__ for one in parsed.operations] == kinds


@pytest.mark.parametrize(
    ("create", "call", "kinds"),
    [
        ("FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DROP TABLE a; END $$", "SELECT f()", ["DropTable"]),
        ("FUNCTION f() RETURNS void LANGUAGE sql AS 'DROP TABLE a; DROP TABLE b'", "SELECT s.f()", ["DropTable"] * 2),
        ("PROCEDURE f() LANGUAGE plpgsql AS $$ BEGIN DROP TABLE a; END $$", "CALL f()", ["DropTable"]),
        ("FUNCTION f() RETURNS int LANGUAGE sql RETURN 1", "SELECT f()", ["Query"]),
        ("FUNCTION f() RETURNS int LANGUAGE plpython3u AS $$ x $$", "SELECT f()", ["Opaque"]),
        ("FUNCTION f() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DROP TABLE a; END $$", "SELECT g()", ["Query"]),
    ],
)
@pytest.mark.parametrize("broken", ["", "BROKEN;"])
def test_a_call_does_what_the_function_of_the_same_script_does(
    create: str, call: str, kinds: list[str], broken: str
) -> None:
    parsed = read_statements(f"{broken}CREATE {create};\n{call};", "postgresql")[-1]
    assert [type(one).__name__ for one in parsed.operations] == kinds
    assert parsed.statement.text == call


def test_explain_analyze_runs_its_statement() -> None:
    kinds = [one.operations[0] for one in read_statements("EXPLAIN ANALYZE DELETE FROM t; EXPLAIN DELETE FROM t;",
                                                          "postgresql")]  # fmt: skip
    assert [type(kind) for kind in kinds] == [ops.Delete, ops.Query]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("depth", [10, 60, 3000, 60_000])
def test_deep_nesting_is_read_or_reported(engine: Engine, depth: int) -> None:
    text = f"DROP TABLE a; SELECT {'(' * depth}1{' + 1)' * depth}; DROP TABLE b"
    parsed = read_statements(text, engine)
    kinds = [type(one.operations[0]) for one in parsed]
    assert kinds[0] is kinds[2] is ops.DropTable
    assert kinds[1] in (ops.Query, ops.Opaque)
    assert depth > 3000 or kinds[1] is ops.Query


def test_what_is_too_deep_is_reported_where_it_matters() -> None:
    deep = " + 1" * 200
    assert opaque(f"ALTER TABLE a ADD CHECK (b > 1{deep})", "postgresql")
    (parsed,) = read_statements(f'INSERT INTO "A".b SELECT 1{deep}', "postgresql")
    (operation,) = parsed.operations
    assert isinstance(operation, ops.Insert)
    assert (operation.table, operation.from_query) == (ops.Name("b", "A"), True)


@pytest.mark.parametrize(
    ("sql", "operations"),
    [
        ('INSERT INTO a.b VALUES (1, \'"fromClause":\'), (2, $$"withClause":{"stmt":$$)', [("b", False)]),
        ("INSERT INTO b SELECT 1", [("b", False)]),
        ("INSERT INTO b SELECT n FROM c", [("b", True)]),
        ("INSERT INTO b VALUES ((SELECT max(n) FROM c))", [("b", False)]),
        ("WITH w AS (INSERT INTO c SELECT n FROM d) INSERT INTO b VALUES (1)", [("c", True), ("b", False)]),
        ("INSERT INTO b VALUES (" + "1 + " * 200 + "1)", [("b", False)]),
    ],
)
def test_an_insert_tells_its_tables_and_whether_a_query_fills_them(
    sql: str, operations: list[tuple[str, bool]]
) -> None:
    (parsed,) = read_statements(sql, "postgresql")
    assert [(one.table.name, one.from_query) for one in parsed.operations if isinstance(one, ops.Insert)] == operations


def test_a_block_in_another_language_is_not_understood() -> None:
    assert opaque("DO LANGUAGE plpython3u $$ import os $$;", "postgresql")


WORDS = [
    "CREATE",
    "TABLE",
    "ALTER",
    "ADD",
    "COLUMN",
    "DROP",
    "t",
    "a",
    "int",
    "(",
    ")",
    ",",
    ";",
    "NOT",
    "NULL",
    "'x'",
    "=",
]
PIECES = st.lists(st.one_of(st.sampled_from(WORDS), st.text(string.printable, max_size=6)), max_size=25).map(" ".join)


@pytest.mark.parametrize("engine", ENGINES)
@settings(max_examples=120, deadline=None)
@given(text=PIECES)
def test_any_text_is_read_refused_or_reported(engine: Engine, text: str) -> None:
    try:
        statements = read_statements(text, engine)
    except InputError as error:
        assert bool(error.where) is True  # noqa: PT017 - one of three outcomes
        return
    for parsed in statements:
        one = parsed.statement
        assert text[one.start : one.end] == one.text
        assert parsed.operations


MYSQL_FORMS = [
    (
        "ALTER TABLE `a`.`b` ADD COLUMN (`x` INT UNSIGNED NOT NULL DEFAULT '0' COMMENT 'it''s', y "
        "VARCHAR(3) CHARACTER SET ascii)"
    ),
    "ALTER TABLE t ADD UNIQUE KEY k (a(10), b DESC) USING BTREE COMMENT 'c', DROP INDEX z, RENAME INDEX p TO q",
    "ALTER TABLE t ADD COLUMN key_type INT, ADD COLUMN `key` INT, ADD KEY (`key`)",
    "ALTER TABLE t ADD CONSTRAINT FOREIGN KEY (a) REFERENCES u (id) ON DELETE SET NULL ON UPDATE NO ACTION",
    "ALTER TABLE t MODIFY c DOUBLE PRECISION NULL DEFAULT -1.5 FIRST, CHANGE a b CHAR(3) BINARY, FORCE",
    "ALTER TABLE t ADD COLUMN g INT GENERATED ALWAYS AS (a + b) VIRTUAL, ALTER COLUMN x SET DEFAULT (uuid())",
    (
        "CREATE TABLE t (id SERIAL, ts TIMESTAMP(6) DEFAULT CURRENT_TIMESTAMP(6) ON UPDATE "
        "CURRENT_TIMESTAMP(6)) ENGINE=InnoDB"
    ),
    (
        "CREATE TABLE t (a INT, INDEX (a), FULLTEXT KEY f (b), CHECK (a > 0)) PARTITION BY RANGE (a) "
        "(PARTITION p VALUES LESS THAN (5))"
    ),
    "CREATE DEFINER=`root`@`%` PROCEDURE p() BEGIN SELECT 1; END",
    "CREATE OR REPLACE ALGORITHM=UNDEFINED DEFINER=`a`@`b` SQL SECURITY DEFINER VIEW v AS SELECT 1",
    "INSERT IGNORE INTO t SET a = 1",
    "REPLACE INTO t SELECT * FROM u",
    "UPDATE t JOIN u ON t.a = u.a SET t.b = 1 WHERE u.c = 2",
    "DELETE t FROM t JOIN u ON t.a = u.a WHERE u.b = 1",
    "SET @@session.sql_mode = 'ANSI', NAMES = 1, @x := 5",
    "/*!40101 SET NAMES utf8mb4 */",
    "LOAD DATA LOCAL INFILE 'x' INTO TABLE t",
]


@pytest.mark.parametrize("sql", MYSQL_FORMS)
def test_forms_of_mysql_are_understood(sql: str) -> None:
    assert opaque(sql, "mysql") == []


SQLITE_FORMS = [
    (
        "CREATE TABLE t (a INTEGER PRIMARY KEY ON CONFLICT REPLACE, b, c VARYING CHARACTER(255) COLLATE "
        "NOCASE) STRICT, WITHOUT ROWID"
    ),
    'CREATE TABLE [t] ("a b" REFERENCES u (x) DEFERRABLE INITIALLY DEFERRED, CONSTRAINT k UNIQUE (a) ON CONFLICT FAIL)',
    "CREATE VIRTUAL TABLE f USING fts5(a, b)",
    "CREATE UNIQUE INDEX IF NOT EXISTS main.i ON t (lower(a), b COLLATE NOCASE DESC) WHERE c > 0",
    "CREATE TEMP TRIGGER IF NOT EXISTS x INSTEAD OF UPDATE OF a ON v WHEN NEW.a > 0 BEGIN SELECT 1; SELECT 2; END",
    "WITH x AS (SELECT 1) INSERT INTO t SELECT * FROM x",
    "INSERT OR REPLACE INTO t VALUES (1) ON CONFLICT DO NOTHING",
    "PRAGMA main.user_version = 3",
    "ALTER TABLE t RENAME a TO b",
]


@pytest.mark.parametrize("sql", SQLITE_FORMS)
def test_forms_of_sqlite_are_understood(sql: str) -> None:
    assert opaque(sql, "sqlite") == []


ACCEPTED = [
    ("mysql", "CREATE TABLE t (a INT, b INT, PRIMARY KEY pk (a, b))"),
    ("mysql", "(SELECT 1) UNION (SELECT 2)"),
    ("mysql", "CREATE DEFINER = CURRENT_USER() FUNCTION f() RETURNS INT DETERMINISTIC RETURN 42"),
    ("mysql", "CREATE DEFINER = app@127.0.0.1 FUNCTION f() RETURNS INT DETERMINISTIC RETURN 42"),
    ("mysql", "CREATE ALGORITHM = MERGE DEFINER = `app`@`%` SQL SECURITY INVOKER VIEW v AS SELECT 1"),
    ("mysql", "ALTER TABLE t ANALYZE PARTITION p1"),
    ("mariadb", "CREATE TABLE t (a TEXT COMPRESSED=zlib CHARACTER SET utf8mb4)"),
    ("mariadb", "CREATE TABLE t (a TIMESTAMP(6) GENERATED ALWAYS AS ROW START INVISIBLE)"),
    ("sqlite", "CREATE TABLE t (a INT, b INT, FOREIGN KEY (a) REFERENCES o (id) FOREIGN KEY (b) REFERENCES o (id))"),
    ("sqlite", "CREATE TABLE t (a INT, CHECK (a > 0) UNIQUE (a))"),
]


@pytest.mark.parametrize(("engine", "sql"), ACCEPTED)
def test_forms_that_the_servers_accept_are_understood(engine: Engine, sql: str) -> None:
    assert not lint(sql, engine, schema="").not_understood


def test_calls_of_one_procedure_are_told_once_a_migration() -> None:
    found = lint("CALL tidy('a'); CALL tidy('b'); CALL other();", "mysql", schema="").not_understood
    assert [(one.column, one.reason.split()[4]) for one in found] == [(1, "tidy,"), (33, "other,")]


def test_the_mark_of_drizzle_ends_a_statement_in_a_folder_without_a_journal(tmp_path: Path) -> None:
    (tmp_path / "0000_a.sql").write_text("CREATE TABLE `a` (`x` int)\n--> statement-breakpoint\nDROP TABLE `b`;")
    (unit,) = units_of([str(tmp_path)])[0]
    assert len(read_statements(unit.text, "mysql")) == 2
