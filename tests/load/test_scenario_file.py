from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from senior_backend.console.errors import InputError, ToolError
from senior_backend.console.report import Finding
from senior_backend.load import schema_check
from senior_backend.load.document import MAX_BYTES, Problems, parse_json, to_plain
from senior_backend.load.document_yaml import parse_yaml
from senior_backend.load.scenario import Scenario, parse_duration, parse_statuses
from senior_backend.load.scenario_file import load
from senior_backend.load.templates import Env, Expression, TemplateError, parse

FRIENDLY = """\
base_url: ${BASE_URL:-http://127.0.0.1:8000}
feeds: {people: people.csv}
login:
  request:
    method: POST
    path: /api/v1/auth/login
    json: {email: "{{ people.email }}", password: "${LOAD_PASSWORD:-change-me}"}
  extract: {token: $.data.accessToken}
headers: {Authorization: "Bearer {{ token }}", X-Version: 1.10}
requests:
  - name: list users
    weight: 5
    path: /api/v1/users?limit=20
    check: {status: 200}
    extract: {user_id: "$.data[*].id"}
  - name: get user
    path: /api/v1/users/{{ user_id }}
    check: {status: [200, 404], has: [$.data.id]}
  - path: /api/v1/users
    json: {country: NO, flag: on, age: "{{ people.age | int }}", port: 010, at: 1:30}
stages: [{duration: 30s, rate: 50}, {duration: 1m30s, rate: 50, to: "${PEAK:-200}"}]
slo: p99<200ms,errors<0.1%
"""


def write(folder: Path, text: str, name: str = "load-scenario.yaml") -> Path:
    (folder / "people.csv").write_text("email,age\na@example.com,30\nb@example.com,31\n")
    path = folder / name
    path.write_text(text)
    return path


def problems(folder: Path, text: str, name: str = "load-scenario.yaml", **environment: str) -> list[tuple[str, str]]:
    """The findings of a bad scenario as (line:column, code)."""
    with pytest.raises(ToolError) as caught:
        load(write(folder, text, name), environment)
    assert caught.value.exit_code == 2
    return [
        (re.sub(r"^.*?\.(?:yaml|json|csv):?", "", finding.where or ""), finding.code)
        for finding in caught.value.findings
    ]


def test_the_friendly_form_is_read_whole(tmp_path: Path) -> None:
    scenario = load(write(tmp_path, FRIENDLY), {"PEAK": "500"})
    assert scenario.base_url is not None
    assert scenario.base_url.static() == "http://127.0.0.1:8000"
    assert [request.name for request in scenario.requests] == ["list users", "get user", "POST /api/v1/users"]
    assert [(stage.seconds, stage.rate, stage.end_rate) for stage in scenario.stages] == [(30, 50, 50), (90, 50, 500)]
    assert scenario.requests[1].check.statuses == frozenset({200, 404})
    assert scenario.steps[0].is_login
    assert scenario.slo == "p99<200ms,errors<0.1%"


def test_strings_stay_strings(tmp_path: Path) -> None:
    """The words that YAML 1.1 turns into booleans, octal and base-60 numbers keep what the author wrote."""
    body = load(write(tmp_path, FRIENDLY), {}).requests[2].body
    assert body is not None
    content = body.content
    assert content["country"].static() == "NO"
    assert content["flag"].static() == "on"
    assert content["at"].static() == "1:30"
    assert content["port"] == 10
    assert dict(load(write(tmp_path, FRIENDLY), {}).headers)["X-Version"].static() == "1.10"


def test_json_says_the_same_as_yaml(tmp_path: Path) -> None:
    from_yaml = load(write(tmp_path, FRIENDLY), {})
    tree = parse_yaml(FRIENDLY, Problems("x"))
    assert tree is not None
    as_json = json.dumps(to_plain(tree), indent=1).replace("1.1,", '"1.10",').replace("1.1\n", '"1.10"\n')
    assert load(write(tmp_path, as_json, "load-scenario.json"), {}) == from_yaml


