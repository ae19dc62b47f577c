"""Servers that a rehearsal starts for itself, and takes away again."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

from senior_backend.console.errors import UnavailableError
from senior_backend.migrate.rehearse import scratch
from senior_backend.migrate.rehearse.model import Server


def _works(server: Server, select: str) -> None:
    session = server.connect("test")
    session.query("CREATE TABLE t (id INT PRIMARY KEY)")
    session.query("INSERT INTO t VALUES (1), (2)")
    assert session.query(select) == [(2,)]
    assert [table.label for table in server.describe(session)] == ["t"]
    session.close()


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="the wheel has no Windows build")
def test_the_embedded_server_starts_and_goes() -> None:
    with scratch.embedded_postgresql() as source, source.database() as server:
        assert server.label.startswith("PostgreSQL")
        _works(server, "SELECT count(*) FROM t")


@pytest.mark.slow
def test_the_programs_of_this_machine_serve_where_they_may_run() -> None:
    programs = scratch.postgresql_programs()
    if programs is None:
        root = hasattr(os, "getuid") and os.getuid() == 0
        assert root or not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")), (
            "PostgreSQL is there, and was not found"
        )
        return
    with scratch.temporary_postgresql(programs) as source, source.database() as server:
        _works(server, "SELECT count(*) FROM t")


@pytest.mark.slow
def test_a_temporary_mariadb_starts_and_goes() -> None:
    if shutil.which("mariadbd") or shutil.which("mysqld"):
        with scratch.temporary_mariadb() as source, source.database() as server:
            _works(server, "SELECT count(*) FROM t")
        return
    with pytest.raises(UnavailableError, match="mariadbd") as error, scratch.temporary_mariadb():
        pass
    assert "mysql://" in str(error.value.hint)


def test_sqlite_leaves_no_file_behind() -> None:
    with scratch.SqliteSource().database() as server:
        _works(server, "SELECT count(*) FROM t")
        path = Path(str(getattr(server, "path")))  # noqa: B009 - the protocol of servers knows no path
        assert path.exists()
    assert not path.exists()
