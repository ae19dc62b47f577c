"""Idempotency keys on PostgreSQL: the answer is stored in the transaction that has the effect.

Guarantees: for one (scope, key) the effect happens once, whatever the number of concurrent or later repeats and
    whenever a process dies; a repeat gets the first answer, byte for byte. There is no "in progress" row that a
    crash could leave behind: the claim is a transaction-level advisory lock.
Needs: psycopg >= 3.1, PostgreSQL >= 11, the table of `SCHEMA`. `scope` is principal + route, never empty. With another
    driver or database, write a `Store` and call `settle` in a transaction: the rules are there, the SQL is yours.
Fails: `InProgress` (answer 409, with Retry-After) while the first call runs; `Mismatch` (answer 422) where the key
    was used with another request. An exception of the effect rolls everything back and stores nothing, so store
    only final outcomes: raise on anything that a retry may mend.
Prove: pytest test_idempotency.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)

draft-ietf-httpapi-idempotency-key-header. Delete rows older than the clients' retry window (at least 24 h):
DELETE FROM idempotency_key WHERE created_at < now() - interval '2 days'.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

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


T = TypeVar("T")


class Store(Protocol[T]):
    """The statements for one scope and key, in a transaction that ends after `settle`; `T` is an answer."""

    async def claim(self) -> bool:
        """Take the key until the transaction ends, without waiting; False when another transaction has it."""

    async def find(self) -> tuple[bytes, T] | None:
        """Return the digest and the answer that were kept, marked as replayed."""

    async def keep(self, digest: bytes, answer: T) -> None:
        """Store them."""


async def settle(store: Store[T], digest: bytes, effect: Callable[[], Awaitable[T]]) -> T:
    """Return the answer of `effect`, or the one that was kept for a request of the same `digest`.

    Raises:
        InProgress: another transaction works on the same key.
        Mismatch: the key was used with another request.
    """
    if not await store.claim():
        raise InProgress("the first call with this key has not ended")
    if (found := await store.find()) is not None:
        kept, answer = found
        if not hmac.compare_digest(kept, digest):
            raise Mismatch("the key was used with another request")
        return answer
    answer = await effect()
    await store.keep(digest, answer)
    return answer


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """The store of `run_once`."""

    connection: AsyncConnection[Any]
    scope: str
    key: str

    async def claim(self) -> bool:
        """Take the advisory lock of the key."""
        name = f"{len(self.scope)}:{self.scope}:{self.key}"
        claimed = await self.connection.execute("SELECT pg_try_advisory_xact_lock(hashtextextended(%s, 0))", [name])
        return bool((await claimed.fetchone() or (False,))[0])

    async def find(self) -> tuple[bytes, Answer] | None:
        """Read the key's row."""
        found = await self.connection.execute(
            "SELECT request_hash, status, body FROM idempotency_key WHERE scope = %s AND key = %s",
            [self.scope, self.key],
        )
        row = await found.fetchone()
        return None if row is None else (bytes(row[0]), Answer(row[1], bytes(row[2]), replayed=True))

    async def keep(self, digest: bytes, answer: Answer) -> None:
        """Insert the key's row."""
        await self.connection.execute(
            "INSERT INTO idempotency_key (scope, key, request_hash, status, body) VALUES (%s, %s, %s, %s, %s)",
            [self.scope, self.key, digest, answer.status, answer.body],
        )


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
        return await settle(PostgreSQL(connection, scope, key), digest, lambda: effect(connection))
