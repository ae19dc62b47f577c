"""Success bodies, made as bytes; the models of `schemas` describe them and the contract test compares the two."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import Request, Response

from app.etags import tag
from app.resource import Item

_OPTIONS = orjson.OPT_UTC_Z


def meta(request: Request) -> dict[str, Any]:
    """Return what every answer says about itself."""
    return {"requestId": request.scope.get("request_id", ""), "timestamp": datetime.now(UTC)}


def dumps(value: object) -> bytes:
    """Return JSON."""
    return orjson.dumps(value, option=_OPTIONS)


def data(request: Request, value: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a success with `value` as its data."""
    return Response(dumps({"data": value, "meta": meta(request)}), status, headers, "application/json")


def item(request: Request, value: Item, status: int = 200, location: str | None = None) -> Response:
    """Return one thing with its entity tag."""
    headers = {"etag": tag(value["version"])}
    if location is not None:
        headers["location"] = location
    return data(request, value, status, headers)


def page(request: Request, items: list[Item], *, limit: int, cursor: str | None, total: int | None = None) -> Response:
    """Return one page of a list."""
    pagination: dict[str, Any] = {"limit": limit, "nextCursor": cursor, "hasMore": cursor is not None}
    if total is not None:
        pagination["total"] = total
    content = dumps({"data": items, "meta": meta(request), "pagination": pagination})
    return Response(content, 200, None, "application/json")
