from __future__ import annotations

import csv
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from senior_backend.console import command
from senior_backend.console.environment import REQUIREMENTS
from senior_backend.console.errors import InputError
from senior_backend.load import cli, planning
from senior_backend.load.model import Stage
from tests.load.demo import DOOR, Demo, call, running

if TYPE_CHECKING:
    from collections.abc import Iterator

ENVELOPE = json.loads((Path(command.__file__).parent / "envelope.schema.json").read_text())
QUICK = ("--rps", "100", "--duration", "1.5s", "--warmup", "0.3s")
SCENARIO = """\
base_url: ${BASE_URL:-http://127.0.0.1:9}
login:
  request: {method: POST, path: /api/v1/auth/login, json: {email: a@example.com, password: "${LOAD_PASSWORD:-right}"}}
  extract: {token: $.data.accessToken}
headers: {Authorization: "Bearer {{ token }}"}
requests:
  - {name: list users, weight: 3, path: /api/v1/users?limit=20, check: {status: 200}, extract: {id: "$.data[*].id"}}
  - {name: get user, weight: 3, path: "/api/v1/users/{{ id }}", check: {status: 200, has: [$.data.name]}}
  - {name: create user, path: /api/v1/users, json: {email: "load-{{ uuid() }}@example.com"}, check: {status: 201}}
stages: [{duration: 2s, rate: 100}]
warmup: 0.5s
"""


@pytest.fixture(scope="module")
def demo() -> Iterator[Demo]:
    yield from running()


def envelope(*arguments: str | Path, code: int, **environment: str) -> dict[str, Any]:
    """Call with --json, and hold the document to the envelope's schema and the exit code.

    Where neighbours take the processor away, the tool rightly calls its own measurement not valid; what was sent and
    answered is then still to be checked. `test_the_seed_command_holds` insists on exit 0.
    """
    outcome = call(*arguments, "--json", environment=environment)
    document = outcome.document
    jsonschema.validate(document, ENVELOPE)
    assert document["exit_code"] == outcome.code
    disturbed = outcome.code == 3 and document["data"]["validity"]["limit"] == "generator"
    assert outcome.code == code or (disturbed and code in (0, 1)), outcome.out + outcome.err
    return document


def test_the_seed_command_measures(demo: Demo) -> None:
    document = envelope("--endpoint", "/api/users", *QUICK, code=0, BASE_URL=demo.url)
    data = document["data"]
    assert 80 <= data["requests"]["planned"] <= 230
    assert data["requests"]["failed"] == 0
    assert data["statuses"] == {"200": data["requests"]["planned"]}
    assert 30 <= data["response_time"]["p50_ms"] < 300
    assert data["slo"][0]["objective"] == "errors<1%"
    assert sum(row["sent"] for row in data["timeline"]) == data["requests"]["planned"]


def test_a_url_alone_is_told_its_option() -> None:
    outcome = call("http://127.0.0.1:8000/api/users", "--rps", "5")
    assert outcome.code == 2
    assert "Write --endpoint http://127.0.0.1:8000/api/users" in outcome.err


@pytest.mark.timing
@pytest.mark.light
def test_the_seed_command_holds(demo: Demo) -> None:
    """Unless the machine is overrun all the time, one of five calls measures without a disturbance."""
    codes = []
    for _ in range(5):
        outcome = call("--endpoint", "/api/users", *QUICK, "--json", environment={"BASE_URL": demo.url})
        codes.append(outcome.code)
        if outcome.code == 0:
            assert outcome.document["data"]["validity"]["valid"]
            assert outcome.document["data"]["requests"]["failed"] == 0
            return
    pytest.fail(f"exit codes {codes}")


def test_text_says_what_was_felt_and_whether_to_trust_it(demo: Demo) -> None:
    outcome = call("--endpoint", "/x", "--base-url", demo.url, *QUICK)
    assert outcome.code in (0, 3)
    for words in ("response time", "schedule lag", "measurement ", "errors<1%", "holds"):
        assert words in outcome.out


