"""A long PostgreSQL script is parsed in pieces: what it says must not depend on where it is cut."""

from __future__ import annotations

import pytest

from senior_backend.migrate import postgres, postgres_tree
from senior_backend.migrate.hazards.registry import rules_in
from senior_backend.migrate.operations import ParsedStatement

EXAMPLES = [example.sql for rule in rules_in("postgresql") for example in (*rule.bad, *rule.good)]
SCRIPTS = {
    "examples": ";\n".join(sql.rstrip("; \n") for sql in EXAMPLES if "\\" not in sql) + ";\n",
    "characters": "SELECT 'é😀';\n-- ü;\nALTER TABLE \"Ünï\" ADD b int;\n\n/* ä */ SELECT 1;\nSELECT 'ß'",
    "line comment inside a statement": "CREATE SCHEMA s -- with its table;\nCREATE TABLE t (a int);\nSELECT 1;\n",
    "line comment behind a statement": "SELECT 1; -- one;\nSELECT 2; -- two;\n-- three;\nSELECT 3;\n",
    "block comment": "SELECT 1 /* a;\n b;\n */ + 2;\nSELECT 3;\n",
    "quotes": "SELECT 'a;\nb';\nSELECT \"c;\nd\";\nSELECT 3;\n",
    "dollar quotes": "DO $$ BEGIN\nDROP TABLE a;\nDROP TABLE b;\nEND $$;\nSELECT 3;\n",
    "rule": "CREATE RULE r AS ON INSERT TO t DO ALSO (DELETE FROM a;\nDELETE FROM b);\nSELECT 3;\n",
    "atomic body": "CREATE FUNCTION f() RETURNS int BEGIN ATOMIC\nSELECT 1;\nSELECT 2;\nEND;\nSELECT 3;\n",
    "function called later": "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS 'DROP TABLE a';\nSELECT f();\n",
    "not understood": "SELECT 1;\nALTER TABLE a FROB;\nSELECT 2;\n",
    "meta command": "SELECT 1;\n\\set a 1;\nSELECT 2;\n",
    "without an end": "SELECT 1;\nSELECT 2",
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_pieces_say_what_the_whole_says(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = SCRIPTS[name]
    whole = shown(text)
    monkeypatch.setattr(postgres, "_PIECE", 1)
    assert shown(text) == whole


def test_a_long_script_is_read_from_its_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    tree_of = postgres_tree.tree_of

    def noted(text: str) -> str:
        parsed.append(text)
        return tree_of(text)

    monkeypatch.setattr(postgres, "tree_of", noted)
    script = "SELECT 1;\n" * 20_000
    assert len(postgres.read(script)) == 20_000
    assert len(parsed) > 1
    assert "".join(parsed) == script


def shown(text: str) -> list[str]:
    """Return statements as text, with all that their operations hold."""
    return [show(parsed) for parsed in postgres.read(text)]


def show(parsed: ParsedStatement) -> str:
    """Return a statement with its place and its operations."""
    return f"{parsed.statement} {parsed.operations} {parsed.block}"
