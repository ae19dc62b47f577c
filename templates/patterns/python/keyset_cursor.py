"""Keyset pagination: an opaque, signed cursor that is bound to its sort and filters, and the condition it stands for.

Guarantees: a row that is there during the whole walk is seen once, also among equal sort values (the unique `id` breaks
    ties) and while others insert and delete; a cursor that was altered, made for another sort or filter, or comes
    from another version is refused.
Needs: the standard library; a secret of at least 32 bytes; an index on (sort column, id). Sort columns are NOT NULL,
    and their values short: some 3,000 bytes.
Fails: `BadCursor` (answer 400).
Prove: pytest test_keyset_cursor.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)

Ask for limit + 1 rows: the extra one says that there is more, and is not returned.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = 1
MAX_LENGTH = 4096
SIGNATURE = 16


class BadCursor(Exception):  # noqa: N818 - an outcome
    """The cursor does not belong to this query."""


@dataclass(frozen=True, slots=True)
class Position:
    """The last row of a page: its sort value and id, as text that the database can cast back."""

    value: str
    id: str


def encode(secret: bytes, sort: str, filters: Mapping[str, str], position: Position) -> str:
    """Return the cursor behind `position`; `sort` is as the client wrote it, `-created_at` for descending.

    Raises:
        ValueError: the values are too long for a cursor.
    """
    body = json.dumps([VERSION, position.value, position.id], separators=(",", ":"), ensure_ascii=False).encode()
    cursor = base64.urlsafe_b64encode(_sign(secret, sort, filters, body) + body).decode().rstrip("=")
    if len(cursor) > MAX_LENGTH:
        raise ValueError(f"a cursor has at most {MAX_LENGTH} characters: sort by something shorter")
    return cursor


def decode(secret: bytes, sort: str, filters: Mapping[str, str], cursor: str) -> Position:
    """Return the position that `encode` was given for the same sort and filters.

    Raises:
        BadCursor: it was not made by `encode` with these arguments.
    """
    try:
        if len(cursor) > MAX_LENGTH:
            raise ValueError("too long")
        raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        signature, body = raw[:SIGNATURE], raw[SIGNATURE:]
        if not hmac.compare_digest(signature, _sign(secret, sort, filters, body)):
            raise ValueError("signature")
        version, value, row_id = json.loads(body)
        if version != VERSION:
            raise ValueError("version")
    except (ValueError, binascii.Error, UnicodeEncodeError) as error:
        raise BadCursor("the cursor does not belong to this query") from error
    return Position(value, row_id)


def _sign(secret: bytes, sort: str, filters: Mapping[str, str], body: bytes) -> bytes:
    query = json.dumps([sort, sorted(filters.items())]).encode()
    return hmac.digest(secret, len(query).to_bytes(4, "big") + query + body, hashlib.sha256)[:SIGNATURE]