def test_every_problem_is_told_at_its_place(tmp_path: Path) -> None:
    text = """\
base_url: ${NOT_SET_ANYWHERE}
stags: [{duration: 30s, rate: 50}]
requests:
  - {name: a, weight: -1, path: users, check: {status: 700, has: [data]}}
  - {name: a, methd: GET, path: "/x/{{ usr_id }}", extract: {user_id: $.data..id}}
  - {path: /y, json: {}, body: x, check: {matches: "("}}
  - {path: "/z/{{ uid() }}", check: {status: [200, abc]}}
  - {path: /w, body_file: ../outside.txt}
  - {path: /v, method: FETCH, headers: {"bad name": x}}
stages:
  - {duration: 30x, rate: fast}
arrivals: poison
arrivals: poisson
"""
    assert problems(tmp_path, text) == [
        ("1:11", "placeholder"),
        ("2:1", "unknown-key"),
        ("4:23", "out-of-range"),
        ("4:33", "bad-value"),
        ("4:56", "out-of-range"),
        ("4:67", "bad-value"),
        ("5:5", "duplicate-name"),
        ("5:15", "unknown-key"),
        ("5:33", "unknown-variable"),
        ("5:71", "bad-path"),
        ("6:26", "two-bodies"),
        ("6:52", "bad-regex"),
        ("7:12", "placeholder"),
        ("7:52", "bad-value"),
        ("8:27", "outside-folder"),
        ("9:24", "bad-value"),
        ("9:41", "bad-name"),
        ("11:16", "bad-value"),
        ("11:27", "wrong-type"),
        ("12:11", "bad-value"),
        ("13:1", "duplicate-key"),
    ]


def test_a_near_miss_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load(write(tmp_path, "requests: [{pth: /x, path: /}]\n"), {})
    assert "did you mean 'path'?" in caught.value.message


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "wrong-type"),
        ("- a\n", "wrong-type"),
        ("requests: []\n", "too-short"),
        ("requests: [{}]\n", "missing-key"),
        ("requests: [{path: /}]\nstages: [{duration: 0, rate: 1}]\n", "out-of-range"),
        ("requests: [{path: /}]\nstages: [{duration: 1s, rate: 0}]\n", "out-of-range"),
        ("requests: [{path: /}]\nstages: [{duration: 1s, rate: .inf}]\n", "wrong-type"),
        ("requests: [{path: /}]\n---\nrequests: []\n", "yaml-documents"),
        ("requests: [{path: !!python/object/apply:os.system [id]}]\n", "yaml-tag"),
        ("requests:\n\t- path: /\n", "yaml-syntax"),
        ("requests: [{path: /{{ a }}}]\n", "yaml-syntax"),
        ("requests: [{path: /, json: {a: {{ b }}}}]\n", "yaml-key"),
        ("requests: &a [*a]\n", "yaml-alias"),
        ("requests: [{path: /, body: x, method: GET}]\n", "body-of-get"),
        ("requests: [{path: '/a b'}]\n", "bad-value"),
        ('requests: [{path: /}]\nheaders: {X: "a\\r\\nY: b"}\n', "bad-value"),
        ("requests: [{path: '/{{ id }}', extract: {id: $.id}}]\n", "no-supplier"),
        ("requests: [{path: '/{{ uuid }}'}]\n", "unknown-variable"),
        ("requests: [{path: '/{{ random_int(5, 1) }}'}]\n", "placeholder"),
        ("requests: [{path: '/{{ open'}]\n", "placeholder"),
        ("requests: [{path: /}]\nfeeds: {a: missing.csv}\n", "no-such-file"),
        ("requests: [{path: /}]\nslo: p99<fast\n", "slo-syntax"),
        ("requests: [{path: /}]\nslo: 'p99[other]<1s'\n", "slo-syntax"),
        ("requests: [{path: /, json: .nan}]\n", "ok"),
    ],
)
def test_malformed_scenarios_are_refused(tmp_path: Path, text: str, code: str) -> None:
    if code == "ok":
        assert load(write(tmp_path, text), {}).requests
        return
    assert code in [found for _, found in problems(tmp_path, text)]