def test_a_scenario_with_login_variables_and_checks(demo: Demo, tmp_path: Path) -> None:
    path = tmp_path / "load-scenario.yaml"
    path.write_text(SCENARIO)
    data = envelope("--scenario", path, code=0, BASE_URL=demo.url)["data"]
    counts = {row["name"]: row["count"] for row in data["endpoints"]}
    assert set(data["statuses"]) == {"200", "201"}
    assert counts["list users"] + counts["get user"] > 4 * counts["create user"] > 0
    paths = {entry["path"] for entry in demo.seen()}
    assert len({path for path in paths if path.startswith("/api/v1/users/")}) > 5


def test_a_failed_login_measures_nothing(demo: Demo, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO)
    document = envelope("--scenario", path, code=4, BASE_URL=demo.url, LOAD_PASSWORD="wrong-s3cret")
    assert document["findings"][0]["code"] == "login-failed"
    assert "status 401" in document["summary"]
    assert "wrong-s3cret" not in json.dumps(document)


@pytest.mark.slow
def test_a_json_scenario_and_the_default_path_need_no_package(demo: Demo, tmp_path: Path) -> None:
    """With -S nothing beyond the standard library can be imported."""
    path = tmp_path / "s.json"
    path.write_text(json.dumps({"requests": [{"path": "/x"}], "stages": [{"duration": "1s", "rate": 50}], "warmup": 0}))
    for arguments in (["--scenario", str(path)], ["--endpoint", "/x", "--rps", "50", "--duration", "1s"]):
        done = subprocess.run(
            [sys.executable, "-E", "-s", "-S", str(DOOR), *arguments, "--base-url", demo.url],
            capture_output=True,
            text=True,
            check=False,
            env={"SENIOR_BACKEND_CACHE": "/dev/null/none", "PATH": ""},
        )
        assert done.returncode in (0, 3), done.stderr
        assert "0 failed" in done.stdout


def test_several_endpoints_with_weights_methods_headers_and_a_body(demo: Demo, tmp_path: Path) -> None:
    body = tmp_path / "order.json"
    body.write_text('{"key": "{{ uuid() }}"}')
    arguments = ["--endpoint", "9*GET /weighted/a?x=1", "--endpoint", "POST /weighted/b", "--body", f"@{body}"]
    data = envelope(
        *arguments,
        "--header",
        "X-Test: {{ sequence() }}",
        "--base-url",
        demo.url,
        *QUICK,
        "--arrivals",
        "constant",
        code=0,
    )["data"]
    counts = {row["name"]: row["count"] for row in data["endpoints"]}
    assert counts["GET /weighted/a"] > 5 * counts["POST /weighted/b"] > 0
    posted = [entry for entry in demo.seen() if entry["path"] == "/weighted/b" and entry["method"] == "POST"]
    assert posted[0]["headers"]["content-type"] == "application/json"
    assert len({entry["body"] for entry in posted}) == len(posted)
    assert all("x-test" in entry["headers"] for entry in posted)


def test_a_broken_objective_is_exit_1(demo: Demo) -> None:
    document = envelope("--endpoint", "/x", "--base-url", demo.url, *QUICK, "--slo", "p50<0.001ms", code=1)
    assert document["data"]["slo"][0]["state"] == "broken"


def test_too_few_samples_are_not_a_verdict(demo: Demo) -> None:
    document = envelope("--endpoint", "/x", "--base-url", demo.url, *QUICK, "--slo", "p99.9<5s", code=3)
    assert document["data"]["slo"][0]["state"] == "undecided"
    assert any("--duration" in step["command"] for step in document["next"])


@pytest.mark.slow
def test_all_500_is_exit_1_and_ends_early(demo: Demo) -> None:
    started = time.monotonic()
    document = envelope(
        "--endpoint", "/status/500", "--base-url", demo.url, "--rps", "100", "--duration", "60s", code=1
    )
    assert time.monotonic() - started < 20
    assert "error budget" in document["summary"]
    assert document["data"]["errors"][0]["class"] == "status"
    assert document["data"]["errors"][0]["example"]["message"]


