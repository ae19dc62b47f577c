"""What earlier PostgreSQL migrations leave behind, in the cases where histories of real projects showed a mistake."""

from __future__ import annotations

import pytest

from senior_backend.migrate.operations import Name
from tests.migrate.lint.test_live_catalogue import replayed


def test_renaming_a_constraint_renames_its_index_and_the_other_way_round() -> None:
    catalog = replayed(
        "postgresql",
        "CREATE TABLE a (id int PRIMARY KEY, code int UNIQUE); ALTER TABLE a RENAME CONSTRAINT a_pkey TO a_pk;"
        "ALTER INDEX a_code_key RENAME TO a_code;",
    )
    table = catalog.tables["public", "a"]
    assert set(table.indexes) == set(table.constraints) == {"a_pk", "a_code"}
    assert catalog.table_of_index(Name("a_pk")) is table


def test_a_unique_constraint_on_the_primary_key_is_not_made_twice() -> None:
    catalog = replayed("postgresql", "CREATE TABLE a (id int UNIQUE, code int UNIQUE, PRIMARY KEY (id));")
    assert set(catalog.tables["public", "a"].indexes) == {"a_pkey", "a_code_key"}


def test_columns_follow_their_type_to_its_new_name() -> None:
    catalog = replayed(
        "postgresql", "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE a (m mood); ALTER TYPE mood RENAME TO feeling;"
    )
    assert str(catalog.tables["public", "a"].columns["m"].type) == "feeling"


def test_long_names_are_shortened_as_the_server_does() -> None:
    catalog = replayed(
        "postgresql",
        "CREATE TABLE flows (id int PRIMARY KEY);"
        "CREATE TABLE identity_verification_tokens (selfservice_verification_flow_id int REFERENCES flows);",
    )
    table = catalog.tables["public", "identity_verification_tokens"]
    assert set(table.constraints) == {"identity_verification_tokens_selfservice_verification_flow_fkey"}


def test_a_partition_has_the_constraints_of_its_parent() -> None:
    catalog = replayed(
        "postgresql",
        "CREATE TABLE o (id int PRIMARY KEY); CREATE TABLE p (o int REFERENCES o, CHECK (o > 0)) PARTITION BY LIST (o);"
        "CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);",
    )
    assert set(catalog.tables["public", "p1"].constraints) == {"p_o_fkey", "p_o_check"}


@pytest.mark.parametrize("drop", ["DROP VIEW a CASCADE", "DROP TABLE t CASCADE", "DROP SCHEMA public CASCADE"])
def test_cascade_drops_the_views_on_a_view(drop: str) -> None:
    setup = "CREATE TABLE t (id int); CREATE VIEW a AS TABLE t; CREATE MATERIALIZED VIEW b AS SELECT id FROM a;"
    assert ("public", "b") not in replayed("postgresql", setup + drop).tables


def test_views_that_read_each_other_are_dropped() -> None:
    """PostgreSQL accepts them: only a query of one fails."""
    setup = "CREATE VIEW a AS SELECT 1 n; CREATE VIEW b AS TABLE a; CREATE OR REPLACE VIEW a AS TABLE b;"
    assert not replayed("postgresql", setup + "DROP VIEW a CASCADE").tables


@pytest.mark.parametrize("drop", ["DROP FUNCTION s.f() CASCADE", "DROP SCHEMA s CASCADE", "DROP TRIGGER g ON t"])
def test_triggers_go_with_their_function(drop: str) -> None:
    setup = (
        "CREATE TABLE t (id int); CREATE SCHEMA s;"
        "CREATE FUNCTION s.f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;"
        "CREATE TRIGGER g BEFORE UPDATE OF id ON t FOR EACH ROW EXECUTE FUNCTION s.f();"
    )
    assert replayed("postgresql", setup).tables["public", "t"].dependents
    table = replayed("postgresql", setup + drop).tables["public", "t"]
    assert not table.triggers
    assert not table.dependents


def test_triggers_and_functions_keep_their_ties_under_new_names() -> None:
    catalog = replayed(
        "postgresql",
        "CREATE TABLE t (id int); CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;"
        "CREATE TRIGGER g BEFORE UPDATE OF id ON t FOR EACH ROW EXECUTE FUNCTION f();"
        "ALTER TRIGGER g ON t RENAME TO h; ALTER FUNCTION f() RENAME TO e;",
    )
    table = catalog.tables["public", "t"]
    assert table.triggers == {"h"}
    assert [one.name for one in table.dependents] == [Name("h")]
    assert table.trigger_functions == {"h": Name("e")}


def test_an_index_on_the_parent_only_stays_there_when_the_next_one_is_made() -> None:
    catalog = replayed(
        "postgresql",
        "CREATE TABLE a (id int, at int) PARTITION BY RANGE (at);"
        "CREATE TABLE a_1 PARTITION OF a FOR VALUES FROM (0) TO (9);"
        "CREATE INDEX a_id ON ONLY a (id); CREATE INDEX a_at ON a (at);",
    )
    assert set(catalog.tables["public", "a_1"].indexes) == {"a_1_at_idx"}
