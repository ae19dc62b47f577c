"""What is rendered: the same each time, safe with hostile input, and what `routes` says."""

from __future__ import annotations

import ast
import json
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from senior_backend.console.errors import InputError
from senior_backend.scaffold.model import Action, Field, Resource, Service
from senior_backend.scaffold.stacks import fastapi as stack
from senior_backend.scaffold.stacks.fastapi import literals
from tests.documents import ROOT
from tests.scaffold_fastapi import models
from tests.scaffold_fastapi.conftest import Project, write

PATTERNS = ROOT / "templates" / "patterns" / "python"
EVERYWHERE = {
    "etag",
    "graceful_shutdown",
    "idempotency",
    "jwt_verify",
    "keyset_cursor",
    "passwords",
    "problem_details",
    "rate_limiter",
}
PROVEN = {"graceful_shutdown", "jwt_verify", "passwords", "problem_details"}
HOSTILE = [
    '"); import os; os.system("touch /tmp/owned")  #',
    "'''\"\"\"\\",
    "{{ 7 * 7 }}{% raw %}",
    "a\nimport os\n",
    "${HOME} $(id) `id`",
    "\u202e\u2028\u0430\U0001f600",
    "'); DROP TABLE things; --",
    "%s %(x)s :name",
    "# noqa\r\n: - |",
]


def hostile_service() -> Service:
    """Return a service whose every free text is an attack."""
    values = tuple(HOSTILE)
    fields = (
        Field(name="kind", type="enum", values=values, default=HOSTILE[0]),
        Field(name="text", type="str", length=200, default=HOSTILE[1]),
        Field(name="note", type="text", default=HOSTILE[3]),
        Field(name="code", type="str", pattern="^[\"'\\\\{}%a-z]+$", default='"'),
        Field(name="data", type="json", default={text: [text] for text in HOSTILE}),
        Field(name="class", type="str", length=10, optional=True),
        Field(name="json", type="str", length=10, optional=True),
        Field(name="model_config", type="int", optional=True, index=True),
        Field(name="limit", type="int", default=1),
        Field(name="sort", type="str", default="x", index=True),
        Field(name="select", type="bool", default=False),
        Field(name="date", type="date", default="2026-01-01"),
        Field(name="str", type="str", default="x"),
        Field(name="price", type="money", currencies=("EUR",), default={"amount": 1, "currency": "EUR"}),
        Field(name="order", type="decimal", default="0.10"),
    )
    roles = (("create", (HOSTILE[0], "maker")), ("list", (HOSTILE[1],)))
    thing = Resource(
        name="group",
        plural="groups",
        fields=fields,
        roles=roles,  # type: ignore[arg-type]
        actions=(Action(name="import", assign=(("text", HOSTILE[2]),)),),
    )
    return Service(name=HOSTILE[0], resources=(thing,))


def test_equal_models_give_equal_bytes() -> None:
    first, second = stack.render(models.SHOP), stack.render(models.SHOP)
    differing = [one.path for one, other in zip(first, second, strict=True) if one != other]
    assert differing == [".env"]
    assert [file.path for file in first if file.secret] == [".env"]
    assert len({file.path for file in first}) == len(first)


def test_files_are_relative_and_end_with_one_newline() -> None:
    for service in (models.ONE, models.SHOP, models.PLAIN):
        for file in stack.render(service):
            assert not file.path.startswith(("/", "..")), file.path
            assert not file.content or file.content.endswith("\n"), file.path
            assert "{%" not in file.content, file.path
            assert "/work" not in file.content, file.path
            if file.path.endswith(".py"):
                ast.parse(file.content, file.path)
            if file.path.endswith((".yaml", ".yml")):
                assert list(yaml.safe_load_all(file.content)), file.path


def test_a_new_resource_leaves_the_others_alone() -> None:
    more = Resource(name="tag", plural="tags", fields=(Field(name="name", type="str"),))
    before = {file.path: file.content for file in stack.render(models.SHOP)}
    wider = replace(models.SHOP, resources=(*models.SHOP.resources, more))
    after = {file.path: file.content for file in stack.render(wider)}
    changed = {path for path, content in after.items() if before.get(path, content) != content} - {".env"}
    assert changed == {"app/resources/__init__.py", "tests/samples.py", "load-scenario.yaml"}
    assert set(after.keys() - before.keys()) == {
        f"app/resources/tags/{name}.py" for name in ("__init__", "routes", "schemas", "table")
    }


