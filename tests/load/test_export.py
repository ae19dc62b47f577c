from __future__ import annotations

import ast
import json
import os
import shutil
import socket
import subprocess
import warnings
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from senior_backend.console import environment
from senior_backend.load import checks, export_k6, exports, js_regex, slo
from senior_backend.load.model import Plan, Response, Stage, Target
from senior_backend.load.scenario import Check, Request, RequiredFields, Scenario
from senior_backend.load.templates import literal
from tests import services
from tests.load.demo import Demo, Outcome, call, running

if TYPE_CHECKING:
    from collections.abc import Iterator

STUB = Path(__file__).with_name("k6_stub.mjs")
SCENARIO = """\
base_url: http://127.0.0.1:8000
variables: {tenant: "acme \\"x\\" ${EXPORT_TEST_SUFFIX:-inc}"}
feeds: {people: people.csv}
login:
  request:
    path: /api/v1/auth/login
    json: {email: "{{ people.email }}", password: "${LOAD_PASSWORD:-right}"}
  extract: {token: $.data.accessToken}
headers: {Authorization: "Bearer {{ token }}", X-Tenant: "{{ tenant }}"}
requests:
  - name: list users
    weight: 3
    path: /api/v1/users?limit=20
    query: {q: "a b&c"}
    check: {status: 200, has: ["$.data[0].id"], header: {Content-Type: json}}
    extract: {id: "$.data[*].id"}
  - name: get user
    weight: 3
    path: /api/v1/users/{{ id }}
    check: {status: 200, contains: user, not_contains: secret, matches: "user \\\\d+", json: {$.data.name: user 1}}
  - name: create user
    path: /api/v1/users
    json:
      {id: "{{ id }}", again: "<{{ id }}>", mail: "{{ uuid() }}@x.org", age: "{{ people.age | int }}", ok: true, no: ~}
    check: {status: 201}
  - {name: form, path: /form, form: {a: "{{ people.email }}", b: "x y"}, check: {status: 2xx}}
stages: [{duration: 3s, rate: 40}, {duration: 2s, rate: 20, to: 60}]
warmup: 1s
arrivals: constant
slo: p99<900ms,errors<100%,p50[list users]<1s
"""


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    yield from running()


@pytest.fixture
def own_demo() -> Iterator[Demo]:
    yield from running()


def export(kind: str, folder: Path, *more: str, **variables: str) -> tuple[Outcome, Path]:
    folder.mkdir(exist_ok=True)
    (folder / "people.csv").write_text('email,age\n"a,""q""@example.com",30\nb@example.com,31\n')
    (folder / "s.yaml").write_text(SCENARIO)
    outcome = call("--scenario", "s.yaml", "--export", kind, "--json", *more, cwd=folder, environment=variables)
    return outcome, folder / ("load-test.k6.js" if kind == "k6" else "locustfile.py")


def run_k6(script: Path, answers: dict[str, Any], count: int = 60) -> dict[str, Any]:
    """Run an exported script with the stub in place of k6's modules."""
    node = services.program("node", "it runs the exported script")
    subprocess.run([node, "--check", "--input-type=module"], input=script.read_text(), text=True, check=True)
    text = script.read_text()
    for line, global_ in (
        ("import http from 'k6/http';", "const http = k6.http;"),
        ("import exec from 'k6/execution';", "const exec = k6.exec;"),
        ("import { SharedArray } from 'k6/data';", "const SharedArray = k6.SharedArray;"),
        ("import { Rate } from 'k6/metrics';", "const Rate = k6.Rate;"),
    ):
        assert line in text
        text = text.replace(line, global_)
    copy = script.with_suffix(".mjs")
    copy.write_text(text)
    (script.parent / "answers.json").write_text(json.dumps(answers))
    subprocess.run(
        [node, str(STUB), str(copy), "answers.json", "out.json", str(count)], cwd=script.parent, check=True, timeout=60
    )
    found: dict[str, Any] = json.loads((script.parent / "out.json").read_text())
    return found


