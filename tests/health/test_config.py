"""services.yaml: everything wrong with it at once, in its place; hostile files survived."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from senior_backend.console.errors import InputError
from senior_backend.health.config.cycles import find_cycles
from senior_backend.health.config.load import load, read
from senior_backend.health.config.schema import schema
from senior_backend.health.config.values import parse_duration
from senior_backend.health.model import Configuration


def problems(text: str, suffix: str = ".yaml", environment: dict[str, str] | None = None) -> list[tuple[str, str]]:
    """Return place and code of every problem of a text."""
    with pytest.raises(InputError) as raised:
        read(text, "s", suffix, environment or {})
    return [((item.where or "").removeprefix("s:"), item.code) for item in raised.value.findings]


def messages(text: str, suffix: str = ".yaml") -> str:
    with pytest.raises(InputError) as raised:
        read(text, "s", suffix, {})
    return "\n".join(f"{item.message} {item.fix}" for item in raised.value.findings)


def yaml(text: str, environment: dict[str, str] | None = None) -> Configuration:
    return read(text, "s", ".yaml", environment or {})[0]


WRONG = """\
servces: []
services:
  - name: api
    url: http://h/
    timeot: 1s
    timeout: 5
    depends_on: [databse, cache]
  - name: database
    type: postgress
    host: h
  - name: cache
    url: redis://h
    depends_on: [worker]
    expect: {total: 1x, ttal: 1s}
  - name: worker
    url: http://${NOPE}/
    depends_on: cache
  - name: api
    url: http://h/
  - name: port
    type: tcp
    host: h
    port: 22:22
  - name: flag
    url: http://h/
    critical: yes
