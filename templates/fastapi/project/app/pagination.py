"""Cursors: where a page ended, valid only for the list it came from.

A cursor is opaque to clients and carries a version, so that its content may change between releases.
"""

import base64
import binascii
from collections.abc import Callable, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from hashlib import blake2b
from typing import Any
from uuid import UUID

import orjson
import sqlalchemy as sa

from app.columns import Exact
from app.errors import ApiError

VERSION = 1
MAX_LENGTH = 1024


def fingerprint(path: str, sort: str, filters: Mapping[str, Any]) -> str:
    """Return what identifies a list: its path, its order and its filters."""
    content = orjson.dumps([path, sort, sorted((name, str(value)) for name, value in filters.items())])
    return blake2b(content, digest_size=9).hexdigest()


def encode(of: str, value: object, row_id: str) -> str:
    """Return the cursor behind a row of the list whose fingerprint is `of`; `value` is what the list is sorted by."""
    content = orjson.dumps([VERSION, of, value, row_id], option=orjson.OPT_UTC_Z)
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def decode(cursor: str, of: str, kind: sa.types.TypeEngine[Any]) -> tuple[Any, UUID]:
    """Return the sort value and the id that `cursor` holds.

    Raises:
        ApiError: 400, when it is damaged or belongs to another list.
    """
    try:
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        version, belongs_to, value, row_id = orjson.loads(raw)
        if version != VERSION or belongs_to != of:
            raise ValueError("of another list")
        return _parser(kind)(value), UUID(row_id)
    except (ValueError, TypeError, AttributeError, InvalidOperation, binascii.Error) as error:
        raise ApiError(
            400, "The cursor does not belong to this list; start again without it", code="INVALID_CURSOR"
        ) from error


def _parser(kind: sa.types.TypeEngine[Any]) -> Callable[[Any], Any]:
    if isinstance(kind, Exact):
        return Decimal
    if isinstance(kind, sa.DateTime):
        return _time
    if isinstance(kind, sa.Date):
        return date.fromisoformat
    if isinstance(kind, sa.Uuid):
        return UUID
    return _integer if isinstance(kind, sa.Integer) else _text


def _time(value: str) -> datetime:
    time = datetime.fromisoformat(value)
    if time.tzinfo is None:
        raise ValueError("no zone")
    return time


def _integer(value: Any) -> int:
    if type(value) is not int or abs(value) >= 2**63:
        raise ValueError("not an integer")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\x00" in value:
        raise ValueError("not text")
    return value