ANSWERS: dict[str, Any] = {
    "POST /api/v1/auth/login": {"status": 200, "body": {"data": {"accessToken": "t0k"}}},
    "GET /api/v1/users?": {
        "status": 200,
        "body": {"data": [{"id": 1}, {"id": "b/2"}]},
        "headers": {"Content-Type": "application/json"},
    },
    "GET /api/v1/users/": {"status": 200, "body": {"data": {"name": "user 1"}}},
    "POST /api/v1/users": {"status": 201, "body": {}},
    "POST /form": {"status": 204, "body": {}},
}


def test_the_k6_script_sends_the_same_requests(tmp_path: Path) -> None:
    outcome, script = export("k6", tmp_path)
    assert outcome.code == 0, outcome.err
    ran = run_k6(script, ANSWERS)
    login, *rest = ran["sent"]
    assert login["path"] == "/api/v1/auth/login"
    assert json.loads(login["body"]) == {"email": 'a,"q"@example.com', "password": "right"}
    assert "Authorization" not in login["headers"]
    assert login["headers"]["Content-Type"] == "application/json"
    by_name: dict[str, list[dict[str, Any]]] = {}
    for request in rest:
        assert request["headers"]["Authorization"] == "Bearer t0k"
        assert request["headers"]["X-Tenant"] == 'acme "x" inc'
        assert request["redirects"] == 0
        by_name.setdefault(request["tags"]["name"], []).append(request)
    # One list before the load, so that every virtual user has identifiers from its first iteration on.
    assert rest[0]["tags"]["name"] == "list users"
    assert len(rest) == 1 + 60
    assert set(by_name) == {"list users", "get user", "create user", "form"}
    assert by_name["list users"][0]["path"] == "/api/v1/users?limit=20&q=a%20b%26c"
    assert {request["path"] for request in by_name["get user"]} == {"/api/v1/users/1", "/api/v1/users/b%2F2"}
    body = json.loads(by_name["create user"][0]["body"])
    assert body["id"] in (1, "b/2")
    assert body["again"] == f"<{body['id']}>"
    assert body["age"] in (30, 31)
    assert (body["ok"], body["no"]) == (True, None)
    assert by_name["form"][0]["body"].startswith("a=")
    assert all(not failed for _, failed, _ in ran["samples"])
    assert {name for _, _, name in ran["samples"]} == set(by_name)


@pytest.mark.parametrize(
    ("start", "answer"),
    [
        ("GET /api/v1/users/", {"status": 200, "body": {"data": {"name": "user 2"}}}),
        ("GET /api/v1/users/", {"status": 200, "body": {"data": {"name": "user 1", "secret": 1}}}),
        ("GET /api/v1/users/", {"status": 404, "body": {"data": {"name": "user 1"}}}),
        ("POST /api/v1/users", {"status": 200, "body": {}}),
    ],
)
def test_the_k6_script_catches_what_the_checks_catch(tmp_path: Path, start: str, answer: dict[str, Any]) -> None:
    _, script = export("k6", tmp_path)
    ran = run_k6(script, {**ANSWERS, start: answer})
    failing = {name for _, failed, name in ran["samples"] if failed}
    assert failing == {"create user" if start.startswith("POST") else "get user"}


def test_the_k6_script_stops_when_login_fails(tmp_path: Path) -> None:
    _, script = export("k6", tmp_path)
    ran = run_k6(script, {"POST /api/v1/auth/login": {"status": 401, "body": {}}})
    assert "login" in ran["aborted"]
    assert len(ran["sent"]) == 1


def test_the_k6_plan_is_open_and_its_thresholds_are_the_objectives(tmp_path: Path) -> None:
    _, script = export("k6", tmp_path)
    options = run_k6(script, ANSWERS, 1)["options"]
    warmup, load = options["scenarios"]["warmup"], options["scenarios"]["load"]
    assert warmup["stages"] == [{"target": 40, "duration": "1s"}]
    assert load["executor"] == "ramping-arrival-rate"
    assert (load["startTime"], load["startRate"], load["timeUnit"]) == ("1s", 40, "1s")
    assert load["stages"] == [
        {"target": 40, "duration": "3s"},
        {"target": 20, "duration": "0s"},
        {"target": 60, "duration": "2s"},
    ]
    assert options["thresholds"] == {
        "dropped_iterations{scenario:load}": ["count<1"],
        "http_req_duration{scenario:load}": ["p(99)<900"],
        "failed{scenario:load}": ["rate<1"],
        "http_req_duration{scenario:load,name:list users}": ["p(50)<1000"],
    }


