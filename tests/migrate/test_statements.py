"""The statement splitter, against each engine's own lexical rules."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from senior_backend.console.errors import InputError
from senior_backend.migrate.options import ENGINES
from senior_backend.migrate.statements import Engine, split

CASES: list[tuple[str, Engine, str, list[str]]] = [
    ("plain", "postgresql", "select 1; select 2", ["select 1", "select 2"]),
    ("several on a line, empty ones", "sqlite", ";; a b;c d ;", ["a b", "c d"]),
    ("quote", "postgresql", "select 'it''s; ok'; x y", ["select 'it''s; ok'", "x y"]),
    ("identifier", "postgresql", 'select "a;""b"; x y', ['select "a;""b"', "x y"]),
    ("backslash is plain", "postgresql", r"select '\'; x y", [r"select '\'", "x y"]),
    ("escape string", "postgresql", r"select E'\';'; x y", [r"select E'\';'", "x y"]),
    ("name ending in e", "postgresql", r"select name'\'; x y", [r"select name'\'", "x y"]),
    ("dollar quote", "postgresql", "do $$ a; $x$ b; $$; x y", ["do $$ a; $x$ b; $$", "x y"]),
    ("tagged dollar quote", "postgresql", "do $f$ $$ ; $$ $f$; x y", ["do $f$ $$ ; $$ $f$", "x y"]),
    ("parameter", "postgresql", "select $1; x $2$", ["select $1", "x $2$"]),
    ("dollar in a name", "postgresql", "select a$b$c; x y", ["select a$b$c", "x y"]),
    ("nested comment", "postgresql", "/* a /* ; */ ; */ x y; z", ["x y", "z"]),
    ("comment between", "postgresql", "x -- ; '\n y;", ["x -- ; '\n y"]),
    ("trailing comment", "postgresql", "x y -- end\n", ["x y"]),
    ("no nesting", "mysql", "/* a /* ; */ x y; z", ["x y", "z"]),
    ("no nesting", "sqlite", "/* a /* ; */ x y; z", ["x y", "z"]),
    ("hash", "mysql", "# it's\nx y; z", ["x y", "z"]),
    ("double dash needs a space", "mysql", "select 1--1; z", ["select 1--1", "z"]),
    ("backslash", "mysql", r"""x '\';' "\";" `\`; z""", [r"""x '\';' "\";" `\`""", "z"]),
    (
        "conditional", "mariadb",
        "/*!50001 x ';*/' ; */; /*M!100000 y */; z",
        ["/*!50001 x ';*/' ; */", "/*M!100000 y */", "z"],
    ),
    ("delimiter", "mysql", "DELIMITER //\na;b//\nc;//\ndelimiter ;\nd e;f", ["a;b", "c;", "d e", "f"]),
    (
        "a column called delimiter", "mysql",
        "create table t (\n delimiter int); z",
        ["create table t (\n delimiter int)", "z"],
    ),
    (
        "body", "mysql",
        "CREATE TRIGGER t BEGIN IF a THEN b; END IF; END; z",
        ["CREATE TRIGGER t BEGIN IF a THEN b; END IF; END", "z"],
    ),
    (
        "definer", "mysql",
        "CREATE DEFINER=`a`@`b` PROCEDURE p() BEGIN c; END; z",
        ["CREATE DEFINER=`a`@`b` PROCEDURE p() BEGIN c; END", "z"],
    ),
    (
        "one-statement trigger", "mysql",
        "CREATE TRIGGER t FOR EACH ROW SET a = 1; z",
        ["CREATE TRIGGER t FOR EACH ROW SET a = 1", "z"],
    ),
    ("bracket", "sqlite", "select [a;'b]; z", ["select [a;'b]", "z"]),
    (
        "trigger", "sqlite", "create temp trigger a begin insert into b values (case when 1 then 2 end); c; end; z",
        ["create temp trigger a begin insert into b values (case when 1 then 2 end); c; end", "z"],
    ),
    (
        "atomic body", "postgresql", "CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; b; END; z",
        ["CREATE FUNCTION f() BEGIN ATOMIC SELECT CASE WHEN a THEN 1 END; b; END", "z"],
    ),
    (
        "psql meta", "postgresql",
        "\\set a 'b\nx y \\gset\n\\i f;g\nz",
        ["\\set a 'b", "x y", "\\gset", "\\i f;g", "z"],
    ),
    ("crlf", "postgresql", "a b;\r\nc\r\nd;\r\n", ["a b", "c\r\nd"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "text", "expected"), [pytest.param(*case[1:], id=f"{case[1]}-{case[0]}") for case in CASES]
)
def test_text_becomes_the_statements_that_the_engine_sees(engine: Engine, text: str, expected: list[str]) -> None:
    found = split(text, engine)
    assert [one.text for one in found] == expected
    assert all(text[one.start : one.end] == one.text for one in found)


def test_places_count_from_one_in_the_whole_text() -> None:
    text = "-- c\n  a b; c\nd"
    assert [(one.line, one.column) for one in split(text, "sqlite")] == [(2, 3), (2, 8)]
    assert [(one.line, one.column) for one in split(text, "sqlite", start=10)] == [(2, 8)]


def test_meta_commands_and_copy_data_are_marked() -> None:
    found = split("\\set a b\nCOPY t (a) FROM stdin;\n1\t';\n\\.\nselect 1", "postgresql")
    assert [(one.text, one.meta, one.data) for one in found] == [
        ("\\set a b", True, None),
        ("COPY t (a) FROM stdin", False, "1\t';\n"),
        ("select 1", False, None),
    ]


@pytest.mark.parametrize(
    ("engine", "text", "code", "place"),
    [
        ("postgresql", "select 1;\n select 'a", "unterminated-quote", "f.sql:2:9"),
        ("postgresql", "do $a$ x $b$", "unterminated-quote", "f.sql:1:4"),
        ("postgresql", "/* /* */", "unterminated-comment", "f.sql:1:1"),
        ("postgresql", "COPY t FROM STDIN;\n1\n", "unterminated-copy", "f.sql:1:1"),
        ("postgresql", "CREATE FUNCTION f() BEGIN ATOMIC a;", "unterminated-body", "f.sql:1:21"),
        ("mysql", "select `a", "unterminated-quote", "f.sql:1:8"),
        ("mysql", "/*! a", "unterminated-comment", "f.sql:1:1"),
        ("mysql", "CREATE PROCEDURE p() BEGIN a;", "unterminated-body", "f.sql:1:22"),
        ("mysql", "DELIMITER\n", "delimiter-empty", "f.sql:1:1"),
        ("sqlite", "/* a", "unterminated-comment", "f.sql:1:1"),
        ("sqlite", "create trigger a begin b; ", "unterminated-body", "f.sql:1:1"),
        ("sqlite", "a\0b", "binary-file", "f.sql:1:2"),
    ],
)
def test_what_never_ends_is_told_with_its_place(engine: Engine, text: str, code: str, place: str) -> None:
    with pytest.raises(InputError) as caught:
        split(text, engine, file="f.sql")
    assert (caught.value.code, caught.value.where) == (code, place)


@given(st.text(alphabet="ab ;'\"`$/*-#\\\n[]eE.", max_size=40), st.sampled_from(ENGINES))
def test_no_text_is_lost_or_invented(text: str, engine: Engine) -> None:
    try:
        found = split(text, engine)
    except InputError:
        return
    position = 0
    for one in found:
        assert one.start >= position
        assert text[one.start : one.end] == one.text != ""
        position = one.end
