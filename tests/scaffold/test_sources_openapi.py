from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from senior_backend.console.errors import InputError
from senior_backend.scaffold import importing
from senior_backend.scaffold.field_text import short_form
from senior_backend.scaffold.model import Service
from senior_backend.scaffold.sources.openapi import read_openapi
from tests.scaffold.conftest import Tool

DOCUMENT = """\
openapi: 3.1.0
info: {title: Book Shop, version: '1'}
paths:
  /api/v1/books:
    parameters: []
    get:
      responses:
        '200': {content: {application/json: {schema: {$ref: '#/components/schemas/BookList'}}}}
    post:
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/NewBook'}}}}
      responses: {'201': {content: {application/json: {schema: {$ref: '#/components/schemas/BookEnvelope'}}}}}
  /api/v1/books/{book-id}:
    get:
      responses: {'200': {content: {application/json: {schema: {$ref: '#/components/schemas/BookEnvelope'}}}}}
    delete: {responses: {'204': {}}}
  /api/v1/books/{book-id}/borrow:
    post: {responses: {'200': {}}}
  /api/v1/authors:
    get:
      responses:
        '200': {content: {application/json: {schema: {type: array, items: {$ref: '#/components/schemas/Author'}}}}}
    post:
      requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Author'}}}}
  /api/v1/authors/{id}:
    put: {requestBody: {content: {application/json: {schema: {$ref: '#/components/schemas/Author'}}}}}
  /login:
    post:
      requestBody: {content: {application/json: {schema: {type: object, properties: {email: {type: string}}}}}}
components:
  schemas:
    Base: {type: object, properties: {id: {type: string, format: uuid}, createdAt: {type: string, format: date-time}}}
    NewBook:
      type: object
      required: [title, isbn, author]
      properties:
        title: {type: string, maxLength: 200, minLength: 1}
        isbn: {type: string, maxLength: 13, pattern: '^[0-9]{13}$'}
        author: {$ref: '#/components/schemas/Author'}
        pages: {type: integer, minimum: 1}
        sold: {type: integer, format: int64, default: 0}
        price: {type: number}
        kind: {type: string, enum: [paper, digital], default: paper}
        blurb: {type: [string, 'null']}
        cover: {anyOf: [{type: string, format: uri}, {type: 'null'}]}
        extra: {type: object, additionalProperties: true}
        shape: {oneOf: [{type: string}, {type: integer}]}
        class: {type: string, maxLength: 20}
        authorId: {type: string}
        'display-name': {type: string, maxLength: 30}
        loop: {$ref: '#/components/schemas/Loop'}
        far: {$ref: 'other.yaml#/X'}
        lookahead: {type: string, maxLength: 9, pattern: '(?=x)'}
    Loop: {$ref: '#/components/schemas/Loop'}
    Book: {allOf: [{$ref: '#/components/schemas/Base'}, {$ref: '#/components/schemas/NewBook'}]}
    BookEnvelope: {type: object, properties: {data: {$ref: '#/components/schemas/Book'}, meta: {type: object}}}
    BookList:
      type: object
      properties: {items: {type: array, items: {$ref: '#/components/schemas/Book'}}, next: {type: string}}
    Author:
      type: object
      required: [name, active]
      properties: {name: {type: string, maxLength: 80}, active: {type: boolean}, born: {type: string, format: date}}
"""


def fitted(text: str) -> tuple[Service, str]:
    name, drafts, findings = read_openapi(text, "api.yaml")
    service, left_out = importing.fit(name.lower().replace(" ", "-"), drafts)
    return service, "\n".join(f"{item.where}: {item.message}" for item in (*findings, *left_out))


def test_a_document_with_envelopes_all_of_and_references() -> None:
    service, lost = fitted(DOCUMENT)
    assert service.name == "book-shop"
    book, author = service.resource("book"), service.resource("author")
    assert book.operations == ("list", "create", "read", "delete")
    assert author.operations == ("list", "create", "update")
    assert {field.name: short_form(field) for field in author.fields} == {
        "name": "str(80)",
        "active": "bool",
        "born": "date?",
    }
    assert {field.name: short_form(field) for field in book.fields} == {
        "title": "str(200):min=1",
        "isbn": 'str(13):pattern="^[0-9]{13}$"',
        "author": "ref(author)",
        "pages": "int?:min=1",
        "sold": "bigint?=0",
        "price": "float?",
        "kind": "enum(paper,digital)?=paper",
        "blurb": "str(255)?",
        "cover": "url?",
        "extra": "json?",
        "category": "str(20)?",
        "display_name": "str(30)?",
        "lookahead": "str(9)?",
    }
    for expected in (
        "POST /api/v1/books/{book-id}/borrow",
        "POST /login",
        "'shape' has no schema that can be read",
        "'far' has no schema",
        "other.yaml#/X is in another file",
        "'class' cannot name a field",
        "no maxLength, so 255 is assumed: blurb",
        "`pattern` is left out",
        "'extra' is an object of its own",
    ):
        assert expected in lost, f"{expected}\n---\n{lost}"
    assert "api.yaml:" in lost