def test_fractional_rates_become_whole_ones_in_a_longer_unit() -> None:
    assert exports.whole_rates([Stage(5, 0.5, 2)]) == (10, [(5, 20, 5)])
    assert exports.whole_rates([Stage(5, 3, 3)]) == (1, [(3, 3, 5)])


def test_thresholds_of_every_kind() -> None:
    terms = slo.parse("mean<5ms,max<=1s,rps>100,p99.9<2s,errors<0.1%")
    assert [export_k6.threshold(term) for term in terms] == [
        ("http_req_duration{scenario:load}", "avg<5"),
        ("http_req_duration{scenario:load}", "max<=1000"),
        ("http_reqs{scenario:load}", "rate>100"),
        ("http_req_duration{scenario:load}", "p(99.9)<2000"),
        ("failed{scenario:load}", "rate<0.001"),
    ]


def test_no_secret_of_the_command_line_is_written(tmp_path: Path) -> None:
    for kind in ("k6", "locust"):
        outcome, file = export(
            kind, tmp_path / kind, "--header", "X-Api-Key: k3y", "--header", "Authorization: Bearer t0p"
        )
        text = file.read_text()
        assert "k3y" not in text + outcome.out
        assert "t0p" not in text + outcome.out
        assert set(outcome.document["data"]["environment"]) == {"X_API_KEY", "AUTHORIZATION"}
        assert "X_API_KEY" in text


def test_hostile_texts_stay_texts(tmp_path: Path) -> None:
    evil = '`${process.exit()}` \'"\\ </script> \u2028 {{ x }} """ #'
    plan = Plan(Target("http", "127.0.0.1", 1), (Stage(1, 1, 1),))
    request = Request(evil, "POST", literal("/x"), headers=(("X", literal(evil)),))
    made = exports.Export(Scenario((request,)), "http://127.0.0.1:1", plan, (), tmp_path)
    from senior_backend.load import export_locust, rendering

    text, _ = export_k6.write(made, "x.js", rendering.render)
    script = tmp_path / "load-test.k6.js"
    script.write_text(text)
    assert run_k6(script, {}, 1)["sent"][0]["headers"]["X"] == evil
    python, _ = export_locust.write(made, "x.py", rendering.render)
    tree = ast.parse(python)
    assert evil in {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}


def made_by(kind: str, scenario: Scenario, folder: Path) -> str:
    from senior_backend.load import export_locust, rendering

    plan = Plan(Target("http", "127.0.0.1", 1), (Stage(1, 1, 1),))
    writer = export_k6 if kind == "k6" else export_locust
    made = exports.Export(scenario, "http://127.0.0.1:1", plan, (), folder)
    text: str = writer.write(made, "x", rendering.render)[0]
    return text


DOCUMENTED = Check(
    statuses=frozenset({200}),
    documented=(
        ("200", RequiredFields(("application/json",), required=("id", "name"), shape="object")),
        ("2XX", RequiredFields(("application/json",), item_required=("id",), shape="array")),
        ("default", RequiredFields()),
    ),
)
JSON = {"Content-Type": "application/json; charset=utf-8"}


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ({"status": 200, "body": {"id": 1, "name": "x"}, "headers": JSON}, True),
        ({"status": 200, "body": {"id": 1}, "headers": JSON}, False),
        ({"status": 200, "body": [1], "headers": JSON}, False),
        ({"status": 200, "body": {"id": 1, "name": "x"}, "headers": {"Content-Type": "text/plain"}}, False),
        ({"status": 200, "body": None, "headers": JSON}, False),
        ({"status": 206, "body": [{"id": 1}, {"id": 2}], "headers": JSON}, True),
        ({"status": 206, "body": [{"id": 1}, {"no": 2}], "headers": JSON}, False),
        ({"status": 206, "body": {"id": 1}, "headers": JSON}, False),
    ],
)
def test_both_exports_hold_responses_to_the_openapi_document(
    tmp_path: Path, answer: dict[str, Any], right: bool
) -> None:
    """The same verdict as here, by the functions that the exported files carry."""
    check = replace(DOCUMENTED, statuses=frozenset({200, 206}))
    scenario = Scenario((Request("one", "GET", literal("/one"), check=check),))
    head = b"HTTP/1.1 200 OK\r\nContent-Type: " + answer["headers"]["Content-Type"].encode()
    response = Response(answer["status"], head, json.dumps(answer["body"]).encode())
    assert (checks.compile_check(check)(checks.Document(response)) is None) is right

    script = tmp_path / "load-test.k6.js"
    script.write_text(made_by("k6", scenario, tmp_path))
    assert [failed for _, failed, _ in run_k6(script, {"GET /one": answer}, 1)["samples"]] == [not right]

    tree = ast.parse(made_by("locust", scenario, tmp_path))
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == "documented")
    scope: dict[str, Any] = {}
    exec(compile(ast.Module([function], []), "locustfile", "exec"), scope)
    seen = SimpleNamespace(
        status_code=answer["status"],
        headers=answer["headers"],
        content=response.body,
        json=lambda: answer["body"],
    )
    assert scope["documented"](seen, exports.documented_rules(check)) is right


