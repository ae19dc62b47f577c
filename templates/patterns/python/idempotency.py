"""Idempotency keys on PostgreSQL: the answer is stored in the transaction that has the effect.

Not needed where the whole effect is one INSERT into one table of the same database: a nullable key column there, UNIQUE
    (account, key), `INSERT … ON CONFLICT (account, key) DO NOTHING RETURNING`, and SELECT for the repeat do it, in
    autocommit. `charge_in_one_insert` in the proof is that form, with what else it needs: copy it instead of this.
Guarantees: for one (scope, key) the effect happens once, whatever the number of concurrent or later repeats and
    whenever a process dies or freezes; a repeat gets the first answer, byte for byte, also one that comes while the
    first is at work. There is no "in progress" row that a crash could leave behind: the claim is an advisory lock of
    the transaction.
Needs: psycopg >= 3.1, PostgreSQL >= 11, the table of `SCHEMA`; a connection for each call that is in no transaction and
    that no other task uses meanwhile (a pool's, for instance). `scope` is principal + route; keys are any text.
Fails: `InProgress` (answer 409, with Retry-After) where the first call has not ended within `wait`; `Mismatch` (answer
    422) where the key was used with another request. An exception of the effect rolls everything back and stores
    nothing, so store only final outcomes: raise on anything that a retry may mend.
Fit: catch the two where you call `run_once` and raise your own; other names of the table or its columns: edit `SCHEMA`
    and `PostgreSQL`. In a transaction of yours, or with another driver or database (write a `Store`), call `settle`.
Prove: pytest test_idempotency.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)

draft-ietf-httpapi-idempotency-key-header. Delete rows older than the clients' retry window (at least 24 h):
DELETE FROM idempotency_key WHERE created_at < now() - interval '2 days'.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from psycopg import AsyncConnection, AsyncCursor

SCHEMA = """
CREATE TABLE idempotency_key (
    id bytea PRIMARY KEY, -- of scope and key, see `identify`: they may be long, and hold what a text may not
    request_hash bytea NOT NULL,
    status smallint NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
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
    """The statements for one scope and key, in a transaction that ends after `settle`; `T` is an answer.

    Each must see what was committed before it began (read committed, or one writer at a time).
    """

    async def claim(self) -> bool:
        """Take the key until the transaction ends, without waiting; False when another transaction has it."""

    async def find(self) -> tuple[bytes, T] | None:
        """Return the digest and the answer that were kept, marked as replayed."""

    async def keep(self, digest: bytes, answer: T) -> None:
        """Store them."""


async def settle(store: Store[T], digest: bytes, effect: Callable[[], Awaitable[T]], *, wait: float = 0.0) -> T:
    """Return the answer of `effect`, or the one that was kept for a request of the same `digest`.

    Raises:
        InProgress: another transaction has worked on the same key for the `wait` seconds.
        Mismatch: the key was used with another request.
    """
    clock = asyncio.get_running_loop().time
    deadline, pause = clock() + wait, 0.01
    while True:
        claimed = await store.claim()
        # Without the claim too: those who wait for one answer must not queue for the claim to read it.
        if (found := await store.find()) is not None:
            kept, answer = found
            if not hmac.compare_digest(kept, digest):
                raise Mismatch("the key was used with another request")
            return answer
        if claimed:
            break
        if (left := deadline - clock()) <= 0:
            raise InProgress("the first call with this key has not ended")
        await asyncio.sleep(min(random.uniform(pause / 2, pause), left))  # noqa: S311 # nosec B311 - jitter
        pause = min(2 * pause, 0.1)
    answer = await effect()
    await store.keep(digest, answer)
    return answer


def identify(scope: str, key: str) -> bytes:
    """Return what stands for a scope and key in the table.

    Raises:
        ValueError: one of them is empty.
    """
    if not scope or not key:
        raise ValueError("scope and key must not be empty")
    first, second = (text.encode("utf-8", "surrogatepass") for text in (scope, key))
    return hashlib.sha256(hashlib.sha256(first).digest() + second).digest()


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """The store of `run_once`; `id` is what `identify` returns."""

    connection: AsyncConnection[Any]
    id: bytes

    async def claim(self) -> bool:
        """Take the advisory lock of the key."""
        claimed = await self._cursor().execute(
            "SELECT pg_try_advisory_xact_lock(%s::bigint)", [int.from_bytes(self.id[:8], "big", signed=True)]
        )
        return bool((await claimed.fetchone() or (False,))[0])

    async def find(self) -> tuple[bytes, Answer] | None:
        """Read the key's row."""
        found = await self._cursor().execute(
            "SELECT request_hash, status, body FROM idempotency_key WHERE id = %s", [self.id]
        )
        row = await found.fetchone()
        return None if row is None else (bytes(row[0]), Answer(row[1], bytes(row[2]), replayed=True))

    async def keep(self, digest: bytes, answer: Answer) -> None:
        """Insert the key's row."""
        await self._cursor().execute(
            "INSERT INTO idempotency_key (id, request_hash, status, body) VALUES (%s, %s, %s, %s)",
            [self.id, digest, answer.status, answer.body],
        )

    def _cursor(self) -> AsyncCursor[tuple[Any, ...]]:
        from psycopg.rows import tuple_row  # whatever rows the connection makes

        return self.connection.cursor(row_factory=tuple_row)


async def run_once(
    connection: AsyncConnection[Any],
    *,
    scope: str,
    key: str,
    request: bytes,
    effect: Callable[[AsyncConnection[Any]], Awaitable[Answer]],
    wait: float = 5.0,
    idle: float = 30.0,
) -> Answer:
    """Run `effect` once for (scope, key) and return its answer, or the stored one.

    `request` is the method, path and body as received. `effect` must use the connection that it is given, so that
    it commits together with its answer; what lies outside the database goes through an outbox. A repeat waits for the
    first call `wait` seconds, with its connection. A first call that says nothing to the database for `idle` seconds
    counts as lost: the server ends its connection, and the next one has the effect.

    Raises:
        InProgress: another transaction works on the same key.
        Mismatch: the key was used with another request.
        ValueError: scope or key is empty.
        RuntimeError: the connection is in a transaction, or another task is using it.
    """
    store, digest = PostgreSQL(connection, identify(scope, key)), hashlib.sha256(request).digest()
    if connection.info.transaction_status.name not in {"IDLE", "UNKNOWN"}:  # unknown: it is closed, and will say so
        raise RuntimeError("run_once() needs a connection that is in no transaction and that no other task uses")
    async with connection.transaction():
        # Whatever the defaults of server and role: repeats must see what was committed while they waited, and a process
        # that freezes must not keep the key.
        await connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
        await connection.execute(
            "SELECT set_config('idle_in_transaction_session_timeout', %s, true)", [f"{round(idle * 1000)}ms"]
        )
        return await settle(store, digest, lambda: effect(connection), wait=wait)
