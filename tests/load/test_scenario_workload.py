from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from senior_backend.load import checks, jsonpath, workload
from senior_backend.load.checks import Document
from senior_backend.load.model import Prepared, Response, StaticWorkload
from senior_backend.load.render import Values
from senior_backend.load.scenario import Check, Extract, RequiredFields, Scenario
from senior_backend.load.scenario_file import load
from senior_backend.load.workload import DynamicWorkload


def scenario(folder: Path, text: str) -> Scenario:
    (folder / "people.csv").write_text("email,age\na@example.com,30\nb@example.com,31\nc@example.com,32\n")
    path = folder / "s.yaml"
    path.write_text(text)
    return load(path, {"SECRET": "p/w?"})


def messages(made: Scenario, count: int, values: Values | None = None) -> list[bytes]:
    work = workload.build(made, "demo:8000", "/base", 7, values)
    assert isinstance(work, DynamicWorkload)
    return [work.next(number).payload for number in range(count)]


def body_of(message: bytes) -> Any:
    head, _, body = message.partition(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.startswith(b"Content-Length: ")]
    assert lengths == [b"Content-Length: %d" % len(body)]
    return json.loads(body)


def response(body: Any, status: int = 200, **headers: str) -> Response:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = "".join(f"\r\n{name.replace('_', '-')}: {value}" for name, value in headers.items())
    return Response(status, f"HTTP/1.1 {status} OK{fields}".encode(), content)


def test_what_never_changes_is_the_engines_fast_path(tmp_path: Path) -> None:
    made = scenario(tmp_path, 'requests: [{path: /a, query: {q: "x y&z", e: "${SECRET}"}, headers: {X: 1.10}}]')
    work = workload.build(made, "demo:8000", "/base", 1)
    assert isinstance(work, StaticWorkload)
    assert work.requests[0].payload == (
        b"GET /base/a?q=x%20y%26z&e=p%2Fw%3F HTTP/1.1\r\nHost: demo:8000\r\nUser-Agent: senior-backend-load-test\r\n"
        b"Accept: */*\r\nX: 1.10\r\n\r\n"
    )
    assert work.requests[0].check is None


def test_a_token_from_login_is_a_constant_and_stays_on_the_fast_path(tmp_path: Path) -> None:
    made = scenario(
        tmp_path,
        "login: {request: {path: /l}, extract: {token: $.t}}\nheaders: {Authorization: 'Bearer {{ token }}'}\n"
        "requests: [{path: /a}]\n",
    )
    values = Values(made)
    values.add("token", "abc")
    work = workload.build(made, "h", "", 1, values)
    assert isinstance(work, StaticWorkload)
    assert b"\r\nAuthorization: Bearer abc\r\n" in work.requests[0].payload


def test_values_are_encoded_for_where_they_stand(tmp_path: Path) -> None:
    made = scenario(
        tmp_path,
        """\
setup: [{request: {path: /s}, extract: {evil: $.x}}]
requests:
  - path: /p/{{ evil }}/{{ evil | raw }}
    query: {q: "{{ evil }}"}
    headers: {X-Evil: "{{ evil }}"}
    json: {alone: "{{ evil }}", inside: "<{{ evil }}>", list: ["{{ uuid() }}", 1, null, true]}
""",
    )
    values = Values(made)
    evil = 'a/b?c="\r\nX: 1\r\n\r\nGET / é{{ uuid() }}'
    values.add("evil", evil)
    values.add("evil", evil)
    message = messages(made, 1, values)[0]
    line, _, rest = message.partition(b"\r\n")
    assert line.startswith(b"POST /base/p/a%2Fb%3Fc%3D%22%0D%0AX%3A%201")
    assert line.endswith(b" HTTP/1.1")
    assert line.count(b" ") == 2
    assert b'\r\nX-Evil: a/b?c="  X: 1    GET / \xc3\xa9{{ uuid() }}\r\n' in rest
    content = body_of(message)
    assert content["alone"] == evil
    assert content["inside"] == f"<{evil}>"
    assert len(content["list"][0]) == 36
    assert content["list"][1:] == [1, None, True]