@pytest.mark.parametrize(
    ("pattern", "translated"),
    [
        (r"user \d+", (r"user \d+", "")),
        (r"(?is)a.b", ("a.b", "is")),
        (r"(?P<x>a+)-(?P=x)\Z", (r"(?<x>a+)-\k<x>$", "")),
        (r"\A[]a\Z]\(?P", (r"^[\]a\Z]\(?P", "")),
        (r"[(?P<]", (r"[(?P<]", "")),
        (r"(?>a)", None),
        (r"a++", None),
        (r"(?i:a)b", None),
        (r"(a)?(?(1)b|c)", None),
    ],
)
def test_regular_expressions_are_carried_or_told(pattern: str, translated: tuple[str, str] | None) -> None:
    assert js_regex.translate(pattern) == translated


def test_what_an_export_cannot_say_is_said(tmp_path: Path) -> None:
    def told(kind: str, *more: str) -> set[str]:
        folder = tmp_path / f"{kind}-{len(more)}"
        return {finding["code"] for finding in export(kind, folder, *more)[0].document["findings"]}

    assert told("k6") == {"counts-from-send", "few-samples"}
    assert told("k6", "--arrivals", "poisson", "--duration", "90s") == {"counts-from-send", "arrivals-even"}
    assert told("locust") == {"closed-loop", "few-samples"}
    (tmp_path / "regex.json").write_text(
        json.dumps({"requests": [{"path": "/x", "check": {"matches": "(?>a)"}}], "slo": "errors<1%"})
    )
    outcome = call("--scenario", "regex.json", "--export", "k6", "--json", cwd=tmp_path)
    assert "regex-not-carried" in {finding["code"] for finding in outcome.document["findings"]}


def test_values_that_only_one_request_may_have_are_shared_out_by_number(tmp_path: Path) -> None:
    taking = {
        "setup": [{"request": {"path": "/ids"}, "extract": {"id": "$[*]"}}],
        "requests": [{"path": "/take/{{ take('id') }}?n={{ sequence() }}"}],
    }
    (tmp_path / "s.json").write_text(json.dumps(taking))
    outcome = call("--scenario", "s.json", "--export", "k6", "--json", cwd=tmp_path)
    assert "take-by-iteration" in {finding["code"] for finding in outcome.document["findings"]}
    ran = run_k6(tmp_path / "load-test.k6.js", {"GET /ids": {"status": 200, "body": [5, 6, 7]}}, 4)
    # Sequence numbers go on after the warm-up: 2 s at 10/s, and one to spare.
    assert [request["path"] for request in ran["sent"][1:]] == [f"/take/7?n={number}" for number in (21, 22, 23, 24)]


