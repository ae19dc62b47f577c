"""Cursors: where a page ended, signed, and valid only for the list it came from.

A cursor holds text. It is read as the type of the column that the list is sorted by, so that one which was forged,
where the service has no secret to sign with, is refused as well.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from app.columns import Exact
from app.errors import ApiError
from app.patterns import keyset_cursor
from app.patterns.keyset_cursor import MAX_LENGTH, BadCursor, Position

__all__ = ["MAX_LENGTH", "Walk"]


@dataclass(frozen=True, slots=True)
class Walk:
    """One list in one order: a path, what it is sorted by, and its filters."""

    secret: bytes
    path: str
    sort: str
    filters: Mapping[str, Any]

    def encode(self, value: object, row_id: str) -> str:
        """Return the cursor behind a row; `value` is what the list is sorted by, as JSON shows it."""
        shown = value.isoformat() if isinstance(value, date) else str(value)
        return keyset_cursor.encode(self.secret, self._sort, self._filters, Position(shown, row_id))

    def decode(self, cursor: str, kind: sa.types.TypeEngine[Any]) -> tuple[Any, UUID]:
        """Return the sort value and the id that `cursor` holds.

        Raises:
            ApiError: 400, when it is damaged or belongs to another list.
        """
        try:
            position = keyset_cursor.decode(self.secret, self._sort, self._filters, cursor)
            return _parser(kind)(position.value), UUID(position.id)
        except (BadCursor, ValueError, TypeError, AttributeError, InvalidOperation) as error:
            raise ApiError(
                400, "The cursor does not belong to this list; start again without it", code="INVALID_CURSOR"
            ) from error

    @property
    def _sort(self) -> str:
        return f"{self.path} {self.sort}"

    @property
    def _filters(self) -> dict[str, str]:
        return {name: str(value) for name, value in self.filters.items()}


def _parser(kind: sa.types.TypeEngine[Any]) -> Callable[[str], Any]:
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


def _integer(value: str) -> int:
    number = int(value)
    if abs(number) >= 2**63:
        raise ValueError("no column holds it")
    return number


def _text(value: str) -> str:
    if not isinstance(value, str) or "\x00" in value:
        raise ValueError("not text")
    return value
