import json
import socket
import time
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest

from app import service as this
from app.errors import MEDIA_TYPE, ErrorModel
from tests.conftest import People, Service
from tests.samples import NAMES, SAMPLES, together

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")


def is_error(answer: httpx.Response, status: int) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == MEDIA_TYPE
    assert len(answer.headers["x-request-id"]) >= 8
    assert answer.headers["x-content-type-options"] == "nosniff"
    ErrorModel.model_validate(answer.json())
    assert answer.headers["x-request-id"] in answer.text


def test_every_error_has_one_shape(people: People) -> None:
    client, path = people.able(NAMES[0], "read"), SAMPLES[NAMES[0]].resource.path
    is_error(client.get("/nope"), 404)
    is_error(client.get("/api/v1/" + "x" * 2000), 404)
    is_error(people.anonymous().get(f"{path}/{uuid.uuid4()}"), 401)
    is_error(client.request("DELETE", path), 405)


def test_allow_names_every_method_of_a_path(service: Service) -> None:
    paths: dict[str, dict[str, Any]] = service.client().get("/openapi.json").json()["paths"]
    for template, operations in paths.items():
        path = "/".join(str(uuid.uuid4()) if part.startswith("{") else part for part in template.split("/"))
        known = {method.upper() for method in operations}
        known |= {"HEAD"} & ({"HEAD"} if "GET" in known else set())
        for method in {*METHODS} - known:
            answer = service.client().request(method, path)
            assert answer.status_code == 405, (method, path)
            assert answer.headers["allow"].split(", ") == sorted(known)


def test_unauthenticated_calls_are_challenged(service: Service) -> None:
    path = SAMPLES[NAMES[0]].resource.path
    for header in (None, "Bearer", "Bearer nope", "Basic dGVzdA==", "nope", "Bearer " + "e30." * 3):
        answer = service.client().get(f"{path}/{uuid.uuid4()}", headers={"Authorization": header} if header else {})
        if answer.status_code == 405:
            pytest.skip("it cannot be read")
        is_error(answer, 401)
        assert answer.headers["www-authenticate"].startswith("Bearer")


def writable() -> str | None:
    return next((name for name in NAMES if "create" in SAMPLES[name].operations), None)


def test_bodies_that_are_not_json(people: People) -> None:
    name = writable()
    if name is None:
        pytest.skip("nothing can be made")
    client, path = people.able(name, "create"), SAMPLES[name].resource.path
    as_json = {"Content-Type": "application/json"}
    is_error(client.post(path, content=b"{", headers=as_json), 400)
    is_error(client.post(path, content=b"\xff", headers=as_json), 400)
    is_error(client.post(path, content=b"[" * 90_000, headers=as_json), 400)
    is_error(client.post(path, content=b"{}", headers={"Content-Type": "text/plain"}), 415)
    is_error(client.post(path, content=b"{}"), 415)
    is_error(client.post(path, content=b"null", headers=as_json), 422)
    is_error(client.post(path, json=[]), 422)
    is_error(client.post(path, content=json.dumps({"\ud800": 1}), headers=as_json), 422)


def test_bodies_that_are_too_large(people: People) -> None:
    name = writable()
    if name is None:
        pytest.skip("nothing can be made")
    client, path = people.able(name, "create"), SAMPLES[name].resource.path

    def chunks() -> Iterator[bytes]:
        for _ in range(30):
            yield b" " * 10_000

    as_json = {"Content-Type": "application/json"}
    is_error(client.post(path, content=b" " * 200_000, headers=as_json), 413)
    is_error(client.post(path, content=chunks(), headers=as_json), 413)


def test_control_characters_are_refused_before_the_database(people: People) -> None:
    for name in NAMES:
        sample = SAMPLES[name]
        if "create" not in sample.operations:
            continue
        client = people.able(name, "create")
        body = people.body(name, client)
        for field, value in body.items():
            if isinstance(value, str) and field not in sample.secrets:
                answer = client.post(sample.resource.path, json={**body, field: f"{value}\x00"})
                is_error(answer, 422)


def test_host_header_decides_nothing(people: People) -> None:
    name = writable()
    if name is None:
        pytest.skip("nothing can be made")
    client = people.able(name, "create")
    body = people.body(name, client)
    answer = client.post(SAMPLES[name].resource.path, json=body, headers={"Host": "evil.example/api"})
    assert answer.status_code in (201, 400)
    assert "evil.example" not in answer.text + answer.headers.get("location", "")


def test_head_is_get_without_body(service: Service) -> None:
    answer = service.client().head("/livez")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


def test_request_id_is_kept_when_it_is_sane(service: Service) -> None:
    client = service.client()
    assert client.get("/livez", headers={"X-Request-ID": "abc-12345678"}).headers["x-request-id"] == "abc-12345678"
    assert client.get("/livez", headers={"X-Request-ID": "a b"}).headers["x-request-id"] != "a b"


def test_probes_and_metrics(service: Service) -> None:
    client = service.client()
    assert client.get("/livez").json() == {"status": "ok"}
    assert client.get("/readyz").json() == {"status": "ok"}
    path = SAMPLES[NAMES[0]].resource.path
    client.get(f"{path}/{uuid.uuid4()}")
    metrics = client.get("/metrics").text
    assert 'route="' + path in metrics
    assert "http_requests_in_flight" in metrics


def test_log_lines_are_json_with_ids(service: Service) -> None:
    trace = "0af7651916cd43dd8448eb211c80319c"
    headers = {"X-Request-ID": "log-line-test-1", "traceparent": f"00-{trace}-b7ad6b7169203331-01"}
    service.client().get("/livez", headers=headers)
    lines: list[dict[str, Any]] = []
    deadline = time.monotonic() + 10
    while not lines and time.monotonic() < deadline:
        lines = [json.loads(line) for line in service.log.read_text().splitlines() if "log-line-test-1" in line]
        time.sleep(0.02)
    assert [(line["status"], line["route"], line["trace_id"]) for line in lines] == [(200, "/livez", trace)]


def test_require_if_match(people: People) -> None:
    changeable = [name for name in NAMES if together(name, "create", "update")]
    for name in changeable:
        sample, client = SAMPLES[name], people.able(name, "update")
        made = people.make(name, client if sample.owner else None)
        client.headers.pop("If-Match", None)
        answer = client.patch(f"{sample.resource.path}/{made['id']}", json={})
        assert answer.status_code == (428 if this.REQUIRE_IF_MATCH else 200)


def test_garbage_does_not_stop_the_server(service: Service) -> None:
    parts = urlsplit(service.url)
    for junk in (b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"):
        with socket.create_connection((str(parts.hostname), parts.port or 0), timeout=5) as connection:
            connection.sendall(junk)
            connection.recv(100)
    assert service.client().get("/livez").status_code == 200