@pytest.mark.slow
def test_k6_itself_runs_the_export(tmp_path: Path, own_demo: Demo) -> None:
    """With k6 on PATH its counts and exit codes are looked at; without it, the stub in Node stands for it."""
    options = ("--stages", "2s@40", "--warmup", "0", "--slo")
    _, script = export("k6", tmp_path / "holds", *options, "p50<900ms,errors<100%")
    k6 = shutil.which("k6")
    if k6 is None:
        warnings.warn("k6 is not on PATH: the export ran in the stub, without k6's thresholds", stacklevel=1)
        assert {name for _, failed, name in run_k6(script, ANSWERS, 80)["samples"] if not failed} == {
            "list users", "get user", "create user", "form"
        }  # fmt: skip
        return

    def run(file: Path, **variables: str) -> int:
        environment = {**os.environ, "BASE_URL": own_demo.url, "K6_NO_USAGE_REPORT": "true", **variables}
        return subprocess.run(
            [k6, "run", "--quiet", file.name], cwd=file.parent, env=environment, check=False, timeout=60
        ).returncode

    assert run(script) == 0
    sent = own_demo.seen()
    load = [entry for entry in sent if "/auth/" not in entry["path"]]
    assert 78 <= len(load) <= 82
    assert len({entry["headers"]["authorization"] for entry in load}) == 1
    numbers = {entry["path"] for entry in load if entry["path"].startswith("/api/v1/users/")}
    assert len(numbers) > 3
    _, broken = export("k6", tmp_path / "broken", *options, "p50<1ms")
    assert run(broken) == 99
    assert run(broken, LOAD_PASSWORD="wrong") == 108


def test_another_file_is_not_overwritten(tmp_path: Path) -> None:
    first, script = export("k6", tmp_path)
    assert first.code == 0
    assert export("k6", tmp_path)[0].code == 0
    script.write_text("mine")
    again, _ = export("k6", tmp_path)
    assert again.code == 3
    assert script.read_text() == "mine"
    assert export("k6", tmp_path, "--export-file", str(tmp_path / "other.js"))[0].code == 0


@pytest.fixture(scope="module")
def locust() -> Path:
    """Locust, from the locked environment of the tools that are measured against."""
    python = environment.build(environment.REQUIREMENTS / "peers.txt", "peers", say=False)
    return python.with_name("locust")


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def run_locust(locust: Path, file: Path, base_url: str, **variables: str) -> tuple[int, str]:
    """Run master and two workers, and return the master's exit code and output."""
    port = str(free_port())
    given = {**os.environ, "BASE_URL": base_url, **variables}
    common = [str(locust), "-f", str(file)]
    workers = [
        subprocess.Popen(
            [*common, "--worker", "--master-host", "127.0.0.1", "--master-port", port],
            env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        for _ in range(2)
    ]  # fmt: skip
    try:
        master = subprocess.run(
            [*common, "--headless", "--only-summary", "--master", "--expect-workers", "2",
             "--master-bind-host", "127.0.0.1", "--master-bind-port", port],
            env=given, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        for worker in workers:
            worker.wait(30)
    finally:
        for worker in workers:
            worker.kill()
    return master.returncode, master.stdout + master.stderr


@pytest.mark.slow
def test_locust_runs_the_export_with_a_master_and_two_workers(tmp_path: Path, demo: Demo, locust: Path) -> None:
    outcome, file = export("locust", tmp_path)
    assert outcome.code == 0, outcome.err
    code, output = run_locust(locust, file, demo.url)
    assert code == 0, output
    assert "to 2 ready workers" in output
    assert "p99<900ms holds" in output
    seen = demo.seen()
    created = [entry for entry in seen if entry["method"] == "POST" and entry["path"] == "/api/v1/users"]
    assert created
    body = json.loads(created[0]["body"])
    assert body["again"] == f"<{body['id']}>"
    assert body["age"] in (30, 31)
    assert created[0]["headers"]["x-tenant"] == 'acme "x" inc'
    assert {entry["path"] for entry in seen if entry["method"] == "GET"} > {"/api/v1/users?limit=20&q=a%20b%26c"}
    # The plan: 1 s of warm-up at 40/s, 3 s at 40/s, 2 s from 20 to 60/s.
    load = [entry for entry in seen if "/auth/" not in entry["path"]]
    assert 120 <= len(load) <= 320, output


@pytest.mark.slow
def test_a_broken_objective_fails_the_locust_run(tmp_path: Path, demo: Demo, locust: Path) -> None:
    _, file = export("locust", tmp_path, "--slo", "p50<1ms", "--stages", "2s@10", "--warmup", "0")
    code, output = run_locust(locust, file, demo.url)
    assert code == 1, output
    assert "p50<1ms is broken" in output
    code, _ = run_locust(locust, file, demo.url, LOAD_PASSWORD="wrong")
    assert code != 0
