"""One request before the load: what is not there or not allowed is settled by what is known, or nothing is measured."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from senior_backend.console.errors import InputError, ToolError, UnavailableError, UndecidedError
from senior_backend.load import application, cli, trial

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from senior_backend.load.application import Prepared

TOKEN = "token-of-the-stub"
LOGIN = """\
base_url: ${BASE_URL:-http://127.0.0.1:9}
login:
  request: {method: POST, path: /api/v1/auth/login, json: {password: "${LOAD_PASSWORD:-right}"}}
  extract: {token: $.token}
headers: {Authorization: "Bearer {{ token }}"}
requests: [{path: /api/v1/other}]
slo: p50[GET /api/v1/other]<1ms
stages: [{duration: 9s, rate: 9}]
"""


REDIRECTS = {
    "/moved": "/moved/",
    "/round": "/round/",
    "/round/": "/round",
    "/private": "/login?next=/private",
    "/plain": "https://elsewhere.example/plain",
    "/cookie": "/cookie",
}


class Stub(ThreadingHTTPServer):
    """Routes as `METHOD /path`: open ones, ones that want the token, and an OpenAPI document of all of them."""

    daemon_threads = True

    def __init__(self, routes: tuple[str, ...], locked: tuple[str, ...], document: bool) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.routes, self.locked, self.document = routes, locked, document
        self.seen: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, method: str, path: str, authorization: str | None, body: bytes) -> tuple[int, Any]:
        if path == "/openapi.json" and self.document:
            paths: dict[str, Any] = {}
            for route in self.routes + self.locked:
                paths.setdefault(route.partition(" ")[2], {})[route.partition(" ")[0].lower()] = {"responses": {}}
            return 200, {"openapi": "3.1.0", "paths": paths}
        if path == "/api/v1/auth/login":
            return (200, {"token": TOKEN}) if b"right" in body else (401, {})
        route = f"{method} {path}"
        if route in self.locked:
            return (200, {}) if authorization == f"Bearer {TOKEN}" else (401, {})
        if path in REDIRECTS:
            return 307, {"to": REDIRECTS[path]}
        if route in self.routes:
            return 200, {}
        return (405 if any(known.endswith(f" {path}") for known in self.routes) else 404), {}


class Handler(BaseHTTPRequestHandler):
    server: Stub

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path = self.path.partition("?")[0]
        self.server.seen.append(f"{self.command} {path}")
        status, value = self.server.answer(self.command, path, self.headers.get("Authorization"), body)
        self.send_response(status)
        if status == 405:
            self.send_header("Allow", "PATCH, DELETE")
        if status == 307:
            self.send_header("Location", value["to"])
        content = json.dumps(value).encode()
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def stub(*routes: str, locked: tuple[str, ...] = (), document: bool = True) -> Iterator[Stub]:
    with Stub(routes, locked, document) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(autouse=True)
def _in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settle(server: Stub, *arguments: str, **variables: str) -> Prepared:
    environment = {"BASE_URL": server.url, **variables}
    options = cli.build_parser().parse_args([*arguments])
    return trial.settled(application.prepare(options, environment))


def refusal(kind: type[ToolError], of: Callable[[], object]) -> ToolError:
    with pytest.raises(kind) as caught:
        of()
    return caught.value


def names(call: Prepared) -> list[str]:
    return [request.name for request in call.source.scenario.requests]


def codes(call: Prepared) -> list[str]:
    return [note.code for note in call.notes]


def test_an_endpoint_that_is_there_costs_one_request_and_no_word() -> None:
    with stub("GET /api/users") as server:
        call = settle(server, "--endpoint", "/api/users")
        assert server.seen == ["GET /api/users"]
    assert names(call) == ["GET /api/users"]
    assert codes(call) == []


def test_the_one_documented_path_is_measured_and_said() -> None:
    with stub("GET /api/v1/users", "GET /api/v1/orders") as server:
        call = settle(server, "--endpoint", "3*/api/users?limit=5", "--slo", "p99[GET /api/users]<1s")
    request = call.source.scenario.requests[0]
    assert (request.name, request.path.source(), request.weight) == ("GET /api/v1/users", "/api/v1/users?limit=5", 3)
    assert call.source.label == "GET /api/v1/users"
    assert call.objectives[0].request == "GET /api/v1/users"
    note = call.notes[0]
    assert note.code == "endpoint-resolved"
    assert "measured GET /api/v1/users: GET /api/users answered 404" in note.message
    assert note.fix is not None
    assert "3*/api/v1/users?limit=5" in note.fix


def test_one_of_several_endpoints_is_mended_alone() -> None:
    with stub("GET /health", "GET /api/v1/users", "POST /api/v1/users") as server:
        call = settle(server, "--endpoint", "/health", "--endpoint", "/users", "--endpoint", "POST /users")
        assert "POST /users" not in server.seen
        assert "POST /api/v1/users" not in server.seen
    assert names(call) == ["GET /health", "GET /api/v1/users", "POST /api/v1/users"]
    assert codes(call) == ["endpoint-resolved", "endpoint-resolved"]


def test_a_base_url_with_a_path_stays_before_the_endpoint() -> None:
    with stub("GET /api/v1/users") as server:
        call = settle(server, "--endpoint", "/users", "--base-url", f"{server.url}/api")
        assert call.source.scenario.requests[0].path.source() == "/v1/users"
        assert server.seen[-1] == "GET /api/v1/users"


def test_two_possible_paths_are_a_choice() -> None:
    with stub("GET /api/v1/users", "GET /api/v2/users") as server:
        error = refusal(UndecidedError, lambda: settle(server, "--endpoint", "/api/users"))
    assert error.code == "ambiguous-path"
    assert "--endpoint /api/v1/users or " in str(error.hint)
    assert "--endpoint /api/v2/users" in str(error.hint)


def test_no_such_path_names_the_near_ones_and_the_command() -> None:
    with stub("GET /api/v1/users") as server:
        error = refusal(InputError, lambda: settle(server, "--endpoint", "/api/usrs"))
    assert error.code == "no-such-path"
    assert "did you mean /api/v1/users?" in error.message
    assert "--endpoint /api/v1/users" in str(error.hint)
    assert f"--openapi {server.url}/openapi.json --dry-run" in str(error.hint)


def test_without_a_document_nothing_is_guessed() -> None:
    with stub("GET /api/v1/users", document=False) as server:
        error = refusal(InputError, lambda: settle(server, "--endpoint", "/api/users"))
        assert error.code == "no-such-path"
        assert "--expect-status 404" in str(error.hint)
        assert settle(server, "--endpoint", "/api/users", "--expect-status", "404").notes == ()


def test_another_method_is_said() -> None:
    with stub("POST /login") as server:
        error = refusal(InputError, lambda: settle(server, "--endpoint", "/login"))
        assert (error.code, error.message) == ("no-such-method", "GET /login answered 405: that path takes POST")
        assert settle(server, "--endpoint", "POST /login").notes == ()
    with stub("POST /login", document=False) as server:
        error = refusal(InputError, lambda: settle(server, "--endpoint", "/login"))
        assert "takes PATCH, DELETE" in error.message


def test_a_record_that_is_not_there_is_no_other_path() -> None:
    with stub("GET /api/v1/users/{id}", "GET /v2/users/{id}") as server:
        error = refusal(InputError, lambda: settle(server, "--endpoint", "/api/v1/users/7"))
        assert error.code == "no-such-record"
        # With placeholders, another draw may exist: the load decides.
        assert settle(server, "--endpoint", "/api/v1/users/{{ random_int(1, 9) }}").notes == ()


def test_the_login_of_the_folders_scenario_is_taken(tmp_path: Path) -> None:
    (tmp_path / "load-scenario.yaml").write_text(LOGIN)
    with stub(locked=("GET /api/v1/users",)) as server:
        call = settle(server, "--endpoint", "/api/users", "--rps", "50")
        assert server.seen[-1] == "GET /api/v1/users"
        assert server.seen.count("POST /api/v1/auth/login") == 1
    assert codes(call) == ["endpoint-resolved", "signed-in"]
    assert call.notes[1].message == "signed in by the login step of load-scenario.yaml"
    assert call.values is not None
    assert call.values.pools["token"] == [TOKEN]
    assert names(call) == ["GET /api/v1/users"]
    assert call.settings.plan.stages[-1].start_rate == 50
    assert call.settings.slo_is_default


def test_a_login_is_not_taken_where_it_is_not_needed(tmp_path: Path) -> None:
    (tmp_path / "load-scenario.yaml").write_text(LOGIN)
    with stub("GET /open", locked=("GET /shut",)) as server:
        assert settle(server, "--endpoint", "/open").notes == ()
        error = refusal(
            UnavailableError, lambda: settle(server, "--endpoint", "/shut", "--header", "Authorization: Bearer old")
        )
        assert "POST /api/v1/auth/login" not in server.seen
    assert "to the credentials that --header gives" in error.message


def test_credentials_never_go_to_another_service(tmp_path: Path) -> None:
    (tmp_path / "load-scenario.yaml").write_text(LOGIN)
    with stub(locked=("GET /shut",)) as server, stub() as other:
        error = refusal(
            UnavailableError,
            lambda: settle(server, "--endpoint", "/shut", "--base-url", server.url, BASE_URL=other.url),
        )
        assert "--scenario load-scenario.yaml" in str(error.findings[0].fix)
        assert "POST /api/v1/auth/login" not in server.seen + other.seen
        # Named, it is meant for this service.
        call = settle(server, "--endpoint", "/shut", "--base-url", server.url, "--scenario", "load-scenario.yaml")
    assert codes(call) == ["signed-in"]


def test_without_a_login_the_error_says_what_to_pass() -> None:
    with stub(locked=("GET /api/v1/users",)) as server:
        error = refusal(UnavailableError, lambda: settle(server, "--endpoint", "/api/users"))
    assert [finding.code for finding in error.findings] == ["not-allowed", "endpoint-resolved"]
    assert "--header 'Authorization: Bearer ...'" in str(error.findings[0].fix)
    assert "--scenario FILE" in str(error.findings[0].fix)


def test_a_login_that_fails_or_does_not_suffice_is_told(tmp_path: Path) -> None:
    (tmp_path / "load-scenario.yaml").write_text(LOGIN)
    with stub(locked=("GET /shut",)) as server:
        error = refusal(UnavailableError, lambda: settle(server, "--endpoint", "/shut", LOAD_PASSWORD="wrong"))
        assert error.code == "login-failed"
        (tmp_path / "load-scenario.yaml").write_text(LOGIN.replace("Bearer {{ token }}", "Basic {{ token }}"))
        error = refusal(UnavailableError, lambda: settle(server, "--endpoint", "/shut"))
        assert "answered 401 after the login of load-scenario.yaml" in error.message


def test_a_scenario_file_beside_an_endpoint_lends_its_variables(tmp_path: Path) -> None:
    (tmp_path / "ids.csv").write_text("id\n7\n")
    (tmp_path / "s.yaml").write_text(LOGIN + "feeds: {ids: ids.csv}\nvariables: {page: '3'}\n")
    with stub(locked=("GET /users/7",)) as server:
        path = "/users/{{ ids.id }}?page={{ page }}"
        call = settle(server, "--endpoint", path, "--scenario", "s.yaml")
        assert server.seen == ["POST /api/v1/auth/login", "GET /users/7"]
        assert [name for name, _ in call.source.scenario.headers] == ["Authorization"]
        error = refusal(
            InputError, lambda: settle(server, "--endpoint", "/users/{{ user_id }}", "--scenario", "s.yaml")
        )
        assert error.code == "unknown-variable"
        (tmp_path / "s.yaml").write_text("headers: {X-Id: '{{ id }}'}\nrequests: [{path: /a, extract: {id: $.id}}]\n")
        error = refusal(InputError, lambda: settle(server, "--endpoint", "/users/7", "--scenario", "s.yaml"))
        assert error.code == "no-supplier"


def test_what_does_not_answer_is_left_to_the_load() -> None:
    """A 500, or no HTTP at all, is measured: the taxonomy says what it is."""
    with stub() as server:
        server.answer = lambda *_: (500, {})  # type: ignore[method-assign]
        assert settle(server, "--endpoint", "/x").notes == ()


def test_a_redirect_to_the_same_path_with_a_slash_is_measured_there() -> None:
    with stub("GET /moved/") as server:
        call = settle(server, "--endpoint", "/moved?page=2")
        assert call.source.scenario.requests[0].path.source() == "/moved/?page=2"
        assert [note.code for note in call.notes] == ["endpoint-resolved"]


@pytest.mark.parametrize(
    ("path", "there", "hint"),
    [
        ("/private", "leads to /login:", "--endpoint /login; where it is a login, add --header"),
        ("/plain", "leads to https://elsewhere.example/plain", "--base-url https://elsewhere.example"),
        ("/cookie", "leads to /cookie", "often a cookie"),
        ("/round", "leads to /round:", "--endpoint /round"),
    ],
)
def test_any_other_redirect_is_not_measured(path: str, there: str, hint: str) -> None:
    with stub() as server:
        error = refusal(InputError, lambda: settle(server, "--endpoint", path))
        assert error.code == "redirects"
        assert there in error.message
        assert hint in str(error.hint)
        assert "next=" not in error.message
        assert "--expect-status 307" in str(error.hint)


def test_a_redirect_that_is_meant_is_measured() -> None:
    with stub() as server:
        call = settle(server, "--endpoint", "/private", "--expect-status", "307")
        assert not call.notes
        assert call.settings.plan.redirects_expected == {0}