def test_expected_statuses_are_no_errors(demo: Demo) -> None:
    envelope("--endpoint", "/status/404", "--base-url", demo.url, *QUICK, "--expect-status", "404", code=0)


def test_a_server_that_sheds_load_is_left_alone(demo: Demo) -> None:
    started = time.monotonic()
    document = envelope(
        "--endpoint", "/status/429", "--base-url", demo.url, "--rps", "100", "--duration", "60s", code=5
    )
    assert time.monotonic() - started < 10
    assert "asks to wait 7 s" in document["summary"]
    assert document["next"][0]["command"].startswith("sleep 7 && ")


def test_metrics_and_process_stand_beside_the_clients_view(demo: Demo) -> None:
    data = envelope(
        "--endpoint", "/x", "--base-url", demo.url, *QUICK,
        "--metrics-url", f"{demo.url}/metrics", "--pid", str(demo.pid), code=0,
    )["data"]  # fmt: skip
    server = data["server"]
    assert server["latency"][0]["metric"] == "http_request_duration_seconds"
    assert server["latency"][0]["count"] >= data["requests"]["planned"]
    assert server["latency"][0]["p50_ms"] == pytest.approx(5, abs=0.1)
    assert 0 < server["cpu_cores"] < 2
    assert server["memory_peak_mb"] > 1


def test_csv_has_every_second(demo: Demo, tmp_path: Path) -> None:
    path = tmp_path / "run.csv"
    data = envelope("--endpoint", "/x", "--base-url", demo.url, *QUICK, "--csv", path, code=0)["data"]
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert sum(int(row["sent"]) for row in rows) == data["requests"]["planned"]
    assert all(float(row["p99_ms"]) >= float(row["p50_ms"]) for row in rows if row["p50_ms"])