def test_a_document_with_schemas_alone() -> None:
    document = {
        "openapi": "3.0.3",
        "components": {
            "schemas": {
                "User": {
                    "type": "object",
                    "required": ["email", "password"],
                    "properties": {
                        "email": {"type": "string"},
                        "password": {"type": "string"},
                        "tags": {"type": "array", "items": {"$ref": "#/components/schemas/Tag"}},
                        "nick": {"type": "string", "nullable": True, "maxLength": 9},
                    },
                },
                "Tag": {
                    "type": "object",
                    "required": ["label"],
                    "properties": {"label": {"type": "string", "maxLength": 9}},
                },
                "Error": {"type": "object", "properties": {"message": {"type": "string"}}},
            }
        },
    }
    service, lost = fitted(json.dumps(document))
    assert {resource.name for resource in service.resources} == {"user", "tag"}
    user = service.resource("user")
    assert user.identity
    assert [(link.name, link.target) for link in user.links] == [("tags", "tag")]
    assert "logs in" in lost


@pytest.mark.parametrize(
    "text",
    ["", "a: 1", "[1]", "openapi: 3.1.0", "openapi: 3.1.0\npaths: 5", "openapi: 3.1.0\npaths: {/x: {get: 5}}",
     "openapi: 3.1.0\ncomponents: {schemas: {A: {$ref: '#/components/schemas/A'}}}", "[" * 100_000, "{",
     "openapi: 3\nopenapi: 3",
     "openapi: 3.1.0\ncomponents: {schemas: {A: {allOf: [{$ref: '#/components/schemas/A'}]}}}"],
)  # fmt: skip
def test_documents_that_give_nothing(tool: Tool, text: str) -> None:
    (tool.folder / "api.yaml").write_text(text)
    result = tool("--from-openapi", "api.yaml")
    assert result.code == 2, result.envelope
    assert [path.name for path in tool.folder.iterdir()] == ["api.yaml"]


def test_references_that_branch_and_go_round_end_soon() -> None:
    schemas: dict[str, object] = {
        f"L{i}": {"allOf": [{"$ref": f"#/components/schemas/L{(i + 1) % 60}"}] * 20} for i in range(60)
    }
    schemas |= {f"D{i}": {"allOf": [{"$ref": f"#/components/schemas/D{i + 1}"}]} for i in range(5_000)}
    schemas["Note"] = {"allOf": [{"$ref": "#/components/schemas/L0"}], "properties": {"text": {"type": "string"}}}
    started = time.monotonic()
    service, _ = fitted(json.dumps({"openapi": "3.1.0", "components": {"schemas": schemas}}))
    assert [resource.name for resource in service.resources] == ["note"]
    assert time.monotonic() - started < 20


def test_the_tool_writes_a_specification_that_generates(tool: Tool) -> None:
    (tool.folder / "api.yaml").write_text(DOCUMENT)
    shown = tool("--from-openapi", "api.yaml", "--dry-run")
    assert shown.code == 0
    assert [path.name for path in tool.folder.iterdir()] == ["api.yaml"]
    result = tool("--from-openapi", "api.yaml")
    assert result.code == 0, result.envelope
    assert Path("resources.yaml").read_text() == shown.data["spec"]
    assert result.data["resources"] == ["book", "author"]
    assert tool("--spec", "resources.yaml").code == 0
    assert (tool.folder / "book-shop-service/app/books/model.py").exists()


def test_swagger_2_is_read_too() -> None:
    swagger = {
        "swagger": "2.0",
        "paths": {
            "/pets": {
                "get": {"responses": {"200": {"schema": {"type": "array", "items": {"$ref": "#/definitions/Pet"}}}}},
                "post": {"parameters": [{"in": "body", "schema": {"$ref": "#/definitions/Pet"}}]},
            },
            "/pets/{id}": {"get": {"responses": {"200": {"schema": {"$ref": "#/definitions/Pet"}}}}},
        },
        "definitions": {"Pet": {"properties": {"name": {"type": "string", "maxLength": 20}}, "required": ["name"]}},
    }
    service, _ = fitted(json.dumps(swagger))
    assert service.resource("pet").field("name").length == 20


def test_json_may_escape_characters_beyond_the_basic_plane() -> None:
    document = {
        "openapi": "3.0.3",
        "info": {"title": "Smiles 😀", "version": r"\ud83d\ude00"},
        "paths": {"/smiles": {"get": {"responses": {}}, "post": {"requestBody": {"content": {}}}}},
        "components": {"schemas": {"Smile": {"type": "object", "properties": {"face": {"type": "string"}}}}},
    }
    text = json.dumps(document)
    assert r"\ud83d\ude00" in text
    title, drafts, _ = read_openapi(text, "smiles.json")
    assert (title, [draft.name.value for draft in drafts]) == ("Smiles 😀", ["smile"])


def test_documents_of_large_apis_are_read_and_endless_ones_are_not() -> None:
    def document(size: int) -> str:
        return json.dumps({"openapi": "3.0.3", "info": {"title": "x", "description": "x" * size}, "paths": {}})

    assert read_openapi(document(6_000_000), "large.json")[0] == "x"
    with pytest.raises(InputError, match="at most"):
        read_openapi(document(17_000_000), "endless.json")
