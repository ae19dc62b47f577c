from __future__ import annotations

import json
import re
from random import Random
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from senior_backend.console.errors import InputError
from senior_backend.load import openapi, workload
from senior_backend.load.model import StaticWorkload
from senior_backend.load.openapi_examples import Examples, NoExampleError
from senior_backend.load.openapi_patterns import matching
from senior_backend.load.render import Compiler, Draw, Values
from senior_backend.load.scenario import Body, Request, Scenario
from senior_backend.load.templates import literal

TEXT = """\
openapi: 3.1.0
info: {title: t, version: 1}
servers: [{url: "https://{region}.example.org/v1", variables: {region: {default: eu}}}]
security: [{bearer: []}]
paths:
  /users:
    parameters: [{$ref: '#/components/parameters/limit'}]
    get:
      responses:
        200:
          description: x
          content:
            application/json:
              schema:
                type: object
                required: [data]
                properties: {data: {type: array, items: {$ref: '#/components/schemas/User'}}}
        404: {description: no}
    post:
      requestBody: {required: true, content: {application/json: {schema: {$ref: '#/components/schemas/NewUser'}}}}
      responses: {201: {description: made}, 422: {description: bad}}
  /users/{id}:
    get:
      security: []
      parameters: [{name: id, in: path, required: true, schema: {type: string, format: uuid}}]
      responses: {2XX: {description: ok}}
    delete:
      parameters: [{name: id, in: path, required: true, schema: {type: string}}]
      responses: {204: {description: gone}}
  /reports/{day}:
    get:
      parameters:
        - {name: day, in: path, required: true, example: 2024-01-31, schema: {type: string}}
        - {name: kinds, in: query, required: true, schema: {type: array, items: {enum: [a b]}}}
        - {name: X-Trace, in: header, required: true, schema: {type: integer, minimum: 3}}
        - {name: optional, in: query, schema: {type: string}}
      responses: {default: {description: any}}
  /old: {get: {deprecated: true, responses: {200: {description: x}}}}
  /elsewhere: {get: {parameters: [{$ref: 'other.yaml#/x'}], responses: {}}}
  /broken: {get: {parameters: nonsense, responses: {}}}
components:
  securitySchemes: {bearer: {type: http, scheme: bearer}}
  parameters: {limit: {name: limit, in: query, required: true, schema: {type: integer, minimum: 5}}}
  schemas:
    User:
      type: object
      required: [id]
      properties: {id: {type: string}, friend: {$ref: '#/components/schemas/User'}}
    NewUser:
      allOf:
        - {type: object, required: [email], properties: {email: {type: string, format: email}}}
        - {type: object, properties: {id: {type: string, readOnly: true}, nick: {type: string}}}
"""
API = openapi.parse_document(TEXT, "api.yaml")


def made(allow_writes: bool = False, **options: Any) -> Scenario:
    return openapi.scenario_of(API, "api.json", openapi.Options(allow_writes=allow_writes, **options))


def by_name(scenario: Scenario) -> dict[str, Request]:
    return {request.name: request for request in scenario.requests}


def test_read_only_methods_unless_writes_are_allowed() -> None:
    scenario = made()
    assert list(by_name(scenario)) == ["GET /users", "GET /users/{id}", "GET /reports/{day}"]
    assert any("2 operations that write are left out" in note for note in scenario.notes)
    assert {"POST /users", "DELETE /users/{id}"} <= set(by_name(made(allow_writes=True)))


def test_what_cannot_be_sent_is_left_out_with_its_reason() -> None:
    notes = "\n".join(made().notes)
    assert "GET /old is left out: it is deprecated" in notes
    assert "GET /elsewhere is left out: other.yaml#/x lies in another file" in notes
    assert "GET /broken is left out" in notes


def test_parameters_and_references() -> None:
    work = workload.build(made(only=("/reports/{day}",), prefix="/v1"), "h", "", 1)
    assert isinstance(work, StaticWorkload)
    payload = work.requests[0].payload
    assert payload.startswith(b"GET /v1/reports/2024-01-31?kinds=a%20b HTTP/1.1\r\n")
    assert b"\r\nX-Trace: 3\r\n" in payload
    assert b"optional" not in payload


