from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from senior_backend.scaffold import importing
from senior_backend.scaffold.model import Resource, Service
from senior_backend.scaffold.sources.database import masked, read_database
from tests.scaffold.conftest import Tool

SQLITE = """
CREATE TABLE users (
  id TEXT PRIMARY KEY, email VARCHAR(254) NOT NULL UNIQUE, password_hash TEXT NOT NULL, name VARCHAR(80) NOT NULL,
  is_active BOOLEAN NOT NULL DEFAULT 1, created_at DATETIME NOT NULL, "class" INTEGER, blob BLOB
);
CREATE TABLE tags (id INTEGER PRIMARY KEY, label VARCHAR(40) NOT NULL UNIQUE);
CREATE TABLE orders (
  id INTEGER PRIMARY KEY, user_id TEXT NOT NULL REFERENCES users(id) ON DELETE CASCADE,
  status VARCHAR(20) NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'paid', 'it''s odd')),
  kind VARCHAR(9) CHECK (kind IN ('a', 'b')), total NUMERIC(10, 2) NOT NULL CHECK (total >= 0), placed TIMESTAMP
);
CREATE INDEX orders_status ON orders (status, placed);
CREATE UNIQUE INDEX orders_pair ON orders (kind, placed);
CREATE TABLE orders_tags (
  order_id INTEGER REFERENCES orders(id), tag_id INTEGER REFERENCES tags(id), PRIMARY KEY (order_id, tag_id)
);
CREATE TABLE cores (id INTEGER PRIMARY KEY, name VARCHAR(9) NOT NULL, user_id TEXT REFERENCES users(id));
CREATE TABLE alembic_version (version_num VARCHAR(32));
CREATE TABLE a (id INTEGER PRIMARY KEY, b_id INTEGER NOT NULL REFERENCES b(id), x INT);
CREATE TABLE b (id INTEGER PRIMARY KEY, a_id INTEGER NOT NULL REFERENCES a(id), x INT);
"""
POSTGRESQL = """
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TABLE users (
  id uuid PRIMARY KEY DEFAULT gen_random_uuid(), email text NOT NULL UNIQUE, password text NOT NULL,
  name varchar(80) NOT NULL, mood mood NOT NULL DEFAULT 'ok', settings jsonb, score numeric(6,3) DEFAULT 1.5,
  big bigint, ip inet, labels text[], born date, seen timestamptz NOT NULL DEFAULT now(), ratio double precision,
  is_active boolean NOT NULL DEFAULT true, created_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE teams (
  id bigserial PRIMARY KEY, title varchar(30) DEFAULT 'it''s' NOT NULL,
  lead_id uuid REFERENCES users ON DELETE SET NULL,
  kind varchar(8) NOT NULL CHECK (kind IN ('in', 'out')), size int CHECK (size > 0));
CREATE TABLE team_users (
  team_id bigint NOT NULL REFERENCES teams, user_id uuid NOT NULL REFERENCES users, PRIMARY KEY (team_id, user_id)
);
CREATE INDEX ON teams (kind, title);
CREATE INDEX ON teams (title);
CREATE VIEW v AS SELECT 1 AS one;
"""
MARIADB = """
CREATE TABLE users (
  id CHAR(36) PRIMARY KEY, email VARCHAR(190) NOT NULL UNIQUE, password VARCHAR(255) NOT NULL,
  role ENUM('admin','user') NOT NULL DEFAULT 'user', is_active TINYINT(1) NOT NULL DEFAULT 1, settings JSON,
  amount DECIMAL(8,2) NOT NULL DEFAULT 0.50, visits INT UNSIGNED NOT NULL DEFAULT 0,
  created_at DATETIME NOT NULL DEFAULT CURRENT_TIMESTAMP, seen DATETIME NULL, picture BLOB
);
CREATE TABLE notes (
  id BIGINT AUTO_INCREMENT PRIMARY KEY, user_id CHAR(36) NOT NULL, body TEXT NOT NULL, title VARCHAR(60) NOT NULL,
  kind VARCHAR(9) NOT NULL CHECK (kind IN ('a','b')),
  KEY by_title (title), CONSTRAINT f FOREIGN KEY (user_id) REFERENCES users (id) ON DELETE CASCADE
);
"""


def fitted(url: str) -> tuple[Service, str]:
    name, drafts, findings = read_database(url)
    service, left_out = importing.fit("shop", drafts)
    assert name
    return service, "\n".join(f"{item.where}: {item.message}" for item in (*findings, *left_out))


def shape(resource: Resource) -> dict[str, str]:
    from senior_backend.scaffold.field_text import short_form

    return {field.name: short_form(field) for field in resource.fields}


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "shop.db"
    connection = sqlite3.connect(path)
    connection.executescript(SQLITE)
    connection.close()
    return path


def test_sqlite(database: Path) -> None:
    service, lost = fitted(f"sqlite:///{database}")
    assert shape(service.resource("user")) == {
        "email": "email:unique",
        "password": "password",
        "name": "str(80)",
        "is_active": "bool=true",
        "category": "int?",
    }
    assert service.resource("user").identity
    order = service.resource("order")
    assert shape(order) == {
        "user": "ref(user,cascade)",
        "status": "str(255)=open",
        "kind": "enum(a,b)?",
        "total": "decimal(10,2)",
        "placed": "datetime?",
    }
    assert [(link.name, link.target) for link in order.links] == [("tags", "tag")]
    assert order.indexes == (("kind", "placed"), ("status", "placed"))
    assert {resource.name for resource in service.resources} == {"user", "tag", "order", "a", "b", "core_record"}
    for expected in (
        "users.class: 'class' cannot name a field",
        "users.blob: no field type fits BLOB",
        "orders: check constraint left out: total >= 0",
        "users.password_hash: it becomes `password`",
        "it becomes str",
        "unique (kind, placed) becomes a plain index",
        "is made optional",
        "tags.id: `id` is the server's own, not INTEGER",
    ):
        assert expected in lost, lost


