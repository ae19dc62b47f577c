from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.conftest import People
from tests.samples import NAMES, SAMPLES, together
from tests.test_crud import all_rows

CREATABLE = [name for name in NAMES if together(name, "create", "list")][:2]
CHANGEABLE = [name for name in NAMES if together(name, "create", "read", "update")][:2]


def repeated(client: httpx.Client, times: int, method: str, url: str, **request: Any) -> list[httpx.Response]:
    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(lambda _: client.request(method, url, **request), range(times)))


@pytest.mark.parametrize("name", CREATABLE)
def test_concurrent_repeats_make_one_row(name: str, people: People) -> None:
    sample, client = SAMPLES[name], people.able(name, "create", "list")
    before = len(all_rows(client, sample.resource.path, {"limit": "100"}))
    body, headers = people.body(name, client), {"Idempotency-Key": f"repeat-{name}"}
    answers = repeated(client, 20, "POST", sample.resource.path, json=body, headers=headers)
    assert {answer.status_code for answer in answers} <= {201, 409}
    made = [answer for answer in answers if answer.status_code == 201]
    assert len({answer.json()["data"]["id"] for answer in made}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in made) == 1
    assert len(all_rows(client, sample.resource.path, {"limit": "100"})) == before + 1
    again = client.post(sample.resource.path, json=body, headers=headers)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
    assert again.content == next(a for a in made if "idempotency-replayed" not in a.headers).content


@pytest.mark.parametrize("name", CREATABLE)
def test_key_belongs_to_one_request_and_one_caller(name: str, people: People) -> None:
    sample, client, other = SAMPLES[name], people.able(name, "create"), people.able(name, "create")
    headers = {"Idempotency-Key": f"mine-{name}"}
    first = client.post(sample.resource.path, json=people.body(name, client), headers=headers)
    assert first.status_code == 201
    mismatch = client.post(sample.resource.path, json=people.body(name, client), headers=headers)
    assert mismatch.status_code == 422 or first.request.content == mismatch.request.content
    theirs = other.post(sample.resource.path, json=people.body(name, other), headers=headers)
    assert theirs.status_code == 201
    assert theirs.json()["data"]["id"] != first.json()["data"]["id"]
    bad = client.post(sample.resource.path, json=people.body(name, client), headers={"Idempotency-Key": "a b"})
    assert bad.status_code == 422


@pytest.mark.parametrize("name", CREATABLE)
def test_a_failed_request_may_be_tried_again_with_its_key(name: str, people: People) -> None:
    sample, client = SAMPLES[name], people.able(name, "create")
    if not sample.unique:
        pytest.skip("nothing in it can conflict")
    taken, headers = people.make(name, client), {"Idempotency-Key": f"again-{name}"}
    field = sample.unique[0]
    body = people.body(name, client)
    refused = client.post(sample.resource.path, json={**body, field: taken[field]}, headers=headers)
    assert refused.status_code == 409
    assert client.post(sample.resource.path, json=body, headers=headers).status_code == 201


@pytest.mark.parametrize("name", CHANGEABLE)
def test_no_update_is_lost(name: str, people: People) -> None:
    sample, client = SAMPLES[name], people.able(name, "update", "read")
    made = people.make(name, client if sample.owner else None)
    url = f"{sample.resource.path}/{made['id']}"
    for stale in ('"7"', "1", '""', '"99999999999"', 'W/"1"', "nonsense"):
        assert client.patch(url, json={}, headers={"If-Match": stale}).status_code == 412
    answers = repeated(client, 8, "PATCH", url, json={}, headers={"If-Match": '"1"'})
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    assert client.patch(url, json={}, headers={"If-Match": '"1", "2"'}).status_code == 200
    assert client.patch(url, json={}, headers={"If-Match": "*"}).status_code == 200
    assert client.get(url).json()["data"]["version"] == 4
