"""The OpenAPI document: what the routes declare, with every error in the shape that it really has."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.routing import APIRoute

from app import idempotency, service
from app.errors import MEDIA_TYPE, ApiError, ErrorModel

_DESCRIPTIONS = {
    400: "The body is not JSON, or the cursor is not one of this list",
    401: "The token is missing or not valid",
    403: "The caller may not do this",
    404: "There is no such thing, or not for this caller",
    409: "The change conflicts with other data",
    412: "It has changed since it was read",
    413: "The body is too large",
    415: "The body is not application/json",
    422: "The request is not valid",
    428: "If-Match is required",
    429: "Too many requests",
}
_PROTECTED = (401, 403, 429)
_WITH_BODY = (400, 413, 415, 422)
CONDITIONAL = (412, *((428,) if service.REQUIRE_IF_MATCH else ()))
PUBLIC = (429,)
NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "The client has this version"}}
IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": service.REQUIRE_IF_MATCH,
    "schema": {"type": "string"},
    "description": "The ETag of the version that may be changed",
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "The ETag of the version that the client has",
}
IDEMPOTENCY_KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "schema": {"type": "string", "pattern": idempotency.PATTERN},
    "description": "Makes a retry safe: the same key gives the first answer again",
}


class JsonRoute(APIRoute):
    """A route whose body, where it takes one, is JSON: anything else is refused before it is read."""

    def get_route_handler(self) -> Any:
        """Return the handler."""
        handle = super().get_route_handler()
        if self.body_field is None:
            return handle

        async def checked(request: Request) -> Response:
            kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if kind != "application/json":
                raise ApiError(415, "Send application/json", headers={"Accept": "application/json"})
            return await handle(request)

        return checked


def documented(
    *errors: int, model: Any = None, status: int = 200, public: bool = False
) -> dict[int | str, dict[str, Any]]:
    """Return what a route declares: its success of `model`, and the errors it can give."""
    found: dict[int | str, dict[str, Any]] = {}
    if model is not None:
        found[status] = {"model": model}
    for code in sorted({*errors, *(PUBLIC if public else _PROTECTED)}):
        found[code] = {"model": ErrorModel, "description": _DESCRIPTIONS[code]}
    return found


def with_body(*errors: int) -> tuple[int, ...]:
    """Return `errors` and those that every route with a body can give."""
    return (*errors, *_WITH_BODY)


def install(app: FastAPI) -> None:
    """Make the document once, and tidy it."""
    build = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _tidied(build())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _tidied(document: dict[str, Any]) -> dict[str, Any]:
    for operations in document["paths"].values():
        for operation in operations.values():
            for status, response in operation["responses"].items():
                if int(status) >= 400 and "content" in response:  # noqa: PLR2004
                    schema = {"$ref": f"#/components/schemas/{ErrorModel.__name__}"}
                    response["content"] = {MEDIA_TYPE: {"schema": schema}}
    schemas = document.get("components", {}).get("schemas", {})
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    return document


def allowed_methods(app: FastAPI) -> dict[str, str]:
    """Return the value of Allow for each route template."""
    methods: dict[str, set[str]] = {}
    for path, operations in app.openapi()["paths"].items():
        methods[path] = {method.upper() for method in operations}
    found = {}
    for path, names in methods.items():
        found[path] = ", ".join(sorted(names | ({"HEAD"} if "GET" in names else set())))
    return found