"""


def test_all_problems_are_told_at_once_in_their_places() -> None:
    assert problems(WRONG) == [
        ("1:1", "unknown-key"),
        ("5:5", "unknown-key"),
        ("6:14", "duration"),
        ("7:18", "unknown-dependency"),
        ("9:11", "unknown-type"),
        ("11:11", "cycle"),
        ("14:21", "duration"),
        ("14:25", "unknown-key"),
        ("16:10", "unset-variable"),
        ("18:11", "duplicate-name"),
        ("23:11", "number"),
        ("26:15", "boolean"),
    ]
    text = messages(WRONG)
    for hint in ("did you mean 'services'", "did you mean 'timeout'", "did you mean 'postgres'", "Add the unit: 5s",
                 "did you mean 'database'", "cache -> worker -> cache", "first defined on line 3", "NOPE",
                 "that clients use is 22", "did you mean 'total'"):  # fmt: skip
        assert hint in text, hint


SERVICE: dict[str, Any] = {"name": "a", "url": "http://h/", "timeout": "2s", "depends_on": ["b"]} | {
    "expect": {"status": 200}
}


def test_json_and_toml_are_read_alike_and_have_places() -> None:
    as_json = json.dumps({"services": [SERVICE, {"name": "b", "url": "redis://h"}]}, indent=1)
    as_toml = (
        '[[services]]\nname = "a"\nurl = "http://h/"\ntimeout = "2s"\ndepends_on = ["b"]\nexpect = {status = 200}\n'
        '[[services]]\nname = "b"\nurl = "redis://h"\n'
    )
    as_yaml = as_json  # JSON is YAML
    made = [read(text, "s", suffix, {})[0] for text, suffix in
            ((as_json, ".json"), (as_toml, ".toml"), (as_yaml, ".yaml"))]  # fmt: skip
    plain = [[(s.name, s.host, s.timeout, s.depends_on, s.expect) for s in item.services] for item in made]
    assert plain[0] == plain[1] == plain[2]
    assert problems('{"services": [\n {"name": "a", "url": "http://h/", "timeot": "1s"}]}', ".json") == [
        ("2:36", "unknown-key")
    ]
    assert problems('[[services]]\nname = "a"\nurl = "http://h/"\n\ntimeot = "1s"\n', ".toml") == [
        ("5:1", "unknown-key")
    ]


@pytest.mark.parametrize(
    ("text", "suffix", "expected"),
    [
        ("", ".yaml", [("1:1", "empty")]),
        ("# only a comment\n", ".yaml", [("1:1", "empty")]),
        ("services:\n", ".yaml", [("1:10", "no-services")]),
        ("[]", ".yaml", [("1:1", "shape")]),
        ("services: {a: {url: 'http://h/'}}\n---\nservices: {}\n", ".yaml", [("2:1", "two-documents")]),
        ("services:\n  - name: a\n   url: x\n", ".yaml", [("3:4", "yaml-syntax")]),
        ("services:\n\t- a\n", ".yaml", [("2:1", "yaml-syntax")]),
        ("services:\n  - {name: a, url: 'http://h/', name: b}\n", ".yaml", [("2:33", "duplicate-key")]),
        ("services: !!python/object:os.system {}\n", ".yaml", [("1:11", "no-services"), ("1:11", "tag")]),
        ("a: &a [*a]\n", ".yaml", [("1:8", "unknown-alias")]),
        ('{"services": [}', ".json", [("1:15", "json-syntax")]),
        ('{"services": []} x', ".json", [("1:18", "json-syntax")]),
        ('{"a":1,"a":2,"services":3}', ".json", [("1:2", "unknown-key"), ("1:8", "duplicate-key"), ("1:25", "type")]),
        ("services = 3\nx =", ".toml", [("2:1", "toml-syntax")]),
        ("services: [{name: a, url: 'ftp://h/'}]", ".yaml", [("1:27", "scheme")]),
        ("services: [{name: a, url: 'http://h:x/'}]", ".yaml", [("1:27", "url")]),
        ("services: [{name: a, url: h}]", ".yaml", [("1:27", "url")]),
        ("services: [{name: a, type: tcp, host: h}]", ".yaml", [("1:12", "no-port")]),
        ("services: [{name: a, type: redis}]", ".yaml", [("1:12", "no-host")]),
        ("services: [{name: a b, url: 'http://h/'}]", ".yaml", [("1:19", "name")]),
        ("services: [{url: 'http://h/'}]", ".yaml", [("1:12", "no-name")]),
        ("services: [x]", ".yaml", [("1:12", "type")]),
        ("services: [{name: a, type: disk}]", ".yaml", [("1:12", "missing")]),
        ("services: [{name: a, url: 'http://h/', expect: {status: 99}}]", ".yaml", [("1:57", "status")]),
        ("services: [{name: a, url: 'http://h/', expect: {matches: '['}}]", ".yaml", [("1:58", "regex")]),
        ("services: [{name: a, url: 'http://h/', expect: {json: {'a..b': 1}}}]", ".yaml", [("1:56", "json-path")]),
        ("services: [{name: a, url: 'redis://h', expect: {length: '< x'}}]", ".yaml", [("1:57", "condition")]),
        ("services: [{name: a, url: 'http://h/', headers: {'X y': 1}}]", ".yaml", [("1:12", "header")]),
        ("services: [{name: a, url: 'http://h/', port: 080}]", ".yaml", [("1:46", "number")]),
        ("services: [{name: a, type: redis, url: 'http://h/'}]", ".yaml", [("1:28", "type-and-url")]),
        ("services: [{name: a, url: 'https://h/', tls: {ca: /nowhere}}]", ".yaml", [("1:51", "file")]),
    ],
)  # fmt: skip
def test_each_fault_has_its_code_and_place(text: str, suffix: str, expected: list[tuple[str, str]]) -> None:
    assert problems(text, suffix) == expected


def test_bom_crlf_and_extension_keys_are_fine(tmp_path: Path) -> None:
    file = tmp_path / "services.yaml"
    file.write_bytes(
        "\ufeffx-base: &b {timeout: 2s}\r\nservices:\r\n  - <<: *b\r\n    name: a\r\n    url: http://h/\r\n".encode()
    )
    assert load(file, {})[0].services[0].timeout == 2.0


@pytest.mark.parametrize(
    ("content", "code"), [(b"\xff\xfe\x00", "encoding"), (b"a\0b", "config"), (b"x" * 5_000_001, "config")]
)
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes, code: str) -> None:
    file = tmp_path / "services.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError) as raised:
        load(file, {})
    assert raised.value.code == code


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent.yaml"):
        with pytest.raises(InputError):
            load(path, {})


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 5000, "- " * 100_000 + "a", '{"a":' * 100_000])
@pytest.mark.parametrize("suffix", [".yaml", ".json", ".toml"])
def test_depth_is_bounded(text: str, suffix: str) -> None:
    began = time.perf_counter()
    assert len(problems(text, suffix)) == 1
    assert time.perf_counter() - began < 5


def test_aliases_are_bounded() -> None:
    lines = ["a0: &a0 [x,x,x,x,x,x,x,x,x]"]
    lines += [f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 9)}]" for i in range(1, 9)]
    began = time.perf_counter()
    assert problems("\n".join(lines))[0][1] == "too-large"
    assert time.perf_counter() - began < 2


def test_variables_are_expanded_after_parsing() -> None:
    text = "services: [{name: a, url: '${BASE:-http://h:1}/x', tags: ['$X', '$$Y', '${INJECT}']}]"
    made = yaml(text, {"INJECT": "a]\nservices: []"}).services[0]
    assert (made.host, made.port) == ("h", 1)
    assert made.tags == ("$X", "$Y", "a]\nservices: []")
    assert problems("services: [{name: a, url: '${A:?say why}'}]") == [("1:27", "unset-variable")]
    assert problems("services: [{name: a, url: ''}]") == [("1:27", "url")]
    assert problems("services: [{name: a, url: '${A:-}'}]") == [("1:27", "url")]
    assert "say why" in messages("services: [{name: a, url: '${A:?say why}'}]")
    assert problems("services: [{name: a, url: 'http://h/${}'}]") == [("1:27", "variable")]
    assert problems("services: [{name: a, url: 'http://${E:?}/'}]", environment={"E": ""}) == [
        ("1:27", "unset-variable")
    ]


def test_scalars_mean_what_they_look_like() -> None:
    made = yaml("services: [{name: on, type: tcp, host: h, port: 8080, tags: [010, 12:30, no, 1_000, 2024-01-01]}]")
    assert made.services[0].name == "on"
    assert made.services[0].tags == ("010", "12:30", "no", "1_000", "2024-01-01")


def test_defaults_apply_and_can_be_overridden() -> None:
    text = (
        "defaults: {timeout: 1s, critical: false}\n"
        "services: {a: {url: 'http://h/'}, b: {url: 'http://h/', timeout: 2s, critical: true}}"
    )
    assert [(item.timeout, item.critical) for item in yaml(text).services] == [(1.0, False), (2.0, True)]


def test_an_application_url_is_understood() -> None:
    made = yaml("services: [{name: a, url: 'postgresql+asyncpg://u:p%40ss@h:6000/db?sslmode=require'}]")
    service = made.services[0]
    assert (service.type, service.host, service.port) == ("postgresql", "h", 6000)
    assert service.options == {"user": "u", "password": "p@ss", "database": "db", "sslmode": "require"}
    assert service.target == "postgresql+asyncpg://h:6000/db?sslmode=***"
    assert "p@ss" in made.secrets


def test_what_is_masked_is_what_is_secret() -> None:
    headers = {"Accept": "text/html", "Host": "h", "Authorization": "Bearer abc.def", "X-Key": "k1234"}
    service = {"name": "a", "url": "http://h/", "headers": headers, "body": "ping the service"}
    made, _ = read(json.dumps({"services": [service]}), "s", ".json", {})
    assert made.secrets == {"abc.def", "Bearer abc.def", "k1234", "ping the service"}
    assert problems("services: [{name: a, url: 'mongodb+srv://cluster.example'}]") == [("1:12", "srv")]


def test_a_weak_check_is_advised_against() -> None:
    _, warnings = read("services: [{name: a, url: 'tcp://h:3306'}]", "s", ".yaml", {})
    assert [(item.severity, item.code) for item in warnings] == [("warning", "weak-check")]


def test_lenient_makes_unknown_keys_warnings() -> None:
    text = "services: [{name: a, url: 'http://h/', timeot: 1s}]"
    made, warnings = read(text, "s", ".yaml", {}, lenient=True)
    assert len(made.services) == len(warnings) == 1


def test_long_cycles_are_found_without_recursion() -> None:
    edges = {f"s{i}": [f"s{(i + 1) % 3000}"] for i in range(3000)}
    assert [len(cycle) for cycle in find_cycles(edges)] == [3001]
    assert find_cycles({"a": ["b", "c"], "b": ["c"], "c": []}) == []


@pytest.mark.parametrize(
    ("text", "seconds"), [("500ms", 0.5), ("2s", 2), ("1m30s", 90), ("0.5s", 0.5), ("1h", 3600), ("5", None),
                          ("s", None),
                          ("1s ", 1), ("-1s", None), ("1e3s", None), ("", None)],
)  # fmt: skip
def test_durations(text: str, seconds: float | None) -> None:
    assert parse_duration(text) == seconds


def test_the_schema_agrees_with_the_reader() -> None:
    made = schema()
    jsonschema.Draft202012Validator.check_schema(made)
    validator = jsonschema.Draft202012Validator(made)
    good: list[dict[str, Any]] = [
        {"name": "a", "url": "http://h/", "expect": {"status": [200, "2xx"], "json": {"a": "< 3"}, "total": "1s"}},
        {"name": "b", "type": "postgresql", "host": "h", "query": "select 1", "expect": {"value": 1}, "tls": True},
        {"name": "c", "type": "disk", "path": "/", "degraded": {"free_percent": "> 10"}},
        {"name": "d", "type": "exec", "command": ["true"], "depends_on": "a", "critical": "${X:-true}", "x-note": 1},
    ]
    for service in good:
        others = [] if service["name"] == "a" else [good[0]]
        document = {"services": [service, *others]}
        validator.validate(document)
        read(json.dumps(document), "s", ".json", {})
    bad: list[dict[str, Any]] = [
        {"name": "a"},
        {"name": "a", "url": "http://h/", "timeot": "1s"},
        {"name": "a", "url": "http://h/", "timeout": "5"},
        {"name": "a", "type": "nope", "host": "h"},
        {"name": "a", "url": "redis://h", "expect": {"status": 200}},
        {"name": "a", "url": "http://h/", "expect": {"status": 99}},
        {"name": "a", "url": "http://h/", "tls": {"insecur": True}},
        {"name": "a", "url": "redis://h", "port": 70000},
    ]
    for service in bad:
        assert list(validator.iter_errors({"services": [service]})), service
        with pytest.raises(InputError):
            read(json.dumps({"services": [service]}), "s", ".json", {})