@pytest.mark.parametrize(
    ("text", "place", "code"),
    [
        ('{"requests": [{"path": "/"},]}', "1:29", "json-syntax"),
        ('{"requests": [{"path": "/", "path": "/"}]}', "1:29", "duplicate-key"),
        ("{\n 'requests': 1}", "2:2", "json-syntax"),
        ('{"requests": [\n  {"path": nope}]}', "2:12", "json-syntax"),
        ("[" * 100_000, "1:50", "json-syntax"),
    ],
)
def test_malformed_json_is_placed(tmp_path: Path, text: str, place: str, code: str) -> None:
    assert problems(tmp_path, text, "load-scenario.json")[0] == (place, code)


def test_hostile_yaml_is_survived(tmp_path: Path) -> None:
    """Deep nesting ends a composer that recurses, and nine aliases of nine aliases fill any memory."""
    assert problems(tmp_path, "[" * 60 + "]" * 60)[0][1] == "yaml-too-deep"
    assert problems(tmp_path, "[" * 200_000)[0][1] in ("yaml-too-deep", "yaml-syntax")
    assert problems(tmp_path, "a: " + "{b: " * 60 + "}" * 60)[0][1] == "yaml-too-deep"
    laughs = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    laughs += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    assert problems(tmp_path, laughs)[0][1] == "yaml-too-large"
    assert problems(tmp_path, "x" * (MAX_BYTES + 1))[0][1] == "file-too-large"
    (tmp_path / "latin.yaml").write_bytes(b"requests:\n  - path: /caf\xe9\n")
    with pytest.raises(InputError) as caught:
        load(tmp_path / "latin.yaml", {})
    assert caught.value.where == f"{tmp_path / 'latin.yaml'}:2:15"


def test_the_environment_cannot_change_the_structure(tmp_path: Path) -> None:
    text = 'requests: [{path: /, headers: {A: "${EVIL}"}}]\n'
    evil = '"}, {path: /injected} {{ uuid() }} ${HOME}'
    scenario = load(write(tmp_path, text), {"EVIL": evil})
    assert len(scenario.requests) == 1
    value = scenario.requests[0].headers[0][1]
    assert value.is_static
    assert value.static() == evil
    assert "injected" not in value.source()


def test_feeds_are_read_with_their_faults_placed(tmp_path: Path) -> None:
    text = "feeds: {people: rows.csv}\nrequests: [{path: '/{{ people.email }}'}]\n"
    (tmp_path / "rows.csv").write_text('email,age\n"a,b@example.com",3\nc@example.com\n')
    assert problems(tmp_path, text) == [("3:1", "feed-row")]
    (tmp_path / "rows.csv").write_text("email,email\n")
    assert problems(tmp_path, text) == [("1:1", "feed-header")]
    (tmp_path / "rows.csv").write_text("email\n")
    assert [code for _, code in problems(tmp_path, text)] == ["feed-empty"]
    (tmp_path / "rows.csv").write_text('\ufeffemail\n"a,""b"\n')
    assert load(write(tmp_path, text), {}).feeds[0].rows == ({"email": 'a,"b'},)


def test_templates_keep_their_parts() -> None:
    made = parse('a ${X:-d} $${Y} {{ user.name | raw }} {{ random_int(1, 5) }} {{ "{{" }}', {})
    assert made.parts == (
        "a ",
        Env("X", "d", "d"),
        " ${Y} ",
        Expression("user.name", (), False, "raw"),
        " ",
        Expression("random_int", ("1", "5"), True),
        " {{",
    )
    assert parse("${literal}", None).static() == "${literal}"
    for bad in ("${1X}", "${X", "{{ }}", "{{ a", "{{ a b }}", "{{ a | nope }}", "{{ take() }}", "{{ nope() }}"):
        with pytest.raises(TemplateError):
            parse(bad, {})