def test_single_placeholders_keep_their_type(tmp_path: Path) -> None:
    made = scenario(
        tmp_path,
        "feeds: {people: people.csv}\nrequests: [{path: /a, json: "
        '{age: "{{ people.age | int }}", text: "{{ people.age }}", n: "{{ random_int(3, 3) }}", '
        'row: "{{ people.email }}"}}]',
    )
    bodies = [body_of(message) for message in messages(made, 4)]
    assert [body["age"] for body in bodies] == [30, 31, 32, 30]
    assert [body["text"] for body in bodies] == ["30", "31", "32", "30"]
    assert {body["n"] for body in bodies} == {3}
    assert [body["row"][0] for body in bodies] == ["a", "b", "c", "a"]


def test_one_request_sees_one_value_and_one_row(tmp_path: Path) -> None:
    made = scenario(
        tmp_path,
        "feeds: {people: {file: people.csv, pick: random}}\nsetup: [{request: {path: /s}, extract: {id: $.id}}]\n"
        'requests: [{path: "/{{ id }}/{{ people.email }}", json: {id: "{{ id }}", email: "{{ people.email }}"}}]\n',
    )
    values = Values(made)
    for number in range(50):
        values.add("id", number)
    seen = set()
    for message in messages(made, 50, values):
        path = message.split(b" ")[1].decode().split("/")
        content = body_of(message)
        assert path[2] == str(content["id"])
        assert path[3].replace("%40", "@") == content["email"]
        seen.add((content["id"], content["email"]))
    assert len(seen) > 10


def test_the_same_seed_makes_the_same_requests_in_any_number_of_processes(tmp_path: Path) -> None:
    made = scenario(tmp_path, 'requests: [{path: "/{{ uuid() }}"}, {path: "/b/{{ random_string(8) }}", weight: 3}]')
    whole = messages(made, 40)
    work = workload.build(made, "demo:8000", "/base", 7)
    assert isinstance(work, DynamicWorkload)
    odd = [work.next(number).payload for number in range(1, 40, 2)]
    assert odd == whole[1::2]
    assert len(set(whole)) == 40
    other = workload.build(made, "demo:8000", "/base", 8)
    assert isinstance(other, DynamicWorkload)
    assert other.next(0).payload != whole[0]


def test_weights_and_waiting_for_a_value(tmp_path: Path) -> None:
    made = scenario(
        tmp_path,
        """\
requests:
  - {name: list, path: /list, extract: {id: "$[*].id"}}
  - {name: one, path: "/one/{{ id }}", weight: 3}
""",
    )
    work = workload.build(made, "h", "", 1)
    assert isinstance(work, DynamicWorkload)
    before = [work.next(number).request for number in range(100)]
    assert set(before) == {0}
    assert work.substituted > 50
    listing = work.next(100)
    assert listing.check is not None
    assert listing.check(response([{"id": 5}, {"id": 6}])) is None
    after = [work.next(number) for number in range(101, 1101)]
    share = sum(1 for prepared in after if prepared.request == 1) / len(after)
    assert 0.68 < share < 0.82
    assert {prepared.payload.split(b" ")[1] for prepared in after if prepared.request == 1} == {b"/one/5", b"/one/6"}


def test_taken_values_are_used_once(tmp_path: Path) -> None:
    made = scenario(
        tmp_path,
        "setup: [{request: {path: /s}, extract: {id: $.id}}]\n"
        'requests: [{path: "/x/{{ take(id) }}", method: DELETE}, {path: /other, weight: 0.0001}]\n',
    )
    values = Values(made)
    for number in range(30):
        values.add("id", number)
    paths = [message.split(b" ")[1] for message in messages(made, 60, values)]
    taken = [path for path in paths if b"/x/" in path]
    assert len(taken) == len(set(taken)) == 30
    assert paths[-1] == b"/base/other"


def test_kept_values_are_bounded(tmp_path: Path) -> None:
    made = scenario(tmp_path, 'requests: [{path: /, extract: {id: $.id}}, {path: "/{{ id }}"}]')
    values = Values(made)
    for number in range(2500):
        values.add("id", number)
    assert len(values.pools["id"]) == Values.KEPT
    assert set(values.pools["id"]) == set(range(1500, 2500))


GOOD = response({"data": {"id": 5, "ok": True, "name": "x"}}, Content_Type="application/json; charset=utf-8")


