"""Idempotency-Key on POST: the first answer is stored in the transaction that made the row, and given again.

A key belongs to its caller. While the first request runs, a second one with its key gets 409; the same key with
another request gets 422. Only successes are stored, so a request that failed may be tried again with its key.
"""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import blake2b
from typing import Any

import orjson
import sqlalchemy as sa
from fastapi import Response

from app.calls import Call
from app.columns import TIME, metadata, now
from app.db import Connection, Transaction
from app.errors import ApiError
from app.patterns.idempotency import InProgress, Mismatch, settle

HEADER = "Idempotency-Key"
PATTERN = "^[A-Za-z0-9._:-]{1,255}$"
Work = Callable[[Connection], Awaitable[Response]]

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("caller", sa.String(255), primary_key=True),
    sa.Column("key", sa.String(255), primary_key=True),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("status", sa.Integer(), nullable=False),
    sa.Column("location", sa.String(255)),
    sa.Column("etag", sa.String(64)),
    sa.Column("body", sa.Text(), nullable=False),
    sa.Column("created_at", TIME, nullable=False),
    sa.Index("ix_idempotency_keys_created_at", "created_at"),
)
_columns = idempotency_keys.c
_this_key = (
    _columns.caller == sa.bindparam("of_caller", type_=_columns.caller.type),
    _columns.key == sa.bindparam("of_key", type_=_columns.key.type),
)
_find = sa.select(_columns.fingerprint, _columns.status, _columns.location, _columns.etag, _columns.body).where(
    *_this_key, _columns.created_at >= sa.bindparam("since", type_=TIME)
)
_forget = sa.delete(idempotency_keys).where(*_this_key)
_store = sa.insert(idempotency_keys).values(
    {column: sa.bindparam(f"v_{column.name}", type_=column.type) for column in _columns}
)
_purge = sa.delete(idempotency_keys).where(_columns.created_at < sa.bindparam("before", type_=TIME))


async def once(call: Call, key: str, request: dict[str, Any], work: Work) -> Response:
    """Return the answer of `work`, or the stored one where this caller's key was used for the same `request`.

    Raises:
        ApiError: 409 while the first request runs, 422 when the key was used for another one.
    """
    if not re.fullmatch(PATTERN, key):
        raise ApiError(422, "The request is not valid", errors=[(HEADER, f"must match {PATTERN}")])
    running: set[tuple[str, str]] = call.request.app.state.idempotent_calls
    claim = (call.caller.subject, key)
    if claim in running:
        raise _in_progress()
    running.add(claim)
    try:
        async with call.db.transaction() as transaction:
            return await settle(_Store(call, transaction, key), _digest(call, request), lambda: work(transaction))
    except InProgress:
        raise _in_progress() from None
    except Mismatch:
        raise ApiError(
            422, "This Idempotency-Key was used for another request", code="IDEMPOTENCY_KEY_REUSED"
        ) from None
    finally:
        running.discard(claim)


@dataclass(frozen=True, slots=True)
class _Store:
    """The table above; what has expired counts as not there."""

    call: Call
    transaction: Transaction
    key: str

    async def claim(self) -> bool:
        caller = self.call.caller.subject
        return await self.transaction.try_lock(f"idempotency:{len(caller)}:{caller}:{self.key}")

    async def find(self) -> tuple[bytes, Response] | None:
        since = now() - timedelta(hours=self.call.settings.idempotency_hours)
        stored = await self.transaction.rows(_find, {**self._names, "since": since})
        if not stored:
            return None
        fingerprint, status, location, etag, body = stored[0]
        headers = {"idempotency-replayed": "true"}
        headers |= {name: value for name, value in (("location", location), ("etag", etag)) if value}
        return bytes.fromhex(fingerprint), Response(body, status, headers, "application/json")

    async def keep(self, digest: bytes, answer: Response) -> None:
        await self.transaction.write(_forget, self._names)
        await self.transaction.write(
            _store,
            {
                "v_caller": self.call.caller.subject,
                "v_key": self.key,
                "v_fingerprint": digest.hex(),
                "v_status": answer.status_code,
                "v_location": answer.headers.get("location"),
                "v_etag": answer.headers.get("etag"),
                "v_body": bytes(answer.body).decode(),
                "v_created_at": now(),
            },
        )

    @property
    def _names(self) -> dict[str, str]:
        return {"of_caller": self.call.caller.subject, "of_key": self.key}


def _in_progress() -> ApiError:
    return ApiError(
        409, "A request with this Idempotency-Key is in progress", code="IN_PROGRESS", headers={"Retry-After": "1"}
    )


def _digest(call: Call, request: dict[str, Any]) -> bytes:
    # Keyed, because the request may hold a password and the digest is stored.
    secret = call.settings.jwt_secret
    key = blake2b(secret.get_secret_value().encode()).digest() if secret else b""
    content = orjson.dumps(
        [call.request.method, call.request.scope["path"], request], default=str, option=orjson.OPT_SORT_KEYS
    )
    return blake2b(content, digest_size=32, key=key).digest()


async def purge(connection: Connection, hours: int) -> None:
    """Delete the keys that are too old to be replayed."""
    await connection.write(_purge, {"before": now() - timedelta(hours=hours)})
