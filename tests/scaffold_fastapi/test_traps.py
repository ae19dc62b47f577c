"""The traps that generators fall into: each test fails where one is open. Real requests to a real server."""

from __future__ import annotations

import json
import secrets
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from senior_backend.scaffold.stacks import fastapi as stack
from tests.scaffold_fastapi import models
from tests.scaffold_fastapi.conftest import Project, write

PASSWORD = "correct horse battery"
pytestmark = pytest.mark.slow


class Api:
    """A running service and a caller with an account."""

    def __init__(self, url: str, log: Path, variables: dict[str, str] | None = None) -> None:
        self.url, self.log, self.variables = url, log, variables or {}
        self.token = ""
        self.account = ""

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any, dict[str, str]]:
        """Return the status, the parsed body and the headers of an answer."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} if body is not None else {}
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(self.url + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                content = answer.read()
                return answer.status, json.loads(content) if content else None, _lower(answer.headers)
        except urllib.error.HTTPError as error:
            content = error.read()
            return error.code, json.loads(content) if content else None, _lower(error.headers)

    def order(self, **changes: Any) -> dict[str, Any]:
        """Return a body that makes an order."""
        money = {"amount": 5, "currency": "EUR"}
        return {"reference": secrets.token_hex(6).upper(), "total": "1.50", "price": money, **changes}


def _lower(headers: Message) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def api(request: pytest.FixtureRequest, shop: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """The service on each database."""
    folder = tmp_path_factory.mktemp("traps")
    with _database(request, folder) as url:
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        variables = {
            "PATH": "/usr/bin:/bin",
            "DATABASE_URL": url,
            "JWT_SECRET": secrets.token_urlsafe(48),
            "PORT": str(port),
            "LOGIN_LIMIT_PER_MINUTE": "1000",
        }
        shop.run("-m", "alembic", "upgrade", "head", variables=variables)
        log = folder / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [shop.python, "-m", "app"], cwd=shop.folder, env=variables, stdout=output, stderr=output
            )
        try:
            api = Api(f"http://127.0.0.1:{port}", log, variables)
            _wait(api, process)
            _sign_in(api)
            yield api
        finally:
            process.terminate()
            process.wait(30)


class _database:  # noqa: N801 - used as a function
    def __init__(self, request: pytest.FixtureRequest, folder: Path) -> None:
        self.server = str(request.getfixturevalue("postgresql_server")) if request.param == "postgresql" else ""
        self.folder, self.name = folder, f"test_{secrets.token_hex(6)}"

    def __enter__(self) -> str:
        if not self.server:
            return f"sqlite:///{self.folder}/test.db"
        self._execute(f"CREATE DATABASE {self.name}")
        self._execute(f"ALTER DATABASE {self.name} SET default_transaction_isolation = 'serializable'")
        before, _, after = self.server.partition("?")
        return f"{before.rpartition('/')[0]}/{self.name}" + (f"?{after}" if after else "")

    def __exit__(self, *_: object) -> None:
        if self.server:
            self._execute(f"DROP DATABASE {self.name} WITH (FORCE)")

    def _execute(self, statement: str) -> None:
        import psycopg

        with psycopg.connect(self.server, autocommit=True) as connection:
            connection.execute(statement.encode())


def _wait(api: Api, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline and process.poll() is None:
        try:
            if api.call("GET", "/readyz")[0] == 200:
                return
        except OSError:
            time.sleep(0.05)
    pytest.fail(api.log.read_text()[-3000:])


def _sign_in(api: Api) -> None:
    body = {"email": "ann@example.com", "password": PASSWORD, "name": "Ann"}
    status, made, _ = api.call("POST", "/api/v1/auth/register", body)
    assert status == 201, made
    api.account = made["data"]["id"]
    _, tokens, _ = api.call("POST", "/api/v1/auth/login", {"email": body["email"], "password": PASSWORD})
    api.token = tokens["data"]["accessToken"]


def test_1_null_does_not_reach_a_column_that_needs_a_value(api: Api) -> None:
    _, made, _ = api.call("POST", "/api/v1/orders", api.order())
    path = f"/api/v1/orders/{made['data']['id']}"
    for field in ("reference", "total", "price", "quantity", "due", "state"):
        assert api.call("PATCH", path, {field: None})[0] == 422, field
    assert api.call("PATCH", path, {"note": None})[0] == 200
    assert api.call("PATCH", path, {})[0] == 200


def test_2_nul_is_refused_everywhere(api: Api) -> None:
    for changes in ({"reference": "A\x00"}, {"note": "a\x00"}, {"tags": "a\x00"}, {"tags": {"a\x00": 1}}):
        assert api.call("POST", "/api/v1/orders", api.order(**changes))[0] == 422, changes
    assert api.call("GET", "/api/v1/orders?reference=a%00")[0] == 422
    login = {"email": "a\x00@example.com", "password": PASSWORD}
    assert api.call("POST", "/api/v1/auth/login", login)[0] == 422
    assert api.call("POST", "/api/v1/orders", api.order(), Idempotency_Key="a b")[0] == 422


def test_3_cursors_work_with_the_identifiers_of_each_driver(api: Api) -> None:
    for _ in range(3):
        assert api.call("POST", "/api/v1/orders", api.order())[0] == 201
    for sort in ("-createdAt", "due", "-quantity", "reference"):
        _, page, _ = api.call("GET", f"/api/v1/orders?limit=1&sort={sort}")
        status, following, _ = api.call(
            "GET", f"/api/v1/orders?limit=1&sort={sort}&cursor={page['pagination']['nextCursor']}"
        )
        assert status == 200
        assert following["data"][0]["id"] != page["data"][0]["id"]


def test_4_what_the_schema_calls_an_email_is_one(api: Api) -> None:
    document = api.call("GET", "/openapi.json")[1]
    email = document["components"]["schemas"]["UserRegister"]["properties"]["email"]
    assert "pattern" in email
    assert "format" not in email


def test_5_types_are_strict(api: Api) -> None:
    wrong = {"quantity": "1", "total": 1.5, "due": "2026-01-01T00:00:00Z", "shippedAt": "2026-01-01", "big": True}
    for field, value in {**wrong, "shippedAt ": 0, "ratio": "1", "trace": "0" * 32, "state": "OPEN"}.items():
        assert api.call("POST", "/api/v1/orders", api.order(**{field.strip(): value}))[0] == 422, field
    late = {"shippedAt": "9999-12-31T23:59:59-23:00"}
    assert api.call("POST", "/api/v1/orders", api.order(**late, quantity=2.0))[0] == 201


def test_6_free_json_is_bounded_and_described(api: Api) -> None:
    schema = api.call("GET", "/openapi.json")[1]["components"]["schemas"]["OrderCreate"]["properties"]["tags"]
    assert "patternProperties" not in json.dumps(schema)
    assert "propertyNames" in json.dumps(schema)
    for value in ([[[[1]]]], {"k" * 101: 1}, list(range(101)), 2**60, "x" * 10_001):
        assert api.call("POST", "/api/v1/orders", api.order(tags=value))[0] == 422
    for tags in ([[[1, None]]], {"a": {"b": ["c"]}}, "x", 1.5, True):
        status, made, _ = api.call("POST", "/api/v1/orders", api.order(tags=tags))
        assert (status, made["data"]["tags"]) == (201, tags)


def test_7_allow_names_all_methods_of_the_path(api: Api) -> None:
    for path, allowed in (
        ("/api/v1/orders", "GET, HEAD, POST"),
        (f"/api/v1/orders/{api.account}", "DELETE, GET, HEAD, PATCH, PUT"),
        (f"/api/v1/orders/{api.account}/pay", "POST"),
        ("/api/v1/auth/login", "POST"),
    ):
        status, _, headers = api.call("TRACE", path)
        assert (status, headers["allow"]) == (405, allowed)


def test_8_every_error_is_documented_in_its_real_shape(api: Api) -> None:
    document = api.call("GET", "/openapi.json")[1]
    create = document["paths"]["/api/v1/orders"]["post"]["responses"]
    assert {"201", "400", "401", "403", "409", "413", "415", "422", "429"} <= create.keys()
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert list(response["content"]) == ["application/problem+json"]
    for body, status in ((b"{", 400), (b" " * 2_000_000, 413)):
        found, problem, headers = api.call("POST", "/api/v1/orders", body)
        assert (found, headers["content-type"]) == (status, "application/problem+json")
        assert problem["status"] == status


def test_9_the_fuzzer_is_told_which_answers_are_right(shop: Project) -> None:
    files = {file.path: file.content for file in stack.render(models.SHOP)}
    assert 'peers = ["alice", "bob"]' in files["schemathesis.toml"]
    assert "uuid.uuid4().hex" in files["fuzz_hooks.py"]


def test_10_versions_are_bounded(api: Api) -> None:
    _, made, _ = api.call("POST", "/api/v1/orders", api.order())
    path = f"/api/v1/orders/{made['data']['id']}"
    for tag in ('"99999999999999999999"', '"-1"', '"1e3"', '"\u0661"'):
        assert api.call("PATCH", path, {}, If_Match=tag.encode().decode("latin-1"))[0] == 412, tag


def test_11_the_first_revision_is_ours_and_leaves_nothing_to_do(shop: Project, tmp_path: Path) -> None:
    project = Project(write(tmp_path / "project", models.SHOP), models.SHOP, shop.python)
    database = {"DATABASE_URL": f"sqlite:///{tmp_path}/test.db"}
    project.run("-m", "alembic", "upgrade", "head", variables=database)
    assert "No new upgrade operations" in project.run("-m", "alembic", "check", variables=database).stdout
    # What autogenerate writes for a new column of the service's own types can be imported.
    table = project.folder / "app/resources/orders/table.py"
    more = 'sa.Column("a", TIME), sa.Column("b", Document()), sa.Column("c", Exact(9, 3)), sa.Column("d", ID),'
    key = 'sa.Column("id", ID, primary_key=True),'
    table.write_text(table.read_text().replace(key, f"{key} {more}"))
    project.run("-m", "alembic", "revision", "--autogenerate", "-m", "more", variables=database)
    project.run("-m", "alembic", "upgrade", "head", variables=database)


def test_12_the_host_header_decides_nothing(api: Api) -> None:
    for host in ("evil.example", "evil.example/api/v1/orgs?x=", "127.0.0.1/livez#"):
        status, _, headers = api.call("POST", "/api/v1/orders", api.order(), Host=host)
        assert status in (201, 400)
        assert status == 400 or headers["location"].startswith("/api/v1/orders/")
        quiet = Api(api.url, api.log)
        assert quiet.call("GET", "/api/v1/orders", Host=host)[0] in (400, 401)


def test_13_every_package_is_locked_with_hashes() -> None:
    files = {file.path: file.content for file in stack.render(models.SHOP)}
    for name in ("requirements.txt", "requirements-dev.txt"):
        assert "http://" not in files[name]
        assert "https://" not in files[name]
        entries = [line for line in files[name].splitlines() if line[:1].isalnum()]
        assert all("==" in line for line in entries)
        assert files[name].count("--hash=sha256:") >= len(entries)
    starlette = next(line for line in files["requirements.txt"].splitlines() if line.startswith("starlette=="))
    assert starlette.split("==")[1] > "1.0.1"


def test_links_nested_lists_and_actions(api: Api, shop: Project) -> None:
    """Rights included: an admin made on the command line may, the account itself may not."""
    admin = Api(api.url, api.log)
    email = f"{secrets.token_hex(4)}@example.com"
    variables = {**api.variables, "ADMIN_PASSWORD": PASSWORD}
    shop.run("-m", "app.cli", "create-admin", email, variables=variables)
    _, tokens, _ = admin.call("POST", "/api/v1/auth/login", {"email": email, "password": PASSWORD})
    admin.token = tokens["data"]["accessToken"]

    org = {"name": secrets.token_hex(4)}
    assert api.call("POST", "/api/v1/orgs", org)[0] == 403
    status, made, _ = admin.call("POST", "/api/v1/orgs", org)
    assert status == 201
    link = f"/api/v1/users/{api.account}/orgs/{made['data']['id']}"
    assert api.call("PUT", link)[0] == 403
    assert [admin.call("PUT", link)[0] for _ in range(2)] == [204, 204]
    linked = api.call("GET", f"/api/v1/users/{api.account}/orgs?total=true")[1]
    assert [row["id"] for row in linked["data"]] == [made["data"]["id"]]
    assert linked["pagination"]["total"] == 1
    assert [admin.call("DELETE", link)[0] for _ in range(2)] == [204, 404]
    assert api.call("GET", f"/api/v1/users/{api.account}/orgs")[1]["data"] == []

    _, order, _ = api.call("POST", "/api/v1/orders", api.order())
    pay = f"/api/v1/orders/{order['data']['id']}/pay"
    assert admin.call("POST", pay)[0] == 404
    assert api.call("POST", pay, None, If_Match='"7"')[0] == 412
    assert api.call("POST", pay)[1]["data"]["state"] == "paid"
    mine = api.call("GET", f"/api/v1/users/{api.account}/orders?state=paid")[1]["data"]
    assert order["data"]["id"] in [row["id"] for row in mine]
    assert admin.call("GET", f"/api/v1/users/{api.account}/orders")[1]["data"] == []
    other = admin.call("GET", "/api/v1/users?email=" + email)[1]["data"][0]["id"]
    assert api.call("GET", f"/api/v1/users/{other}/orders")[0] == 404


def test_an_account_is_deactivated_at_once(api: Api, shop: Project) -> None:
    email = f"{secrets.token_hex(4)}@example.com"
    shop.run("-m", "app.cli", "create-admin", email, variables={**api.variables, "ADMIN_PASSWORD": PASSWORD})
    admin = Api(api.url, api.log)
    _, tokens, _ = admin.call("POST", "/api/v1/auth/login", {"email": email, "password": PASSWORD})
    admin.token = tokens["data"]["accessToken"]
    account = admin.call("GET", f"/api/v1/users?email={email}")[1]["data"][0]["id"]
    assert api.call("POST", f"/api/v1/users/{account}/deactivate")[0] == 403
    assert admin.call("POST", f"/api/v1/users/{account}/deactivate")[0] == 200
    assert admin.call("GET", "/api/v1/users")[0] == 401
    assert admin.call("POST", "/api/v1/auth/refresh", {"refreshToken": tokens["data"]["refreshToken"]})[0] == 401
    assert admin.call("POST", "/api/v1/auth/login", {"email": email, "password": PASSWORD})[0] == 401


def test_no_request_crashed(api: Api) -> None:
    assert "request failed" not in api.log.read_text()
