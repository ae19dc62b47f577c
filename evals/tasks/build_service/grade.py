"""Starts the service and uses it as two customers, a client that repeats itself, and one that sends nonsense."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evals.grading import Check, check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

START_SECONDS = 120.0
PASSWORD = "correct horse battery 9"


@dataclass(frozen=True)
class Answer:
    """Status, headers and body of a response; `json` is None where the body is none."""

    status: int
    headers: Mapping[str, str]
    json: Any


@dataclass(frozen=True)
class Client:
    """Somebody who calls the service."""

    base: str
    token: str | None = None

    def call(self, method: str, path: str, body: object = None, **headers: str) -> Answer:
        """Send one request; `body` is sent as JSON, or as it is when it is bytes."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        if self.token:
            sent["Authorization"] = f"Bearer {self.token}"
        request = urllib.request.Request(self.base + path, data, sent, method=method)
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return _answer(response.status, response.headers, response.read())
        except urllib.error.HTTPError as error:
            return _answer(error.code, error.headers, error.read())

    def order(self, **fields: object) -> dict[str, Any]:
        """Make an order and return it."""
        answer = self.call("POST", "/api/v1/orders", {"note": "n", "quantity": 1, **fields})
        assert answer.status == 201, f"creating an order: {answer.status} {answer.json}"
        return dict(answer.json["data"])

    def orders(self, limit: int = 7) -> list[str]:
        """Return the ids of all pages."""
        found: list[str] = []
        cursor = ""
        for _ in range(50):
            page = self.call("GET", f"/api/v1/orders?limit={limit}{cursor}").json
            assert len(page["data"]) <= limit, f"{len(page['data'])} orders on a page of {limit}"
            found += [order["id"] for order in page["data"]]
            if not page["pagination"]["hasMore"]:
                return found
            cursor = f"&cursor={page['pagination']['nextCursor']}"
        raise AssertionError("the pages never end")


def _answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    try:
        return Answer(status, headers, json.loads(body) if body else None)
    except ValueError:
        return Answer(status, headers, None)


@contextlib.contextmanager
def _service(workspace: Path) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = (workspace / "service.log").open("wb")
    running = subprocess.Popen(
        ["/bin/sh", "./run.sh", str(port)], cwd=workspace, stdout=log, stderr=log, start_new_session=True
    )
    base = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and running.poll() is None:
            with contextlib.suppress(OSError):
                if Client(base).call("GET", "/readyz").status == 200:
                    break
            time.sleep(0.1)
        yield base
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGTERM)
        try:
            running.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)
        log.close()


def _customer(base: str) -> Client:
    account = {"email": f"{secrets.token_hex(6)}@example.com", "password": PASSWORD, "name": "A"}
    registered = Client(base).call("POST", "/api/v1/auth/register", account)
    assert registered.status == 201, f"registering: {registered.status} {registered.json}"
    login = {name: account[name] for name in ("email", "password")}
    answer = Client(base).call("POST", "/api/v1/auth/login", login)
    assert answer.status == 200, f"logging in: {answer.status} {answer.json}"
    return Client(base, answer.json["data"]["accessToken"])