def test_ctrl_c_reports_what_was_measured(demo: Demo) -> None:
    arguments = ["--endpoint", "/ctrl-c", "--base-url", demo.url, "--rps", "100", "--duration", "60s", "--warmup", "0"]
    with subprocess.Popen(
        [sys.executable, str(DOOR), *arguments, "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        deadline = time.monotonic() + 30
        while sum(entry["path"] == "/ctrl-c" for entry in demo.seen()) < 50:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=20)
    assert process.returncode == 130
    document = json.loads(out)
    jsonschema.validate(document, ENVELOPE)
    assert document["data"]["requests"]["succeeded"] > 20
    assert document["data"]["interrupted"]


def test_nothing_listening_is_exit_4() -> None:
    assert envelope("--endpoint", "/x", "--base-url", "http://127.0.0.1:1", code=4)["findings"][0]["code"] == "refused"


def test_a_public_address_is_refused() -> None:
    document = envelope("--endpoint", "/x", "--base-url", "http://192.0.2.1", code=5)
    assert "--i-own 192.0.2.1" in str(document["findings"][0]["fix"])


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ([], "no-request"),
        (["--endpoint", "users"], "bad-endpoint"),
        (["--endpoint", "/x", "--rps", "0"], "out-of-range"),
        (["--endpoint", "/x", "--rps", "nan"], "out-of-range"),
        (["--endpoint", "/x", "--duration", "soon"], "bad-duration"),
        (["--endpoint", "/x", "--duration", "0"], "out-of-range"),
        (["--endpoint", "/x", "--stages", "1s@5,2@x,@"], "bad-stage"),
        (["--endpoint", "/x", "--stages", "1s@5", "--rps", "3"], "two-plans"),
        (["--endpoint", "/x", "--slo", "p99<fast,erors<1%"], "slo-syntax"),
        (["--endpoint", "/x", "--method", "FETCH"], "bad-method"),
        (["--endpoint", "/x", "--header", "nonsense"], "bad-header"),
        (["--endpoint", "/x", "--header", "A: b\r\nC: d"], "bad-header"),
        (["--endpoint", "/x", "--body", "@/nowhere/at/all"], "no-such-file"),
        (["--endpoint", "/x", "--base-url", "file:///etc/passwd"], "bad-url"),
        (["--endpoint", "/x", "--connections", "0"], "out-of-range"),
        (["--endpoint", "/x", "--error-budget", "150%"], "bad-share"),
        (["--endpoint", "/x", "--expect-status", "999"], "bad-status"),
        (["--endpoint", "/{{ nope }}"], "unknown-variable"),
        (["--endpoint", "/x", "--endpoint", "/x"], "duplicate-name"),
        (["--endpoint", "/x", "--allow-writes"], "usage"),
        (["--scenario", "/nowhere.yaml"], "no-such-file"),
        (["--scenario", "a.yaml", "--openapi", "b.json"], "two-sources"),
        (["--scenario", "a.yaml", "--endpoint", "/x"], "no-such-file"),
        (["--scenario", "a.json", "--method", "PUT"], "no-such-file"),
        (["--endpoint", "/x", "--rsp", "4"], "usage"),
        (["--openapi", "/nowhere.json"], "no-such-file"),
    ],
)
def test_wrong_calls_are_exit_2(
    arguments: list[str], code: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert cli.main([*arguments, "--json"]) == 2
    document = json.loads(capsys.readouterr().out)
    jsonschema.validate(document, ENVELOPE)
    assert document["findings"][0]["code"] == code


def test_all_wrong_stages_are_told_with_their_column() -> None:
    with pytest.raises(InputError) as caught:
        planning.parse_stages("1s@5,2@x,@")
    assert [finding.where for finding in caught.value.findings] == ["--stages:1:6", "--stages:1:10"]
    assert planning.parse_stages("30s@50, 1m@50-200,10s@5..1.5") == (
        Stage(30, 50, 50),
        Stage(60, 50, 200),
        Stage(10, 5, 1.5),
    )


def test_the_default_duration_gives_the_percentile_its_samples() -> None:
    assert planning.default_duration(100, None) == 11
    assert planning.default_duration(10, None) == 10
    assert planning.default_duration(10, "p99<1s") == 110
    assert planning.default_duration(1000, "p99.9<1s") == 11
    assert planning.default_duration(1, "p99<1s") == 10


def test_dry_run_sends_nothing_and_hides_secrets(demo: Demo, tmp_path: Path) -> None:
    path = tmp_path / "s.yaml"
    path.write_text(SCENARIO.replace("right", "right-s3cret"))
    before = len(demo.seen())
    outcome = call("--scenario", path, "--header", "X-Api-Key: k3y", "--dry-run", environment={"BASE_URL": demo.url})
    assert outcome.code == 0
    assert len(demo.seen()) == before
    assert "/api/v1/users/{{ id }}" in outcome.out
    assert "k3y" not in outcome.out
    assert "s3cret" not in outcome.out


@pytest.mark.slow
def test_openapi_from_a_url_and_from_a_file(demo: Demo, tmp_path: Path) -> None:
    document = {
        "openapi": "3.0.3",
        "paths": {
            "/api/things": {
                "get": {
                    "responses": {
                        "200": {
                            "description": "x",
                            "content": {"application/json": {"schema": {"type": "object", "required": ["path"]}}},
                        }
                    }
                }
            },
            "/api/wrong": {
                "get": {
                    "responses": {
                        "200": {
                            "description": "x",
                            "content": {"application/json": {"schema": {"type": "object", "required": ["absent"]}}},
                        }
                    }
                }
            },
        },
    }
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(document))
    right = ("--openapi", path, "--endpoint", "/api/things", "--base-url", demo.url)
    assert envelope(*right, *QUICK, code=0)["data"]["requests"]["failed"] == 0
    wrong = envelope("--openapi", path, "--base-url", demo.url, *QUICK, "--error-budget", "off", code=1)["data"]
    assert wrong["errors"][0]["class"] == "check"
    assert "absent" in wrong["errors"][0]["example"]["message"]
    remote = call("--openapi", f"{demo.url}/status/404", "--json")
    assert remote.code == 4
    assert "status 404" in remote.document["summary"]