def test_identifiers_come_from_the_list_beside_them() -> None:
    requests = by_name(made(allow_writes=True))
    assert [extract.json for extract in requests["GET /users"].extract] == ["$.data[*].id"]
    assert requests["GET /users/{id}"].path.source() == "/users/{{ users_id }}"
    assert requests["DELETE /users/{id}"].path.source() == "/users/{{ users_id }}"


def test_success_is_what_the_document_calls_success() -> None:
    requests = by_name(made(allow_writes=True))
    assert requests["GET /users"].check.statuses == frozenset({200})
    assert requests["POST /users"].check.statuses == frozenset({201})
    assert requests["GET /users/{id}"].check.statuses == frozenset(range(200, 300))
    assert requests["GET /reports/{day}"].check.statuses is None
    documented = dict(requests["GET /users"].check.documented)
    assert documented["200"].required == ("data",)
    assert documented["200"].content_types == ("application/json",)


def test_credentials_come_from_the_environment_and_are_asked_for() -> None:
    assert any("GET /users, GET /reports/{day} need credentials: set API_TOKEN" in note for note in made().notes)
    scenario = made(environment={"API_TOKEN": "s3cret"})
    header = dict(by_name(scenario)["GET /users"].headers)["Authorization"]
    assert header.static() == "Bearer s3cret"
    assert header.source() == "Bearer ${API_TOKEN}"
    assert not by_name(scenario)["GET /users/{id}"].headers
    assert not any("credentials" in note for note in made(has_authorization=True).notes)


def test_bodies_are_unique_where_servers_want_it() -> None:
    scenario = made(allow_writes=True, only=("/users",))
    work = workload.build(scenario, "h", "", 3)
    bodies = set()
    for number in range(40):
        payload = work.next(number).payload  # type: ignore[union-attr]
        if payload.startswith(b"POST"):
            body = json.loads(payload.partition(b"\r\n\r\n")[2])
            assert re.fullmatch(r"load-\w{12}@example\.com", body["email"])
            assert "id" not in body
            bodies.add(body["email"])
    assert len(bodies) > 5


def test_swagger_2() -> None:
    document = {
        "swagger": "2.0",
        "host": "127.0.0.1:9000",
        "basePath": "/v2",
        "paths": {
            "/pets": {
                "post": {
                    "parameters": [{"in": "body", "name": "b", "schema": {"$ref": "#/definitions/Pet"}}],
                    "responses": {
                        "200": {"description": "x", "schema": {"type": "array", "items": {"required": ["id"]}}}
                    },
                },
                "put": {
                    "consumes": ["application/x-www-form-urlencoded"],
                    "parameters": [{"in": "formData", "name": "n", "type": "integer", "required": True}],
                    "responses": {"200": {"description": "x"}},
                },
            }
        },
        "definitions": {"Pet": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}},
    }
    assert openapi.server_url(document) == "http://127.0.0.1:9000/v2"
    requests = by_name(openapi.scenario_of(document, "x", openapi.Options(allow_writes=True)))
    assert requests["POST /pets"].body == Body("json", {"name": literal("load test")})
    assert requests["PUT /pets"].body == Body("form", (("n", literal("1")),))
    assert dict(requests["POST /pets"].check.documented)["200"].item_required == ("id",)


def test_server_urls() -> None:
    assert openapi.server_url(API) == "https://eu.example.org/v1"
    assert openapi.server_url({"servers": [{"url": "/api/"}]}) == "/api"
    assert openapi.server_url({}) == ""


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{", "openapi: 3.0.0\n", '{"openapi": "4.0", "paths": {}}', "a: [", "{" * 100_000, "paths: {}\n",
     '{"openapi": "3.0.0", "paths": {}}', '{"openapi": "3.0.0", "paths": {"/x": {"post": {"responses": {}}}}}'],
)  # fmt: skip
def test_what_is_not_a_document_with_operations(text: str) -> None:
    with pytest.raises(InputError):
        openapi.scenario_of(openapi.parse_document(text, "x"), "x", openapi.Options())


SCHEMAS: list[dict[str, Any]] = [
    {"type": "string", "minLength": 20, "maxLength": 25},
    {"type": "string", "maxLength": 3},
    {"type": "string", "pattern": r"^[A-Z]{3}-\d{2,}$", "minLength": 8},
    {"type": "string", "pattern": r"^(\+49|0)[1-9][0-9]{6,10}$"},
    {"type": "string", "pattern": r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$"},
    {"type": "string", "enum": ["x", "y"]},
    {"const": "only"},
    {"type": "integer", "minimum": 3, "multipleOf": 5},
    {"type": "integer", "exclusiveMinimum": 3, "maximum": 4},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 0.5},
    {"type": "integer", "maximum": -7},
    {"type": ["null", "integer"]},
    {"type": "boolean"},
    {"type": "null"},
    {"type": "array", "items": {"type": "integer"}, "minItems": 3},
    {"type": "array", "items": {"enum": ["a", "b", "c"]}, "minItems": 2, "uniqueItems": True},
    {"anyOf": [{"type": "null"}, {"type": "string", "minLength": 2}]},
    {"oneOf": [{"type": "object", "required": ["a"], "properties": {"a": {"type": "integer"}}}]},
    {"allOf": [{"required": ["a"], "properties": {"a": {"type": "string"}}}, {"required": ["b"]}], "type": "object"},
    {"type": "object", "properties": {"a": {"type": "string", "format": "date-time"}, "b": {"type": "number"}}},
    {"type": "object", "required": ["free"], "additionalProperties": {"type": "string"}},
    {"type": "object", "required": ["t"], "properties": {"t": {"$ref": "#/tree"}}},
]  # fmt: skip
TREE: dict[str, Any] = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "kids": {"type": "array", "items": {"$ref": "#/tree"}}},
}