def grade(workspace: Path) -> list[Check]:
    """Return the checks for a workspace with run.sh."""
    with _service(workspace) as base:

        def life() -> str:
            alice = _customer(base)
            made = alice.order(note="first", quantity=3)
            path = f"/api/v1/orders/{made['id']}"
            assert alice.call("GET", path).json["data"]["note"] == "first"
            changed = alice.call("PATCH", path, {"quantity": 5}, Content_Type="application/merge-patch+json")
            if changed.status == 415:
                changed = alice.call("PATCH", path, {"quantity": 5})
            assert changed.json["data"]["quantity"] == 5, changed
            assert changed.json["data"]["note"] == "first", "PATCH lost a field"
            assert alice.call("DELETE", path).status in (200, 204)
            assert alice.call("GET", path).status == 404
            return "create, read, change, delete"

        def owners() -> str:
            alice, bob = _customer(base), _customer(base)
            made = alice.order()
            path = f"/api/v1/orders/{made['id']}"
            tries = [bob.call("GET", path), bob.call("PATCH", path, {"quantity": 9}), bob.call("DELETE", path)]
            assert [answer.status for answer in tries] == [404] * 3, f"another's order: {[a.status for a in tries]}"
            assert made["id"] not in bob.orders()
            assert Client(base).call("GET", path).status == 401
            assert alice.call("GET", path).json["data"]["quantity"] == 1
            return "strangers get 404, nobody 401"

        def pages() -> str:
            alice = _customer(base)
            with ThreadPoolExecutor(8) as pool:
                made = {order["id"] for order in pool.map(lambda _: alice.order(), range(40))}
            found = alice.orders()
            assert len(found) == len(set(found)) == 40, (
                f"{len(set(found))} of 40 orders, {len(found)} rows in the pages"
            )
            assert set(found) == made
            first = alice.call("GET", "/api/v1/orders?limit=5").json
            alice.order()
            cursor = first["pagination"]["nextCursor"]
            second = alice.call("GET", f"/api/v1/orders?limit=5&cursor={cursor}").json
            both = [order["id"] for order in first["data"] + second["data"]]
            assert len(set(both)) == 10, "an order made between two pages repeats or drops another"
            return "40 orders, each once"

        def repeats() -> str:
            alice = _customer(base)
            key = secrets.token_hex(8)

            def repeat(_: int) -> int:
                body = {"note": "once", "quantity": 2}
                return alice.call("POST", "/api/v1/orders", body, Idempotency_Key=key).status

            with ThreadPoolExecutor(20) as pool:
                statuses = list(pool.map(repeat, range(20)))
            assert set(statuses) <= {200, 201, 409}, f"repeats were answered {sorted(set(statuses))}"
            assert len(alice.orders()) == 1, f"20 repeats made {len(alice.orders())} orders"
            other = alice.call("POST", "/api/v1/orders", {"note": "x", "quantity": 3}, Idempotency_Key=key).status
            assert 400 <= other < 500, f"another request under the same key: {other}"
            return "20 repeats, one order"

        def lost_updates() -> str:
            alice = _customer(base)
            path = f"/api/v1/orders/{alice.order()['id']}"
            tag = alice.call("GET", path).headers.get("ETag")
            assert tag, "no ETag"
            assert alice.call("PATCH", path, {"quantity": 2}, If_Match=tag).status == 200
            assert alice.call("PATCH", path, {"quantity": 3}, If_Match=tag).status == 412, "a stale If-Match was taken"
            return "the second writer got 412"

        def nonsense() -> str:
            alice = _customer(base)
            path = f"/api/v1/orders/{alice.order()['id']}"
            bad = [
                alice.call("POST", "/api/v1/orders", {"note": "n", "quantity": 0}),
                alice.call("POST", "/api/v1/orders", {"note": "n", "quantity": 1, "id": "mine", "ownerId": "x"}),
                alice.call("POST", "/api/v1/orders", b"{"),
                alice.call("POST", "/api/v1/orders", {"note": "a\u0000b", "quantity": 2**70}),
                alice.call("PATCH", path, {"note": None}),
                alice.call("GET", "/api/v1/orders?limit=1&cursor=nonsense"),
                alice.call("GET", "/api/v1/nothing"),
                alice.call("PUT", "/api/v1/auth/login", {}),
            ]
            wrong = [answer.status for answer in bad if not 400 <= answer.status < 500]
            assert not wrong, f"nonsense was answered {wrong}"
            kinds = {answer.headers.get("Content-Type", "").partition(";")[0] for answer in bad}
            assert kinds == {"application/problem+json"}, f"errors come as {kinds}"
            return f"{len(bad)} kinds of nonsense, {len(bad)} problem details"

        return [
            check("an order lives and dies", life),
            check("orders belong to who made them", owners),
            check("pages show every order once", pages),
            check("concurrent repeats of a request make one order", repeats),
            check("a stale write is refused", lost_updates),
            check("nonsense gets problem details", nonsense),
        ]