def test_postgresql(postgresql_url: str) -> None:
    import psycopg

    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute(POSTGRESQL)
    service, lost = fitted(postgresql_url.replace("postgresql://", "postgresql+asyncpg://"))
    assert shape(service.resource("user")) == {
        "email": "email:unique",
        "password": "password",
        "name": "str(80)",
        "mood": "enum(sad,ok)=ok",
        "settings": "json?",
        "score": "decimal(6,3)?=1.5",
        "big": "bigint?",
        "born": "date?",
        "seen": "datetime",
        "ratio": "float?",
        "is_active": "bool=true",
    }
    team = service.resource("team")
    assert shape(team) == {
        "title": "str(30):index=it's",
        "lead": "ref(user,set_null)?",
        "kind": "enum(in,out)",
        "size": "int?",
    }
    assert team.indexes == (("kind", "title"),)
    assert [link.target for link in team.links] == ["user"]
    for expected in (
        "users.ip: no field type fits inet",
        "users.labels",
        "teams: check constraint left out: (size > 0)",
    ):
        assert expected in lost
    assert "users.seen: the default now() is computed" in lost


def test_mariadb(mariadb_url: str) -> None:
    from urllib.parse import urlsplit

    import pymysql
    from pymysql.constants import CLIENT

    parts = urlsplit(mariadb_url)
    connection = pymysql.connect(
        host=parts.hostname or "",
        port=parts.port or 3306,
        user=parts.username or "",
        password=parts.password or "",
        database=parts.path.lstrip("/"),
        client_flag=CLIENT.MULTI_STATEMENTS,
        autocommit=True,
    )
    with connection, connection.cursor() as cursor:
        cursor.execute(MARIADB)
        while cursor.nextset():
            pass
    service, lost = fitted(mariadb_url)
    assert shape(service.resource("user")) == {
        "email": "email:unique",
        "password": "password",
        "role": "enum(admin,user)=user",
        "is_active": "bool=true",
        "settings": "json?",
        "amount": "decimal(8,2)=0.50",
        "visits": "bigint:min=0=0",
        "seen": "datetime?",
    }
    assert shape(service.resource("note")) == {
        "user": "ref(user,cascade)",
        "body": "text",
        "title": "str(60):index",
        "kind": "enum(a,b)",
    }
    assert "users.picture: no field type fits blob" in lost


def test_the_tool_writes_a_specification_that_generates(tool: Tool, database: Path) -> None:
    result = tool("--from-db", f"sqlite:///{database}", "--out", "review")
    assert result.code == 0, result.envelope
    assert result.codes.count("lossy") == len(result.codes) > 5
    assert sorted(path.name for path in (tool.folder / "review").iterdir()) == ["resources.yaml"]
    again = tool("--from-db", str(database), "--out", "review")
    assert again.code == 0
    assert tool("--spec", "review/resources.yaml").code == 0
    (tool.folder / "review/resources.yaml").write_text("resources: {}\n")
    refused = tool("--from-db", f"sqlite:///{database}", "--out", "review")
    assert (refused.code, refused.codes) == (5, ["spec-exists"])
    assert (tool.folder / "review/resources.yaml").read_text() == "resources: {}\n"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("sqlite:///nowhere.db", 4),
        ("postgresql://nobody:secret@127.0.0.1:1/x", 4),
        ("mysql://root:secret@127.0.0.1:1/x", 4),
        ("oracle://x/y", 2),
        ("postgresql://host:notaport/x", 2),
        ("nothing", 2),
    ],
)
def test_databases_that_cannot_be_read(tool: Tool, url: str, code: int) -> None:
    result = tool("--from-db", url)
    assert result.code == code, result.envelope
    assert "secret" not in str(result.envelope)
    assert list(tool.folder.iterdir()) == []


def test_a_file_that_is_no_database(tool: Tool) -> None:
    (tool.folder / "x.db").write_text("not a database, but long enough to have a header of some kind" * 50)
    assert tool("--from-db", "x.db").code == 4


def test_passwords_are_masked() -> None:
    assert masked("postgresql://me:p@ss/w@host:1/db") == "postgresql://me:***@host:1/db"
    assert masked("postgresql://host/db?user=a&password=b") == "postgresql://host/db?user=a&password=***"


def test_decimals_that_no_integer_holds_are_told(tmp_path: Path) -> None:
    database = tmp_path / "wide.db"
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("CREATE TABLE readings (id INTEGER PRIMARY KEY, wide DECIMAL(30, 9) NOT NULL)")
    _, drafts, findings = read_database(f"sqlite:///{database}")
    assert drafts[0].fields is not None
    settings = drafts[0].fields[0].settings
    assert (settings["precision"].value, settings["scale"].value) == (18, 6)
    assert any("more than 18 digits" in finding.message for finding in findings)
