"""Idempotency keys on PostgreSQL: the answer is stored in the transaction that has the effect.

Guarantees: for one (scope, key) the effect happens once, whatever the number of concurrent or later repeats and
    whenever a process dies; a repeat gets the first answer, byte for byte. There is no "in progress" row that a
    crash could leave behind: the claim is a transaction-level advisory lock.
Needs: psycopg >= 3.1, PostgreSQL >= 11, the table of `SCHEMA`. `scope` is principal + route, never empty.
Fails: `InProgress` (answer 409, with Retry-After) while the first call runs; `Mismatch` (answer 422) where the key
    was used with another request. An exception of the effect rolls everything back and stores nothing, so store
    only final outcomes: raise on anything that a retry may mend.
Prove: pytest test_idempotency.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)

draft-ietf-httpapi-idempotency-key-header. Delete rows older than the clients' retry window (at least 24 h):
DELETE FROM idempotency_key WHERE created_at < now() - interval '2 days'.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from psycopg import AsyncConnection

SCHEMA = """
CREATE TABLE idempotency_key (
    scope text NOT NULL,
    key text NOT NULL CHECK (length(key) BETWEEN 1 AND 255),
    request_hash bytea NOT NULL,
    status smallint NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_key_created_at ON idempotency_key (created_at);
"""


class InProgress(Exception):  # noqa: N818 - an outcome
    """The first call with this key has not ended."""


class Mismatch(Exception):  # noqa: N818
    """The key was used with another request."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the client gets; `replayed` is True where the effect had happened before."""

    status: int
    body: bytes
    replayed: bool = False


async def run_once(
    connection: AsyncConnection[Any],
    *,
    scope: str,
    key: str,
    request: bytes,
    effect: Callable[[AsyncConnection[Any]], Awaitable[Answer]],
) -> Answer:
    """Run `effect` once for (scope, key) and return its answer, or the stored one.

    `request` is the method, path and body as received. `effect` must use the connection that it is given, so that
    it commits together with its answer; what lies outside the database goes through an outbox.

    Raises:
        InProgress: another transaction works on the same key.
        Mismatch: the key was used with another request.
    """
    digest = hashlib.sha256(request).digest()
    async with connection.transaction():
        claimed = await connection.execute(
            "SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [f"{len(scope)}:{scope}:{key}"]
        )
        if not (await claimed.fetchone() or (False,))[0]:
            raise InProgress(key)
        found = await connection.execute(
            "SELECT request_hash, status, body FROM idempotency_key WHERE scope = %s AND key = %s", [scope, key]
        )
        if row := await found.fetchone():
            if bytes(row[0]) != digest:
                raise Mismatch(key)
            return Answer(row[1], bytes(row[2]), replayed=True)
        answer = await effect(connection)
        await connection.execute(
            "INSERT INTO idempotency_key (scope, key, request_hash, status, body) VALUES (%s, %s, %s, %s, %s)",
            [scope, key, digest, answer.status, answer.body],
        )
        return answer