@pytest.mark.parametrize(
    ("check", "problem"),
    [
        (Check(contains='"id": 5'), None),
        (Check(contains="nope"), "does not contain"),
        (Check(not_contains="x"), "contains 'x'"),
        (Check(matches=r'"id": \d+'), None),
        (Check(matches=r"^z"), "nothing in the body matches"),
        (Check(json=(("$.data.id", 5),)), None),
        (Check(json=(("$.data.id", "5"),)), '$.data.id is 5, not "5"'),
        (Check(json=(("$.data.ok", 1),)), "$.data.ok is true, not 1"),
        (Check(json=(("$.data.none", 1),)), "is nothing"),
        (Check(has=("$.data.name",)), None),
        (Check(has=("$.data[0]",)), "nothing at $.data[0]"),
        (Check(headers=(("content-type", "JSON"),)), None),
        (Check(headers=(("X-Missing", "a"),)), "no header X-Missing"),
    ],
)
def test_checks(check: Check, problem: str | None) -> None:
    found = checks.compile_check(check)(Document(GOOD))
    assert (found is None) == (problem is None)
    assert problem is None or problem in str(found)


def test_checks_read_what_is_zipped_and_survive_what_is_not_json() -> None:
    zipped = response(gzip.compress(b'{"id": 1}'), Content_Encoding="gzip")
    assert checks.compile_check(Check(json=(("$.id", 1),)))(Document(zipped)) is None
    for broken in (b"\xff\xfe", b"[" * 100_000, b""):
        assert checks.compile_check(Check(has=("$.id",)))(Document(response(broken))) == "the body is not JSON"


def test_documented_responses() -> None:
    rules = (
        ("200", RequiredFields(("application/json",), ("id", "name"), shape="object")),
        ("2XX", RequiredFields()),
        ("404", RequiredFields()),
    )
    judge = checks.compile_check(Check(documented=rules))
    right = response({"id": 1, "name": "x"}, Content_Type="application/json")
    assert judge(Document(right)) is None
    assert judge(Document(response({"id": 1}, Content_Type="application/json"))) == "required fields are missing: name"
    assert "not an object" in str(judge(Document(response([1], Content_Type="application/json"))))
    assert "text/html" in str(judge(Document(response(b"<html>", Content_Type="text/html"))))
    assert judge(Document(response({}, 204))) is None
    assert "status 500 is not documented" in str(judge(Document(response({}, 500))))


@pytest.mark.parametrize(
    ("extract", "values"),
    [
        (Extract("v", json="$.data[*].id"), [1, 2]),
        (Extract("v", json="$.data[-1].id"), [2]),
        (Extract("v", json="$['data'][0]['id']"), [1]),
        (Extract("v", json="$.nope"), []),
        (Extract("v", header="location"), ["/users/17"]),
        (Extract("v", header="Location", regex=r"/users/(\d+)"), ["17"]),
        (Extract("v", cookie="sid"), ["a=b"]),
        (Extract("v", regex=r'"id": (\d)'), ["1"]),
        (Extract("v", regex=r"zzz"), []),
    ],
)
def test_extractions(extract: Extract, values: list[Any]) -> None:
    seen = Response(
        200,
        b"HTTP/1.1 200 OK\r\nLocation: /users/17\r\nSet-Cookie: other=1\r\nset-cookie: sid=a=b; Path=/",
        b'{"data": [{"id": 1}, {"id": 2}]}',
    )
    assert checks.compile_extract(extract)(Document(seen)) == values


def test_a_response_without_its_value_is_a_failed_check(tmp_path: Path) -> None:
    made = scenario(tmp_path, 'requests: [{path: /, extract: {id: $.id}}, {path: "/{{ id }}"}]')
    work = workload.build(made, "h", "", 1)
    first: Prepared = work.next(0) if isinstance(work, DynamicWorkload) else work.requests[0]
    assert first.check is not None
    assert first.check(response({})) == "no value for id"
    assert first.check(response({"id": 4})) is None


@pytest.mark.parametrize("text", ["data", "$.", "$..a", "$[", "$[a]", "$.a[?(@.x)]", "$.a b"])
def test_what_is_not_a_path(text: str) -> None:
    with pytest.raises(ValueError, match="'"):
        jsonpath.parse(text)
