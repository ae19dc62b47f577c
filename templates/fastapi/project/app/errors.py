"""One shape for every error that leaves the service."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from http import HTTPStatus

import orjson
import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import Scope

from app import service
from app.db import ConstraintError, DatabaseUnavailableError
from app.patterns.problem_details import problem

MEDIA_TYPE = "application/problem+json" if service.ERROR_FORMAT == "problem" else "application/json"
MAX_LISTED = 50
MAX_TEXT = 200
_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "FORBIDDEN",
    404: "NOT_FOUND",
    405: "METHOD_NOT_ALLOWED",
    409: "CONFLICT",
    412: "PRECONDITION_FAILED",
    413: "CONTENT_TOO_LARGE",
    415: "UNSUPPORTED_MEDIA_TYPE",
    422: "VALIDATION_ERROR",
    428: "PRECONDITION_REQUIRED",
    429: "RATE_LIMITED",
    500: "INTERNAL_ERROR",
    503: "UNAVAILABLE",
}
log = structlog.get_logger()


class FieldError(BaseModel):
    """One thing that is wrong with the input."""

    field: str
    message: str


class Problem(BaseModel):
    """An error as RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    code: str
    requestId: str  # noqa: N815 - the name on the wire
    errors: list[FieldError] | None = None


class ErrorBody(BaseModel):
    """What went wrong."""

    code: str
    message: str
    details: list[FieldError] = []


class ErrorMeta(BaseModel):
    """About the answer."""

    requestId: str  # noqa: N815
    timestamp: datetime


class ErrorEnvelope(BaseModel):
    """An error in the envelope."""

    error: ErrorBody
    meta: ErrorMeta


ErrorModel: type[BaseModel] = Problem if service.ERROR_FORMAT == "problem" else ErrorEnvelope


class ApiError(HTTPException):
    """Raise it to answer with an error; `errors` are (field, message) pairs."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        code: str | None = None,
        errors: Sequence[tuple[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(status, detail, dict(headers) if headers else None)
        self.code, self.errors = code, errors


def body(
    scope: Scope, status: int, detail: str, *, code: str | None = None, errors: Sequence[tuple[str, str]] = ()
) -> bytes:
    """Return an error as bytes."""
    code = code or _CODES.get(status) or HTTPStatus(status).name
    request_id = scope.get("request_id", "")
    fields = [{"field": _safe(field), "message": _safe(message)} for field, message in errors[:MAX_LISTED]]
    if service.ERROR_FORMAT == "envelope":
        meta = {"requestId": request_id, "timestamp": datetime.now(UTC)}
        return orjson.dumps(
            {"error": {"code": code, "message": detail, "details": fields}, "meta": meta}, option=orjson.OPT_UTC_Z
        )
    instance = _safe(scope["path"])
    return orjson.dumps(problem(status, code, detail, instance=instance, request_id=request_id, errors=fields))


def answer(
    request: Request,
    status: int,
    detail: str,
    *,
    code: str | None = None,
    errors: Sequence[tuple[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return an error as a response."""
    return Response(body(request.scope, status, detail, code=code, errors=errors), status, headers, MEDIA_TYPE)


def _safe(text: object) -> str:
    # A client may send half of a surrogate pair, or a name of a megabyte.
    return str(text).encode("utf-8", "replace").decode()[:MAX_TEXT]


def _field(location: Sequence[int | str]) -> str:
    return ".".join(str(part) for part in location[1:]) or str(location[0] if location else "")


def install(app: FastAPI, allowed: "Mapping[str, str]") -> None:
    """Register the handlers; `allowed` gives the Allow header of each route template."""

    @app.exception_handler(ApiError)
    async def _api_error(request: Request, error: ApiError) -> Response:
        return answer(
            request, error.status_code, str(error.detail), code=error.code, errors=error.errors, headers=error.headers
        )

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> Response:
        headers = dict(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            # The router names the methods of the first route that fits; a path has several.
            headers = {"Allow": allowed.get(getattr(request.scope.get("route"), "path", ""), "GET, HEAD")}
            return answer(request, 405, f"{request.method} is not allowed here", headers=headers)
        if error.status_code == HTTPStatus.NOT_FOUND:
            return answer(request, 404, "There is nothing at this path")
        return answer(request, error.status_code, str(error.detail), headers=headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> Response:
        found = error.errors()
        if any(item["type"] == "json_invalid" for item in found):
            return answer(request, 400, "The body is not JSON", code="MALFORMED_JSON")
        # The values themselves are left out: they may be secrets.
        errors = [(_field(item["loc"]), item["msg"]) for item in found]
        return answer(request, 422, "The request is not valid", errors=errors)

    @app.exception_handler(DatabaseUnavailableError)
    async def _unavailable(request: Request, error: DatabaseUnavailableError) -> Response:
        log.error("database unavailable", reason=str(error))
        return answer(request, 503, "The service cannot answer now", headers={"Retry-After": "1"})

    @app.exception_handler(ConstraintError)
    async def _refused(request: Request, error: ConstraintError) -> Response:
        log.warning("constraint", kind=error.kind, constraint=error.name)
        return answer(request, 409, "The change conflicts with other data")
