"""Every fenced block of the references is compiled or run; what cannot be proven must be tagged `text`."""

from __future__ import annotations

import ast
import importlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from markdown_it import MarkdownIt

from tests import services
from tests.documents import ROOT, SHELL_FENCES, markdown_files
from tests.patterns.test_typescript import project as typescript_project
from tests.patterns.test_typescript import run

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = Path(__file__).parent
project = typescript_project


@dataclass(frozen=True)
class Fence:
    """A fenced code block: `info` is what stands behind the opening backticks."""

    file: Path
    line: int
    info: str
    text: str

    def __str__(self) -> str:
        return f"{self.file.name}:{self.line}:{self.info.replace(' ', '-')}"


def fences(files: list[Path]) -> list[Fence]:
    return [
        Fence(file, token.map[0] + 1 if token.map else 0, token.info.strip(), token.content)
        for file in files
        for token in MarkdownIt("commonmark").parse(file.read_text(encoding="utf-8"))
        if token.type == "fence"
    ]


ALL = fences([ROOT / "SKILL.md", *sorted((ROOT / "references").glob("*.md"))])


def of(info: str) -> list[Any]:
    return [pytest.param(fence, id=str(fence)) for fence in ALL if fence.info == info]


def statements(text: str) -> list[str]:
    # By name: mypy cannot read the stubs that come with it.
    postgast = importlib.import_module("postgast")
    return [statement.strip() for statement in postgast.split(text)]


def test_every_fence_has_a_language_that_is_proven() -> None:
    proven = {"sql", "sql mariadb", "python", "typescript", "json", "yaml", "graphql", "proto", "lua", "text"}
    unknown = [str(fence) for fence in ALL if fence.info not in proven | SHELL_FENCES]
    assert unknown == []
    untagged = [str(fence) for fence in fences(markdown_files()) if not fence.info]
    assert untagged == []


@pytest.mark.parametrize("fence", of("sql"))
def test_sql_runs_on_postgresql(fence: Fence, postgresql_url: str) -> None:
    import psycopg

    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        connection.execute((HERE / "schema_postgresql.sql").read_bytes())
        for statement in statements(fence.text):
            connection.execute(statement.encode())


@pytest.mark.parametrize("fence", of("sql mariadb"))
def test_sql_runs_on_mariadb(fence: Fence, mariadb_url: str) -> None:
    from urllib.parse import urlsplit

    import pymysql

    parts = urlsplit(mariadb_url)
    connection = pymysql.connect(
        host=parts.hostname or "",
        port=parts.port or 3306,
        user=parts.username or "root",
        password=parts.password or "",
        database=parts.path[1:],
        autocommit=True,
    )
    with connection, connection.cursor() as cursor:
        for text in ((HERE / "schema_mariadb.sql").read_text(), fence.text):
            for statement in text.split(";\n"):
                if statement.strip():
                    cursor.execute(statement)


@pytest.mark.parametrize("fence", of("python"))
def test_python_type_checks_and_runs(fence: Fence, tmp_path: Path) -> None:
    ast.parse(fence.text)
    program = tmp_path / "snippet.py"
    program.write_text(fence.text)
    for command in (
        [sys.executable, "-m", "mypy", "--strict", "--config-file", "", str(program)],
        [sys.executable, str(program)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_typescript_compiles_strictly(project: Path, tmp_path: Path) -> None:
    folder = project / f"snippets-{tmp_path.name}"
    folder.mkdir(exist_ok=True)
    try:
        for number, fence in enumerate(fence for fence in ALL if fence.info == "typescript"):
            (folder / f"snippet{number}.ts").write_text(f"// {fence}\n{fence.text}\nexport {{}};\n")
        settings = json.loads((project / "tsconfig.json").read_text())
        settings["compilerOptions"] |= {"noEmit": True, "rootDir": "."}
        settings["include"] = ["*.ts"]
        (folder / "tsconfig.json").write_text(json.dumps(settings))
        run(["npx", "--no-install", "tsc", "-p", str(folder)], project)
    finally:
        for file in folder.iterdir():
            file.unlink()
        folder.rmdir()


@pytest.mark.parametrize("fence", of("json"))
def test_json_is_valid(fence: Fence) -> None:
    json.loads(fence.text)


@pytest.mark.parametrize("fence", of("yaml"))
def test_yaml_is_valid_and_so_is_the_promql_in_it(fence: Fence) -> None:
    import promql_parser

    document = yaml.safe_load(fence.text)
    assert document
    recorded, used = set(), set[str]()
    for group in document.get("groups", []) if isinstance(document, dict) else []:
        for rule in group["rules"]:
            promql_parser.parse(rule["expr"])
            recorded.add(rule.get("record"))
            used |= {word for word in rule["expr"].replace("(", " ").split() if word.startswith("slo:")}
    assert used <= recorded  # an alert on a series that nobody records never fires


@pytest.mark.parametrize("fence", of("graphql"))
def test_graphql_builds(fence: Fence) -> None:
    from graphql import build_schema

    build_schema(fence.text)


@pytest.mark.parametrize("fence", of("proto"))
def test_proto_compiles(fence: Fence, tmp_path: Path) -> None:
    import grpc_tools

    (tmp_path / "snippet.proto").write_text(fence.text)
    include = Path(str(grpc_tools.__file__)).parent / "_proto"
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"-I{tmp_path}",
        f"-I{include}",
        f"--python_out={tmp_path}",
        "snippet.proto",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("fence", of("lua"))
def test_lua_compiles_in_redis(fence: Fence) -> None:
    import redis

    client = redis.Redis.from_url(services.require("redis"))
    assert client.script_load(fence.text)


def check_passes(check: Callable[..., None], *arguments: object) -> bool:
    try:
        check(*arguments)
    except Exception:  # noqa: BLE001 - whatever it is, the snippet was refused
        return False
    return True


def test_broken_snippets_are_caught(postgresql_url: str, tmp_path: Path) -> None:
    def broken(text: str) -> Fence:
        return Fence(Path("x.md"), 1, "", text)

    assert not check_passes(test_sql_runs_on_postgresql, broken("SELECT nothing FROM orders"), postgresql_url)
    assert not check_passes(test_python_type_checks_and_runs, broken("x: int = 'a'\n"), tmp_path)
    assert not check_passes(test_python_type_checks_and_runs, broken("raise SystemExit(1)\n"), tmp_path)
    assert not check_passes(test_json_is_valid, broken("{,}"))
    assert not check_passes(test_graphql_builds, broken("type A { b: Missing }"))
    assert not check_passes(test_proto_compiles, broken('syntax = "proto3"; message A { B b = 1; }'), tmp_path)
    alert = "groups: [{rules: [{alert: A, expr: 'slo:errors:ratio_rate1h > 1'}]}]"
    assert not check_passes(test_yaml_is_valid_and_so_is_the_promql_in_it, broken(alert))
