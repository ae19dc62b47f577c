import time
import uuid
from typing import Any

import jwt
import pytest

from app import service as this
from tests.conftest import SECRET, People, Service
from tests.samples import NAMES, SAMPLES, together

OWNED = [name for name in NAMES if SAMPLES[name].owner]
LIMITED = [(name, operation) for name in NAMES for operation in SAMPLES[name].roles]
CALLS = {"list": "GET", "create": "POST", "read": "GET", "update": "PATCH", "delete": "DELETE"}


@pytest.mark.parametrize("name", OWNED)
def test_rows_of_others_are_not_there(name: str, people: People) -> None:
    sample, mine, theirs = SAMPLES[name], people.able(name, "create"), people.able(name, "create")
    made = people.make(name, mine)
    url = f"{sample.resource.path}/{made['id']}"
    for operation, method in CALLS.items():
        if operation in sample.operations - {"list", "create"}:
            body: dict[str, Any] = {"json": {}} if method == "PATCH" else {}
            headers = {"If-Match": '"1"'} if method in ("PATCH", "DELETE") else {}
            answer = theirs.request(method, url, headers=headers, **body)
            assert answer.status_code == (404 if together(name, "create", operation) else 403), operation
    if together(name, "create", "list"):
        assert theirs.get(sample.resource.path).json()["data"] == []
        counted = theirs.get(sample.resource.path, params={"total": "true"}).json()
        assert counted["pagination"]["total"] == 0
        assert [row["id"] for row in mine.get(sample.resource.path).json()["data"]] == [made["id"]]


@pytest.mark.parametrize("name", OWNED)
def test_rows_of_others_cannot_be_referred_to(name: str, people: People) -> None:
    sample, mine, theirs = SAMPLES[name], people.able(name, "create"), people.able(name, "create")
    for field, target in sample.references.items():
        if SAMPLES[target].owner:
            body = people.body(name, theirs)
            body[field] = people.make(target, mine)["id"]
            assert theirs.post(sample.resource.path, json=body).status_code == 422


@pytest.mark.parametrize(("name", "operation"), LIMITED)
def test_roles_are_needed(name: str, operation: str, people: People) -> None:
    sample, nobody = SAMPLES[name], people.new()
    path = sample.resource.path if operation in ("list", "create") else f"{sample.resource.path}/{uuid.uuid4()}"
    body: dict[str, Any] = {"json": sample.body()} if operation in ("create", "update") else {}
    answer = nobody.request(CALLS[operation], path, **body)
    allowed = this.ISSUES_TOKENS and "user" in sample.roles[operation]
    assert answer.status_code != 403 if allowed else answer.status_code == 403


def claims(**changes: Any) -> dict[str, Any]:
    now = int(time.time())
    standard = {"iss": this.NAME, "aud": this.NAME, "sub": str(uuid.uuid4()), "iat": now, "exp": now + 60}
    return {name: value for name, value in (standard | changes).items() if value is not None}


@pytest.mark.parametrize(
    ("changed", "algorithm", "key"),
    [
        ({"exp": 1}, "HS256", "ours"),
        ({"exp": None}, "HS256", "ours"),
        ({"aud": "somebody-else"}, "HS256", "ours"),
        ({"aud": None}, "HS256", "ours"),
        ({"iss": "somebody-else"}, "HS256", "ours"),
        ({"sub": None}, "HS256", "ours"),
        ({}, "HS512", "ours"),
        ({}, "HS256", "other"),
        ({}, "none", "none"),
    ],
)
def test_tokens_that_are_not_ours(changed: dict[str, Any], algorithm: str, key: str, service: Service) -> None:
    keys = {"ours": SECRET, "other": SECRET[::-1], "none": ""}
    token = jwt.encode(claims(**changed), keys[key], algorithm=algorithm)
    for name in NAMES:
        if "list" in SAMPLES[name].operations:
            answer = service.client(token).get(SAMPLES[name].resource.path)
            assert answer.status_code == 401
            assert 'error="invalid_token"' in answer.headers["www-authenticate"]