def test_the_patterns_are_carried_as_they_are_and_used() -> None:
    """No second version: a pattern that applies is the collection's own module, and the service calls it."""
    for service in (models.ONE, models.SHOP, models.PLAIN):
        files = {file.path: file.content for file in stack.render(service)}
        carried = {path for path in files if "/patterns/" in path} - {"app/patterns/__init__.py"}
        for path in carried:
            assert files[path] == (PATTERNS / Path(path).name).read_text(), path
        own = "".join(text for path, text in files.items() if path.startswith("app/") and path not in carried)
        used = {Path(path).stem for path in carried if path.startswith("app/")}
        accounts = service.identity is not None
        assert used == {*EVERYWHERE, *({"refresh_tokens"} if accounts else ())}
        for name in used:
            assert f"from app.patterns.{name} import" in own or f"app.patterns import {name}" in own, name
        for done_by_a_pattern in ("argon2", "b64", "hmac", "sha256", "jwt.decode", "redis.call", "token_urlsafe(32)"):
            assert done_by_a_pattern not in own, done_by_a_pattern
        proofs = {path for path in carried if path.startswith("tests/")}
        assert proofs == {f"tests/patterns/test_{name}.py" for name in PROVEN}


@pytest.mark.slow
def test_hostile_text_stays_text(tmp_path: Path, python: str) -> None:
    service = hostile_service()
    project = Project(write(tmp_path / "project", service), service, python)
    steps = stack.verify(project.folder, service, "fast", lambda _: None)
    assert all(step.ok for step in steps), steps
    code = (
        "import json, secrets\n"
        "from app import service\n"
        "from app.config import Settings\n"
        "from app.main import create_app\n"
        "from app.resources.groups.schemas import GroupCreate\n"
        "create_app(Settings(_env_file=None, jwt_secret=secrets.token_urlsafe(48)))\n"
        "print(json.dumps([service.NAME, GroupCreate(**{}).model_dump(mode='json', by_alias=True)]))"
    )
    name, made = json.loads(project.run("-c", code).stdout.splitlines()[-1])
    assert name == HOSTILE[0]
    assert (made["kind"], made["text"], made["note"]) == (HOSTILE[0], HOSTILE[1], HOSTILE[3])
    assert made["data"] == {text: [text] for text in HOSTILE}
    assert {"class", "json", "modelConfig", "limit", "sort", "select"} <= made.keys()
    database = {"DATABASE_URL": f"sqlite:///{tmp_path}/test.db"}
    project.run("-m", "alembic", "upgrade", "head", variables=database)
    project.run("-m", "alembic", "check", variables=database)
    assert not Path("/tmp/owned").exists()


@pytest.mark.parametrize("bad", ["x; import os", "X", "a-b", "../a", "", "a" * 64, "\u00e4", "a b", "_a"])
def test_names_that_cannot_stand_in_source_are_refused(bad: str) -> None:
    field = Field(name="ok", type="str")
    for resource in (
        Resource(name=bad, plural="things", fields=(field,)),
        Resource(name="thing", plural=bad, fields=(field,)),
        Resource(name="thing", plural="things", fields=(Field(name=bad, type="str"),)),
        Resource(name="thing", plural="things", fields=(field,), actions=(Action(name=bad, assign=()),)),
    ):
        with pytest.raises(InputError):
            stack.render(Service(name="x", resources=(resource,)))


@pytest.mark.parametrize("bad", ["a\x00", "\x1b[31m", "\ud800"])
def test_text_that_no_database_holds_is_refused(bad: str) -> None:
    for field in (
        Field(name="kind", type="enum", values=("a", bad)),
        Field(name="note", type="text", default=bad),
        Field(name="data", type="json", default={"a": [{bad: 1}]}),
    ):
        with pytest.raises(InputError):
            stack.render(Service(name="x", resources=(Resource(name="thing", plural="things", fields=(field,)),)))


@pytest.mark.parametrize(
    "value",
    [*HOSTILE, None, True, 0, -1.5, [], {}, {"a": (1,)}, ["x", None], "\ud800", ("one",), Decimal("1.50"), 'it\'s "x"'],
)
def test_literals_are_read_back_as_they_were(value: Any) -> None:
    text = literals.python(value)
    assert text.isascii()
    assert eval(text, {"Decimal": Decimal}) == value


@pytest.mark.slow
@pytest.mark.parametrize("which", ["shop", "plain"])
def test_routes_are_those_of_the_document(which: str, request: pytest.FixtureRequest) -> None:
    project: Project = request.getfixturevalue(which)
    code = (
        "import json, secrets\n"
        "from app.config import Settings\n"
        "from app.main import create_app\n"
        "app = create_app(Settings(_env_file=None, jwt_secret=secrets.token_urlsafe(48)))\n"
        "print(json.dumps(app.openapi()['paths']))"
    )
    paths = json.loads(project.run("-c", code).stdout.splitlines()[-1])
    documented = {
        (method.upper(), path, operation["operationId"], bool(operation.get("security")))
        for path, operations in paths.items()
        for method, operation in operations.items()
    }
    told = {
        (route.method, route.path, route.operation_id, route.auth)
        for route in stack.routes(project.service)
        if route.path.startswith("/api/")
    }
    assert told == documented


def test_environment_names_what_is_required() -> None:
    required = {row["name"] for row in stack.environment(models.ONE) if row["required"]}
    assert required == {"JWT_SECRET"}
    assert {row["name"] for row in stack.environment(models.PLAIN)} >= {"JWT_JWKS_URL", "DATABASE_URL", "REDIS_URL"}
    assert all(command and why for command, why in stack.next_commands(models.ONE))
