"""The linter against what was measured on real servers, statement by statement."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from senior_backend.migrate.catalog import Catalog
from senior_backend.migrate.catalog_replay import apply
from senior_backend.migrate.generic import read
from senior_backend.migrate.mysql_types import modify_cost
from senior_backend.migrate.operations import ModifyColumn
from tests.migrate.hazards.linting import lint

MEASURED = Path(__file__).parents[1] / "measured"
POSTGRESQL: list[dict[str, Any]] = [
    case for case in json.loads((MEASURED / "pg15_measured_locks.json").read_text()) if "error" not in case
]
MARIADB: list[dict[str, Any]] = json.loads((MEASURED / "mariadb1011_online_ddl.json").read_text())
BLOCKING = {"AccessExclusiveLock", "ShareLock", "ShareRowExclusiveLock", "ExclusiveLock"}
ROWS = 20_000
SCHEMA = """
CREATE TABLE o (id bigint PRIMARY KEY, x int);
CREATE TYPE mood AS ENUM ('ok', 'bad');
CREATE DOMAIN dm AS int;
CREATE DOMAIN dm2 AS int CHECK (VALUE > 0);
CREATE TABLE t (
    id bigint PRIMARY KEY, a int, b varchar(50), c text NOT NULL, d timestamp, e numeric(10, 2), g char(10), j json,
    nl varchar(50), nn int NOT NULL, i2 smallint, cd cidr, bt bit varying(5), ts3 timestamptz(3), iv interval(3),
    m mood, o_id bigint, id2 bigint NOT NULL, CONSTRAINT nn_valid CHECK (nn IS NOT NULL)
);
CREATE INDEX t_a ON t (a);
CREATE INDEX t_b ON t (b);
CREATE UNIQUE INDEX t_id2 ON t (id2);
ALTER TABLE t ADD CONSTRAINT ck_nv CHECK (a > -1) NOT VALID;
ALTER TABLE t ADD CONSTRAINT fk_nv FOREIGN KEY (o_id) REFERENCES o (id) NOT VALID;
CREATE TABLE td (x int NOT NULL, y dm);
CREATE TABLE p (k int) PARTITION BY RANGE (k);
CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
CREATE TABLE p2 (k int);
CREATE MATERIALIZED VIEW mv AS SELECT id, a FROM t;
CREATE VIEW v AS SELECT id FROM t;
"""
# Measured on tables without rows, or already in the wanted state: no server can tell these from harmless ones, and a
# file does not say how many rows there are. REFRESH ... CONCURRENTLY reads under a lock that stops only its like.
NOT_COMPARABLE = {
    "alter table td add primary key (x)",
    "alter table t set logged",
    "alter table t set tablespace pg_default",
    "alter domain dm add constraint z check (value > 0)",
    "alter domain dm set not null",
    "alter table p attach partition p2 for values from (10) to (20)",
    "create index on p(k)",
    "refresh materialized view concurrently mv",
}
COMPARABLE = [
    case
    for case in POSTGRESQL
    if case["sql"] not in NOT_COMPARABLE and not case["sql"].startswith("alter table p2 add")
]


def dangerous(case: dict[str, Any]) -> bool:
    """Whether the statement scanned or rewrote a table under a lock that stops writers."""
    heavy = bool(case["rewritten"]) or (case["seq_tup_read"] or 0) >= ROWS
    return heavy and any(mode in BLOCKING for mode in case["locks"].values())


@pytest.mark.parametrize("case", COMPARABLE, ids=lambda case: case["sql"])
def test_postgresql_scans_and_rewrites_are_told_from_the_rest(case: dict[str, Any]) -> None:
    sql = f"SET timezone = 'UTC'; SET lock_timeout = '1s'; {case['sql']}"
    result = lint(sql, schema=SCHEMA, transaction=True, enable=())
    assert not result.not_understood
    effects = {
        one.hazard.effect or one.rule.effect for one in result.found if one.severity == "error" and one.rule is not None
    }
    assert bool(effects & {"scan", "rewrite"}) is dangerous(case)


def test_the_measured_cases_hold_both_kinds() -> None:
    assert sum(map(dangerous, COMPARABLE)) >= 30
    types = [case for case in COMPARABLE if " type " in case["sql"]]
    assert sum(map(dangerous, types)) >= 10
    assert sum(not dangerous(case) for case in types) >= 12


MARIADB_SCHEMA = """
CREATE TABLE t (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(50), c TEXT, d DATETIME, dec1 DECIMAL(10, 2),
    e ENUM('a', 'b'), f INT NOT NULL, lat VARCHAR(100) CHARACTER SET latin1, s SET('x', 'y'), v VARCHAR(300)
) DEFAULT CHARSET=utf8mb4;
"""
COSTS = {"INSTANT": "instant", "NOCOPY": "instant", "INPLACE": "rebuild", "COPY": "copy"}
MODIFIED = [
    case for case in MARIADB if case["op"].startswith("modify ") and "best" in case and " id " not in case["op"]
]


@pytest.mark.parametrize("case", MODIFIED, ids=lambda case: case["op"])
def test_mariadb_changes_of_columns_cost_what_was_measured(case: dict[str, Any]) -> None:
    catalog = Catalog("mariadb")
    for parsed in read(MARIADB_SCHEMA, "mariadb"):
        for operation in parsed.operations:
            apply(catalog, operation)
    (parsed,) = read(f"ALTER TABLE t {case['op']}", "mariadb")
    (operation,) = parsed.operations
    assert isinstance(operation, ModifyColumn)
    old = catalog.column(operation.table, operation.column)
    table = catalog.table(operation.table)
    assert modify_cost(old, operation.definition, table, "mariadb") == COSTS[case["best"].partition("+")[0]]


@pytest.mark.parametrize("case", MARIADB, ids=lambda case: case["op"])
def test_every_measured_alter_table_of_mariadb_is_understood(case: dict[str, Any]) -> None:
    result = lint(f"ALTER TABLE t {case['op']}, ALGORITHM=INPLACE, LOCK=NONE", "mariadb", schema=MARIADB_SCHEMA)
    assert not result.not_understood


MYSQL: list[dict[str, Any]] = json.loads((MEASURED / "mysql97_online_ddl.json").read_text())
MYSQL_SCHEMA = """
CREATE TABLE t (
    id BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY, a INT, b VARCHAR(50), c TEXT, d DATETIME, dec1 DECIMAL(10, 2),
    e ENUM('a', 'b'), f INT NOT NULL, lat VARCHAR(100) CHARACTER SET latin1, s SET('x', 'y'), v VARCHAR(300),
    o_id BIGINT, nk VARCHAR(50), tb TINYBLOB, bl BLOB, u3 VARCHAR(50) CHARSET utf8mb3, u3k VARCHAR(50) CHARSET utf8mb3,
    u3t TEXT CHARSET utf8mb3, u3c CHAR(10) CHARSET utf8mb3, ch CHAR(10), bi BINARY(20), vb VARBINARY(100),
    d6 DATETIME(6), fl FLOAT, db DOUBLE, bo BOOLEAN, bt BIT(3), yr YEAR, js JSON, g1 INT AS (a + 1) VIRTUAL,
    g2 INT AS (a + 1) STORED, pt POINT NOT NULL, d2 DATETIME, KEY kb (b), KEY ku3k (u3k)
) DEFAULT CHARSET=utf8mb4;
"""
# A collation that is named beside the table's own cannot be told from another one: the catalogue holds no collations.
SAME_COLLATION_PERHAPS = {"modify b varchar(50) collate utf8mb4_unicode_ci"}
MYSQL_MODIFIED = [
    case
    for case in MYSQL
    if case["op"].startswith(("modify ", "change "))
    and "table" not in case
    and case["op"] not in SAME_COLLATION_PERHAPS
]


@pytest.mark.parametrize("case", MYSQL_MODIFIED, ids=lambda case: case["op"])
def test_mysql_changes_of_columns_are_judged_as_measured(case: dict[str, Any]) -> None:
    result = lint(f"ALTER TABLE t {case['op']}", "mysql", schema=MYSQL_SCHEMA, enable=())
    assert not result.not_understood
    copies = any((one.hazard.lock or (one.rule and one.rule.lock)) == "SHARED" for one in result.found)
    rebuilds = any((one.hazard.effect or (one.rule and one.rule.effect)) == "rewrite" for one in result.found)
    assert copies is case["best"].startswith("COPY")
    assert rebuilds is case["rebuilt"]


@pytest.mark.parametrize("case", MYSQL, ids=lambda case: case["op"])
def test_every_measured_alter_table_of_mysql_is_understood(case: dict[str, Any]) -> None:
    assert not lint(f"ALTER TABLE {case.get('table', 't')} {case['op']}", "mysql", schema=MYSQL_SCHEMA).not_understood
