"""The replayed catalogue after any sequence of statements: consistent in itself, and equal to what a server has."""

from __future__ import annotations

import random
from itertools import chain

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from senior_backend.migrate import operations as ops
from senior_backend.migrate.catalog import Catalog
from senior_backend.migrate.catalog_live import read
from senior_backend.migrate.catalog_replay import apply
from senior_backend.migrate.hazards import examples
from senior_backend.migrate.hazards.registry import rules_for, rules_in
from senior_backend.migrate.hazards.rule import Unit
from senior_backend.migrate.lint import Linter, read_statements
from senior_backend.migrate.statements import Engine, split
from tests.migrate.hazards.linting import SCHEMAS
from tests.migrate.lint.test_live_catalogue import CHANGES, described, replayed

FOLDERS: dict[Engine, str] = {"postgresql": "postgresql", "mariadb": "mysql", "sqlite": "sqlite"}
STATEMENTS: dict[Engine, list[str]] = {
    engine: sorted(
        {
            statement.text
            for rule in rules_in(folder)
            for example in chain(rule.bad, rule.good)
            for statement in split(f"{example.setup};{example.sql}", engine)
        }
    )
    for engine, folder in FOLDERS.items()
}


def check_consistency(catalog: Catalog) -> None:
    """Fail where one part of the catalogue contradicts another."""
    for key, table in catalog.tables.items():
        assert catalog.key(table.name) == key
        for name, index in table.indexes.items():
            assert catalog.fold(index.name) == name
            if catalog.engine != "mariadb":  # where each table has names of its own
                assert catalog.table_of_index(ops.Name(index.name, key[0])) is table
        for name, constraint in table.constraints.items():
            assert constraint.name == name
    for index_key, table_key in catalog.index_tables.items():
        assert catalog.engine == "mariadb" or index_key[1] in catalog.tables[table_key].indexes
    for children in catalog.referrers.values():
        for child in children:
            assert any(one.references is not None for one in catalog.tables[child].constraints.values())


@pytest.mark.parametrize("engine", FOLDERS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_the_catalogue_stays_consistent_and_the_linter_on_its_feet(engine: Engine, data: st.DataObject) -> None:
    chosen = data.draw(st.lists(st.sampled_from(STATEMENTS[engine]), max_size=25))
    catalog = Catalog(engine)
    units = [Unit("schema.sql", SCHEMAS[engine], lint=False), Unit("a.sql", ";\n".join(chosen) + ";", True)]
    result = Linter(catalog, rules_for(engine, enable=("style", "policy"))).run(units)
    assert not result.not_understood
    check_consistency(catalog)


# What the replay leaves to the server: definitions it takes as opaque, and the CHECK that DETACH CONCURRENTLY adds.
NOT_COMPARED = (
    *("SERIAL", "IDENTITY", "LIKE", "INHERIT", "CREATE TABLE LOGS", " AS SELECT", "SYSTEM", "DATABASE", "ROLE"),
    *("DETACH", "COLUMN IF EXISTS NAME CASCADE"),
)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_replaying_what_a_server_accepted_gives_what_the_server_has(seed: int, postgresql_url: str) -> None:
    pool = [
        text
        for text in (*STATEMENTS["postgresql"], *(one.text for one in split(CHANGES, "postgresql")))
        if not any(word in text.upper() for word in NOT_COMPARED)
        and isinstance(read_statements(text, "postgresql")[0].operations[0], (ops.TableOperation, ops.DropIndex))
        and "TEMP" not in text.upper()
    ]
    chosen = random.Random(seed).sample(pool, 60)
    accepted: list[str] = []
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(examples.POSTGRESQL)
        for text in chosen:
            try:
                connection.execute(text)
            except psycopg.Error:
                continue
            accepted.append(text)
    assert len(accepted) > 8
    live, _ = read(postgresql_url)
    catalog = replayed("postgresql", examples.POSTGRESQL + ";\n".join(accepted))
    check_consistency(catalog)
    ours, theirs = described(catalog), described(live)
    script = ";\n".join(accepted)
    assert ours.keys() == theirs.keys(), script
    for name in theirs:
        assert ours[name] == theirs[name], f"{name} behind:\n{script}"


def test_a_copy_is_a_catalogue_of_its_own() -> None:
    catalog = replayed("postgresql", examples.POSTGRESQL)
    copy = catalog.copy()
    for parsed in read_statements("DROP TABLE orders; ALTER TABLE users DROP COLUMN age;", "postgresql"):
        for operation in parsed.operations:
            apply(copy, operation)
    assert catalog.table(ops.Name("orders")) is not None
    assert catalog.column(ops.Name("users"), "age") is not None
    assert copy.column(ops.Name("users"), "age") is None
