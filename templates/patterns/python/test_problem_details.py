"""Proof of problem_details.py: one shape for every error, headers kept, nothing echoed."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from problem_details import ProblemError, install


class Login(BaseModel):
    email: str
    password: int


async def fine(request: Request) -> JSONResponse:
    return JSONResponse({})


async def conflict(request: Request) -> None:
    raise ProblemError(
        409, "email-taken", "A user with this email exists.", errors=[{"pointer": "#/email", "message": "taken"}]
    )


async def unauthorized(request: Request) -> None:
    raise HTTPException(401, "Log in.", headers={"WWW-Authenticate": 'Bearer realm="api"', "Content-Length": "999"})


async def crash(request: Request) -> None:
    raise RuntimeError("password=hunter2")


def call(method: str, path: str, **options: Any) -> httpx.Response:
    app = Starlette(
        routes=[
            Route("/fine", fine),
            Route("/conflict", conflict),
            Route("/login", unauthorized),
            Route("/crash", crash),
        ]
    )
    install(app)
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)

    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as client:
            return await client.request(method, path, **options)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/conflict", 409, "email-taken"),
        ("GET", "/login", 401, "unauthorized"),
        ("GET", "/missing", 404, "not-found"),
        ("DELETE", "/fine", 405, "method-not-allowed"),
        ("GET", "/crash", 500, "internal-error"),
    ],
)
def test_every_error_has_one_shape(method: str, path: str, status: int, code: str) -> None:
    response = call(method, path)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    body = response.json()
    assert {"type", "title", "status", "detail", "instance", "code", "requestId"} <= set(body)
    assert (body["status"], body["code"], body["instance"]) == (status, code, path)


def test_headers_that_matter_are_kept_and_the_length_is_right() -> None:
    response = call("GET", "/login")
    assert response.headers["www-authenticate"] == 'Bearer realm="api"'
    assert int(response.headers["content-length"]) == len(response.content)
    assert "GET" in call("POST", "/fine").headers["allow"]


def test_a_crash_tells_nothing_and_the_log_everything(caplog: pytest.LogCaptureFixture) -> None:
    response = call("GET", "/crash")
    assert "hunter2" not in response.text
    assert "hunter2" in caplog.text
    assert response.json()["requestId"] in caplog.text


def test_field_errors_are_listed() -> None:
    assert call("GET", "/conflict").json()["errors"] == [{"pointer": "#/email", "message": "taken"}]


def test_a_forged_host_does_not_reach_the_instance() -> None:
    body = json.dumps(call("GET", "/missing", headers={"Host": "evil.example/admin?"}).json())
    assert "evil" not in body


def test_fastapis_validation_names_the_place_and_echoes_no_value() -> None:
    app = FastAPI()
    install(app)

    @app.post("/login")
    async def login(body: Login) -> None:
        raise AssertionError(body)

    async def run() -> httpx.Response:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://api.example") as client:
            return await client.post("/login", json={"password": "hunter2"})

    response = asyncio.run(run())
    assert (response.status_code, response.headers["content-type"]) == (422, "application/problem+json")
    assert {error["pointer"] for error in response.json()["errors"]} == {"#/email", "#/password"}
    assert "hunter2" not in response.text


def test_a_status_that_no_standard_names_is_a_problem_too() -> None:
    async def odd(request: Request) -> None:
        raise HTTPException(499, "The client left.")

    app = Starlette(routes=[Route("/odd", odd)])
    install(app)

    async def run() -> httpx.Response:
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://api.example") as client:
            return await client.get("/odd")

    answer = asyncio.run(run())
    assert (answer.status_code, answer.json()["code"]) == (499, "status-499")
