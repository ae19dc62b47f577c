import uuid
from datetime import datetime
from typing import Any

import httpx
import pytest

from tests.conftest import People
from tests.samples import NAMES, SAMPLES, together

SERVER_OWNED = ("id", "version", "createdAt", "updatedAt")
each = pytest.mark.parametrize("name", NAMES)


def having(*operations: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("name", [name for name in NAMES if together(name, *operations)])


def same(sent: Any, shown: Any) -> bool:
    if isinstance(sent, str) and "T" in sent and isinstance(shown, str) and shown.endswith("Z"):
        return datetime.fromisoformat(sent) == datetime.fromisoformat(shown)
    return bool(sent == shown)


def shown_part(name: str, body: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in body.items() if field not in SAMPLES[name].secrets}


@having("create", "read")
def test_created_row_is_read_again(name: str, people: People) -> None:
    sample, client = SAMPLES[name], people.able(name, "create", "read")
    body = people.body(name, client)
    made = client.post(sample.resource.path, json=body)
    assert made.status_code == 201, made.text
    data = made.json()["data"]
    assert made.headers["location"] == f"{sample.resource.path}/{data['id']}"
    assert made.headers["etag"] == '"1"'
    for field, value in shown_part(name, body).items():
        assert same(value, data[field]), field
    assert not set(sample.secrets) & data.keys()
    reader = client if sample.resource.scope else people.able(name, "read")
    read = reader.get(made.headers["location"])
    assert read.json()["data"] == data
    assert reader.get(made.headers["location"], headers={"If-None-Match": '"1"'}).status_code == 304
    assert reader.get(made.headers["location"], headers={"If-None-Match": '"2"'}).status_code == 200


@having("create", "update")
def test_update_changes_what_it_names(name: str, people: People) -> None:
    sample, client = SAMPLES[name], people.able(name, "update")
    made = people.make(name, client if sample.resource.scope and not sample.resource.identity else None)
    url = f"{sample.resource.path}/{made['id']}"
    for field, value in shown_part(name, sample.body()).items():
        answer = client.patch(url, json={field: value})
        assert answer.status_code == 200, answer.text
        now = answer.json()["data"]
        assert same(value, now[field])
        assert now["version"] == made["version"] + 1
        assert answer.headers["etag"] == f'"{now["version"]}"'
        unchanged = now.keys() - {field, *SERVER_OWNED}
        assert {key: now[key] for key in unchanged} == {key: made[key] for key in unchanged}
        made = now
    body = people.body(name, client)
    answer = client.put(url, json=body)
    assert answer.status_code == 200, answer.text
    for field, value in shown_part(name, body).items():
        assert same(value, answer.json()["data"][field])


@having("create", "delete")
def test_deleted_row_is_gone(name: str, people: People) -> None:
    sample, client = SAMPLES[name], people.able(name, "delete")
    made = people.make(name, client if sample.resource.scope and not sample.resource.identity else None)
    url = f"{sample.resource.path}/{made['id']}"
    answer = client.delete(url)
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.delete(url).status_code == 404


@having("create")
def test_server_owned_and_unknown_fields_are_refused(name: str, people: People) -> None:
    client = people.able(name, "create")
    body = people.body(name, client)
    extra: dict[str, Any] = {"id": str(uuid.uuid4()), "version": 7, "createdAt": "2026-01-01T00:00:00Z", "nope": 1}
    if SAMPLES[name].owner:
        extra[str(SAMPLES[name].owner)] = str(uuid.uuid4())
    for field, value in extra.items():
        answer = client.post(SAMPLES[name].resource.path, json={**body, field: value})
        assert answer.status_code == 422
        assert field in [error["field"] for error in errors(answer)]


@having("create")
def test_missing_fields_are_all_named(name: str, people: People) -> None:
    answer = people.able(name, "create").post(SAMPLES[name].resource.path, json={})
    if SAMPLES[name].required:
        assert answer.status_code == 422
        assert {error["field"] for error in errors(answer)} == set(SAMPLES[name].required)
    else:
        assert answer.status_code == 201


@having("create", "update")
def test_null_is_refused_where_the_column_needs_a_value(name: str, people: People) -> None:
    sample, client = SAMPLES[name], people.able(name, "update")
    made = people.make(name, client if sample.resource.scope and not sample.resource.identity else None)
    for field in sample.required:
        answer = client.patch(f"{sample.resource.path}/{made['id']}", json={field: None})
        assert answer.status_code == 422, field


@having("create")
def test_values_that_must_be_unique(name: str, people: People) -> None:
    sample, client = SAMPLES[name], people.able(name, "create")
    made = people.make(name, client)
    for field in sample.unique:
        answer = client.post(sample.resource.path, json={**people.body(name, client), field: made[field]})
        assert answer.status_code == 409
        assert [error["field"] for error in errors(answer)] == [field]


@having("create")
def test_references_must_exist(name: str, people: People) -> None:
    sample, client = SAMPLES[name], people.able(name, "create")
    for field in sample.references:
        body = {**people.body(name, client), field: str(uuid.uuid4())}
        answer = client.post(sample.resource.path, json=body)
        assert answer.status_code == 422
        assert [error["field"] for error in errors(answer)] == [field]


@having("create", "list")
def test_pages_hold_every_row_once_in_order(name: str, people: People) -> None:
    sample, client = SAMPLES[name], people.able(name, "list", "create")
    maker = client if sample.resource.scope and not sample.resource.identity else None
    made = [people.make(name, maker)["id"] for _ in range(5)]
    for sort in sample.sorts:
        rows = all_rows(client, sample.resource.path, {"sort": sort, "limit": "2"})
        found = [row["id"] for row in rows]
        assert len(found) == len(set(found))
        assert set(made) <= set(found)
        if sort.removeprefix("-") in ("createdAt", "updatedAt"):
            keys = [(row[sort.removeprefix("-")], row["id"]) for row in rows]
            assert keys == sorted(keys, reverse=sort.startswith("-"))
    total = client.get(sample.resource.path, params={"total": "true", "limit": "1"}).json()["pagination"]
    assert total["total"] >= len(made)
    assert total["hasMore"] is True


def all_rows(client: httpx.Client, path: str, params: dict[str, str]) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        answer = client.get(path, params=params | ({"cursor": cursor} if cursor else {}))
        assert answer.status_code == 200, answer.text
        page = answer.json()
        rows += page["data"]
        cursor = page["pagination"]["nextCursor"]
        assert page["pagination"]["hasMore"] is (cursor is not None)
        if cursor is None:
            return rows


@having("create", "list")
def test_cursor_belongs_to_its_list(name: str, people: People) -> None:
    sample, client = SAMPLES[name], people.able(name, "list", "create")
    maker = client if sample.resource.scope and not sample.resource.identity else None
    for _ in range(2):
        people.make(name, maker)
    page = client.get(sample.resource.path, params={"limit": "1"}).json()
    cursor = page["pagination"]["nextCursor"]
    assert client.get(sample.resource.path, params={"cursor": cursor}).status_code == 200
    elsewhere = {"cursor": cursor, "sort": "createdAt"}
    for params in (elsewhere, {"cursor": cursor[:-2]}, {"cursor": "x"}, {"cursor": "e30"}):
        assert client.get(sample.resource.path, params=params).status_code == 400
    for params in ({"limit": "0"}, {"limit": "101"}, {"limit": "1.0"}, {"sort": "password"}, {"nope": "1"}):
        assert client.get(sample.resource.path, params=params).status_code == 422


def errors(answer: httpx.Response) -> list[dict[str, str]]:
    body = answer.json()
    return list(body["error"]["details"] if "error" in body else body["errors"])