@pytest.mark.parametrize(
    ("text", "value"), [("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("2", 2), (1.5, 1.5), ("1h", 3600)]
)
def test_durations(text: str | float, value: float) -> None:
    assert parse_duration(text) == value


@pytest.mark.parametrize("text", ["", "s", "-1s", "1d", "nan", "1s2", "inf"])
def test_what_is_not_a_duration(text: str) -> None:
    with pytest.raises(ValueError, match="not a duration"):
        parse_duration(text)


def test_statuses() -> None:
    assert parse_statuses("200,404") == {200, 404}
    assert len(parse_statuses("2xx")) == 100
    with pytest.raises(ValueError, match="not a status"):
        parse_statuses("600")


# The checker must agree with a full implementation of JSON Schema on whether a document is right.

WORDS = """requests path method name weight check status stages rate duration headers x seed extract json header feeds
file pick request login setup repeat version connections"""
KEYS = st.sampled_from(WORDS.split())
LEAVES = st.one_of(
    st.sampled_from(["/", "GET", "30s", "2xx", "$.a", "x", "", "poisson", "random"]),
    st.sampled_from([0, 1, 1.5, -1, 200, 700, True, False, None]),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(KEYS, inner, max_size=4)),
    max_leaves=12,
)
REQUESTS = st.one_of(st.fixed_dictionaries({"path": LEAVES}, optional={"check": TREES}), TREES)
SHAPED = st.fixed_dictionaries(
    {"requests": st.lists(REQUESTS, max_size=2)},
    optional={"stages": TREES, "login": TREES, "headers": TREES, "feeds": TREES, "seed": LEAVES, "arrivals": LEAVES},
)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.one_of(TREES, SHAPED))
def test_the_checker_agrees_with_json_schema(document: Any) -> None:
    noted = Problems("x")
    tree = parse_json(json.dumps(document), noted)
    assert tree is not None
    schema_check.check(tree, noted)
    right = jsonschema.Draft202012Validator(dict(schema_check.schema())).is_valid(document)
    assert right == (not noted.findings), noted.findings


SIGNS = st.text(alphabet="{}[]:,-#&*!|>'\"%@`?~<$ \n\tab1.\\é\x00", max_size=60)


@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.one_of(
        SIGNS,
        SIGNS.map(lambda text: f"requests: [{{path: /}}]\n{text}"),
        SIGNS.map(lambda text: FRIENDLY.replace("/api/v1/users?limit=20", text)),
        SIGNS.map(lambda text: FRIENDLY.replace("$.data[*].id", text)),
        SIGNS.map(lambda text: json.dumps({"requests": [{"path": f"/{text}", "check": {"matches": text}}]})),
    ),
    st.sampled_from(["s.yaml", "s.json"]),
)
def test_any_text_is_a_scenario_or_a_placed_problem(
    tmp_path_factory: pytest.TempPathFactory, text: str, name: str
) -> None:
    path = write(tmp_path_factory.getbasetemp(), "", name)
    path.write_text(text, encoding="utf-8", newline="")
    findings: tuple[Finding, ...] = ()
    try:
        load(path, {})
    except ToolError as error:
        findings = error.findings
    assert all(finding.where and finding.message for finding in findings)


def test_the_schema_is_valid_and_knows_every_key(tmp_path: Path) -> None:
    schema = dict(schema_check.schema())
    jsonschema.Draft202012Validator.check_schema(schema)
    # The schema describes what is left once the environment is filled in.
    jsonschema.validate(yaml.safe_load(FRIENDLY.replace('"${PEAK:-200}"', "200")), schema)
    names = {name.removesuffix("_s") for name in Scenario.__slots__}
    assert set(schema["properties"]) - {"version", "login", "setup"} == names - {"steps", "notes"}