def test_the_schema_alone_is_printed() -> None:
    outcome = call("--schema")
    assert outcome.code == 0
    assert outcome.document["title"] == "A load scenario for load_test.py"


def test_the_door_pins_what_the_lock_pins() -> None:
    locked = {
        line.split(" ")[0]
        for line in (REQUIREMENTS / "load.txt").read_text().splitlines()
        if "==" in line and line[0] != " "
    }
    for pin in locked:
        assert f'"{pin}"' in DOOR.read_text()
    assert len(DOOR.read_text().splitlines()) <= 40


def test_the_next_command_hides_secrets_and_keeps_the_rest(demo: Demo) -> None:
    headers = ("--header", "Authorization: Bearer s3cret", "--header=X-Api-Key: k3y", "--header", "X-Plain: kept")
    document = envelope("--endpoint", "/status/429", "--base-url", demo.url, "--rps", "100", *headers, code=5)
    assert "X-Plain: kept" in document["next"][0]["command"]
    assert "Authorization: ..." in document["next"][0]["command"]
    assert "s3cret" not in json.dumps(document)
    assert "k3y" not in json.dumps(document)


def test_a_server_that_cannot_be_watched_is_exit_4_before_the_load(demo: Demo) -> None:
    before = len(demo.seen())
    gone = envelope("--endpoint", "/x", "--base-url", demo.url, *QUICK, "--pid", "999999999", code=4)
    assert "process 999999999 cannot be seen" in gone["summary"]
    wrong = envelope("--endpoint", "/x", "--base-url", demo.url, "--metrics-url", f"{demo.url}/status/404", code=4)
    assert "status 404" in wrong["summary"]
    assert envelope("--endpoint", "/x", "--base-url", demo.url, "--metrics-url", f"{demo.url}/__seen", code=2)[
        "findings"
    ]
    assert envelope("--endpoint", "/x", "--base-url", demo.url, "--metrics-url", "http://8.8.8.8/m", code=5)["findings"]
    assert not [entry for entry in demo.seen()[before:] if entry["path"] == "/x"]


def test_a_header_of_the_call_wins_over_the_file(demo: Demo, tmp_path: Path) -> None:
    path = tmp_path / "s.json"
    requests = [{"path": "/won", "headers": {"X-Who": "request"}}]
    path.write_text(json.dumps({"headers": {"X-All": "file"}, "requests": requests}))
    headers = ("--header", "x-who: call", "--header", "X-ALL: call")
    envelope("--scenario", path, "--base-url", demo.url, *QUICK, *headers, code=0)
    seen = next(entry["headers"] for entry in demo.seen() if entry["path"] == "/won")
    assert (seen["x-who"], seen["x-all"]) == ("call", "call")


def test_a_rate_limiter_can_be_tested(demo: Demo) -> None:
    envelope("--endpoint", "/status/429", "--base-url", demo.url, *QUICK, "--expect-status", "429", code=0)


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [(404, 2, "--openapi FILE|URL --dry-run"), (401, 4, "Authorization: Bearer ..."), (403, 4, "--scenario FILE")],
)
def test_nothing_there_or_not_allowed_measures_nothing_and_says_what_to_try(
    demo: Demo, status: int, code: int, words: str
) -> None:
    arguments = ("--endpoint", f"/status/{status}", "--base-url", demo.url, *QUICK, "--error-budget", "off")
    document = envelope(*arguments, code=code)
    assert words in document["findings"][0]["fix"]
    assert document["data"] == {}


@pytest.mark.parametrize(("status", "words"), [(404, "--openapi"), (401, "Authorization: Bearer $TOKEN")])
def test_what_shows_only_under_load_says_what_to_try(demo: Demo, status: int, words: str) -> None:
    """A write is not sent before the load; its failures are exit 1, with the same advice."""
    arguments = ("--endpoint", f"POST /post/{status}", "--base-url", demo.url, *QUICK, "--error-budget", "off")
    assert words in envelope(*arguments, code=1)["next"][0]["command"]
