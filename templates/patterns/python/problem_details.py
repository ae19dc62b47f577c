"""RFC 9457 problem details for every error of a Starlette or FastAPI application, also the ones no handler sees.

Guarantees: unknown routes, wrong methods (with `Allow`), validation, HTTPException (its headers kept), your own
    `ProblemError` and crashes all answer `application/problem+json` of one shape; a crash tells the client its request
    id and nothing else; values that were sent are never echoed (they may be passwords).
Needs: starlette >= 0.40; FastAPI's RequestValidationError is handled where FastAPI is there.
Fails: an error after the response has begun cannot be reported: the connection is closed, as ASGI demands.
Prove: pytest test_problem_details.py
"""

from __future__ import annotations

import json
import logging
import uuid
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, cast

from starlette.exceptions import HTTPException
from starlette.responses import Response

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.applications import Starlette
    from starlette.requests import Request

log = logging.getLogger(__name__)


class ProblemError(Exception):
    """Raise it to answer with a problem; `code` is stable and documented, `detail` is for people."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        errors: Sequence[Mapping[str, str]] = (),
    ) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail = status, code, detail
        self.headers, self.errors = dict(headers or {}), list(errors)


def install(app: Starlette) -> None:
    """Register the handlers; call it once, after the application is made."""
    app.add_exception_handler(ProblemError, _problem)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _crash)
    try:
        from fastapi.exceptions import RequestValidationError
    except ImportError:
        return
    app.add_exception_handler(RequestValidationError, _invalid)


def respond(
    request: Request,
    status: int,
    code: str,
    detail: str,
    headers: Mapping[str, str] | None = None,
    errors: Sequence[Mapping[str, str]] = (),
) -> Response:
    """Return the problem as a response; `errors` holds `pointer` (RFC 6901) and `message` for each wrong input."""
    # scope["path"], never request.url: that is built from the Host header, which is the client's to choose.
    body = problem(status, code, detail, instance=request.scope["path"], request_id=request_id(request), errors=errors)
    # Content-Length of the original answer would be wrong for this one.
    kept = {name: value for name, value in (headers or {}).items() if name.lower() != "content-length"}
    return Response(json.dumps(body), status, kept, "application/problem+json")


def problem(
    status: int,
    code: str,
    detail: str,
    *,
    instance: str,
    request_id: str,
    errors: Sequence[Mapping[str, str]] = (),
) -> dict[str, Any]:
    """Return the members of a problem (RFC 9457, section 3.1); `code` names the type as well."""
    members: dict[str, Any] = {
        "type": f"urn:problem:{code.lower().replace('_', '-')}",
        "title": _phrase(status),
        "status": status,
        "detail": detail,
        "instance": instance,
        "code": code,
        "requestId": request_id,
    }
    return members | ({"errors": list(errors)} if errors else {})


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # 499, 520 and others that servers made up
        return f"Status {status}"


def request_id(request: Request) -> str:
    """Return the id of the request; a middleware may have set `request.state.request_id`."""
    if not hasattr(request.state, "request_id"):
        request.state.request_id = uuid.uuid4().hex
    return str(request.state.request_id)


async def _problem(request: Request, error: Exception) -> Response:
    known = cast("ProblemError", error)
    return respond(request, known.status, known.code, known.detail, known.headers, known.errors)


async def _http(request: Request, error: Exception) -> Response:
    known = cast("HTTPException", error)
    code = _phrase(known.status_code).lower().replace(" ", "-")
    return respond(request, known.status_code, code, str(known.detail), known.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    found = []
    for problem in error.errors():  # type: ignore[attr-defined]
        where, *path = [str(part).replace("~", "~0").replace("/", "~1") for part in problem["loc"]] or [""]
        pointer = "#/" + "/".join(path) if where == "body" else f"{where}:{'/'.join(path)}"
        found.append({"pointer": pointer, "message": problem["msg"]})
    return respond(request, 422, "validation-failed", "The request is not valid.", errors=found)


async def _crash(request: Request, error: Exception) -> Response:
    log.error("unhandled error in request %s", request_id(request), exc_info=error)
    return respond(request, 500, "internal-error", "Something went wrong; quote the requestId when you report it.")