def resolve(value: Any) -> Any:
    return TREE if isinstance(value, dict) and "$ref" in value else value


@pytest.mark.parametrize("schema", SCHEMAS, ids=[json.dumps(schema)[:50] for schema in SCHEMAS])
def test_made_values_are_valid(schema: dict[str, Any]) -> None:
    value = Examples(resolve).value(schema)
    scenario = Scenario((Request("r", "POST", literal("/"), body=Body("json", value)),))
    piece = Compiler(scenario, "h", "", {}).request(scenario.requests[0], ())
    payload = piece if isinstance(piece, bytes) else piece(Draw(Values(scenario), 0, Random(1)))
    document = json.loads(payload.partition(b"\r\n\r\n")[2])
    jsonschema.Draft202012Validator({**schema, "tree": TREE}).validate(document)


def test_what_requires_itself_without_end_is_refused() -> None:
    schema: dict[str, Any] = {"type": "object", "required": ["self"]}
    schema["properties"] = {"self": schema}
    with pytest.raises(NoExampleError, match="without end"):
        Examples(lambda value: value).value(schema)
    with pytest.raises(NoExampleError):
        Examples(lambda value: value).value({"type": "integer", "minimum": 5, "maximum": 4})


@pytest.mark.parametrize(
    "pattern",
    [r"^a+b*c?$", r"^(foo|bar)\.[xyz]$", r"\w{3}\s\d", r"^[^a-z]$", r"^(?:x{2}){3}$", r"^#[0-9a-fA-F]{6}$", r"."],
)
def test_patterns_are_matched(pattern: str) -> None:
    found = matching(pattern)
    assert found is not None
    assert re.search(pattern, found)


def test_patterns_out_of_reach_are_said_to_be() -> None:
    assert matching(r"(?=b)a") is None
    assert matching(r"^abc$", least=10) is None
    assert matching("(") is None


PLACES = [
    tuple(place.split(" "))
    for place in (
        "paths", "paths /users", "paths /users get", "paths /users get responses", "paths /users/{id}", "servers",
        "paths /users get responses 200 content application/json schema", "paths /users post requestBody", "security",
        "components", "components schemas NewUser", "components securitySchemes", "components parameters limit",
    )
]  # fmt: skip
WORDS = "type properties items $ref #/components/schemas/User allOf enum minimum object array string in name path query"
TREES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 5), st.sampled_from(WORDS.split())),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(WORDS.split()), inner, max_size=4)
    ),
    max_leaves=8,
)


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(PLACES), TREES)
def test_a_damaged_document_is_refused_or_sent_in_part(place: tuple[str, ...], tree: Any) -> None:
    document = json.loads(json.dumps(API))
    target = document
    for key in place[:-1]:
        target = target[key]
    target[place[-1]] = tree
    options = openapi.Options(allow_writes=True, environment={"API_TOKEN": "t", "API_KEY": "k"})
    try:
        parsed = openapi.parse_document(json.dumps(document), "x")
        openapi.server_url(parsed)
        scenario = openapi.scenario_of(parsed, "x", options)
    except InputError:
        return
    workload.build(scenario, "h", "", 1)
