"""What wraps every request: ids, limits, security headers, one log line, metrics and the answer to a crash."""

import asyncio
import re
import time
from contextlib import suppress
from secrets import token_hex
from typing import Any

import structlog
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.errors import MEDIA_TYPE, ApiError, body
from app.observability import IN_FLIGHT, SECONDS, Tracing, trace_id

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{8,128}")
_HEADERS = [
    (b"x-content-type-options", b"nosniff"),
    (b"cache-control", b"no-store"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"strict-transport-security", b"max-age=31536000; includeSubDomains"),
]
_POLICY = (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'")
_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_MAX_DRAINED, _DRAIN_SECONDS = 16 * 2**20, 5.0
_UNMATCHED = "(no route)"
log = structlog.get_logger("access")


class Edge:
    """The outermost layer of the service."""

    def __init__(self, app: ASGIApp, *, max_body_bytes: int, tracing: Tracing) -> None:
        self._app, self._max_body, self._tracing = app, max_body_bytes, tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = _first(scope, b"x-request-id")
        request_id = given if given is not None and _REQUEST_ID.fullmatch(given) else token_hex(16).encode()
        scope["request_id"] = request_id.decode()
        exchange = _Exchange(scope, receive, send, self._max_body, request_id)
        started = time.perf_counter()
        IN_FLIGHT.inc()
        try:
            with self._tracing.span(scope["method"], Headers(scope=scope)) as span:
                traceparent = _first(scope, b"traceparent")
                scope["trace_id"] = trace_id(traceparent.decode("latin-1") if traceparent else None)
                try:
                    await exchange.run(self._app)
                finally:
                    _record(scope, exchange.status, time.perf_counter() - started, span)
        finally:
            IN_FLIGHT.dec()


class _Exchange:
    """One request and its answer."""

    def __init__(self, scope: Scope, receive: Receive, send: Send, max_body: int, request_id: bytes) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self._max_body, self._request_id = max_body, request_id
        self._seen = 0
        self._head = scope["method"] == "HEAD"
        self.status = 0

    async def run(self, app: ASGIApp) -> None:
        if self._head:
            self._scope["method"] = "GET"  # the routes know GET; the body is left out on the way back
        length = _first(self._scope, b"content-length")
        try:
            if length is not None and length.isdigit() and int(length) > self._max_body:
                raise self._too_large()
            await app(self._scope, self._limited, self._out)
        except ApiError as error:
            await self._drain()
            await self._answer(error.status_code, str(error.detail))
        except Exception:
            log.exception("request failed", **_ids(self._scope))
            if self.status:
                raise
            await self._answer(500, "Something went wrong; it was logged under this requestId")

    async def _limited(self) -> Message:
        message = await self._receive()
        if message["type"] == "http.request":
            self._seen += len(message.get("body", b""))
            if self._seen > self._max_body:
                raise self._too_large()
        return message

    async def _drain(self) -> None:
        """Read what is left of a refused body, within bounds: a client that is still sending would miss the answer."""
        if _first(self._scope, b"expect") is not None:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(_DRAIN_SECONDS):
                while self._seen <= _MAX_DRAINED:
                    message = await self._receive()
                    self._seen += len(message.get("body", b""))
                    if not message.get("more_body"):
                        return

    def _too_large(self) -> ApiError:
        return ApiError(413, f"The body may have {self._max_body} bytes")

    async def _out(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = message["headers"] = [*message.get("headers", ()), (b"x-request-id", self._request_id), *_HEADERS]
            if not self._scope["path"].startswith("/docs"):
                headers.append(_POLICY)
        elif self._head and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)

    async def _answer(self, status: int, detail: str) -> None:
        content = body(self._scope, status, detail)
        headers = [(b"content-type", MEDIA_TYPE.encode()), (b"content-length", str(len(content)).encode())]
        await self._out({"type": "http.response.start", "status": status, "headers": headers})
        await self._out({"type": "http.response.body", "body": content})


def _record(scope: Scope, status: int, seconds: float, span: Any) -> None:
    route = getattr(scope.get("route"), "path", _UNMATCHED)
    # A client may invent methods; each would be a time series of its own.
    SECONDS.labels(scope["method"] if scope["method"] in _METHODS else "OTHER", route, str(status)).observe(seconds)
    if span is not None:
        span.update_name(f"{scope['method']} {route}")
        span.set_attributes(
            {"http.request.method": scope["method"], "http.route": route, "http.response.status_code": status}
        )
    log.info(
        "request",
        method=scope["method"],
        route=route,
        status=status,
        ms=round(seconds * 1000, 2),
        caller=scope.get("subject"),
        **_ids(scope),
    )


def _ids(scope: Scope) -> dict[str, str]:
    return {"request_id": scope["request_id"], "trace_id": scope.get("trace_id", "")}


def _first(scope: Scope, name: bytes) -> bytes | None:
    for header, value in scope["headers"]:
        if header == name:
            return value  # type: ignore[no-any-return]
    return None
