"""Refresh tokens on PostgreSQL: opaque, stored hashed, rotated at each use, the family revoked on reuse.

Guarantees: a token works once; of concurrent uses of one token exactly one gets the successor, the others within
    `grace` seconds are told to wait for it (`Superseded`, not a theft: browsers do race, and one that waited for a
    slow transaction counts from when it came); a use after that revokes the whole family, the thief's and the
    victim's tokens alike; a revocation also ends the successor of a rotation that runs beside it; nothing outlives
    `absolute` seconds.
Needs: psycopg >= 3.1, PostgreSQL >= 11, the tables of `SCHEMA`; for `rotate` a connection that is in no transaction
    (the exception would roll the revocation back) and that no other task uses. Check that the user may still log in
    before you answer.
Fails: `Superseded` (409 or 401: the client uses the successor it already has), `Invalid` (401: log in again),
    `Reused` (401, a subclass of `Invalid`: log in again, and tell somebody).
Fit: times are parameters. With one exception of the project's:
        async def refresh(connection, token):
            try:
                issued = await rotate(connection, token, grace=2.0)
            except (Invalid, Superseded) as error:
                raise Denied from error
            return issued.subject, issued.token
    Your session table can be the family: replace the words `refresh_family`, `refresh_token` and `subject` here and in
    the proof; `subject` may have another type. With another driver or database, write a `Store` and call `exchange` in
    a transaction: the rules are there.
Prove: pytest test_refresh_tokens.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)

RFC 9700, section 4.14.2. The token is 256 random bits, so a plain SHA-256 is enough: there is nothing to guess.
Used tokens stay until their family ends, to be recognised: DELETE FROM refresh_family WHERE expires_at < now().
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from psycopg import AsyncConnection, AsyncCursor

SCHEMA = """
CREATE TABLE refresh_family (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    subject text NOT NULL,
    expires_at timestamptz NOT NULL
);
CREATE INDEX refresh_family_subject ON refresh_family (subject);
CREATE INDEX refresh_family_expires_at ON refresh_family (expires_at);
CREATE TABLE refresh_token (
    hash bytea PRIMARY KEY,
    family bigint NOT NULL REFERENCES refresh_family (id) ON DELETE CASCADE,
    used_at timestamptz,
    expires_at timestamptz NOT NULL
);
CREATE INDEX refresh_token_family ON refresh_token (family);
"""
END_FAMILY = "DELETE FROM refresh_family WHERE id = (SELECT family FROM refresh_token WHERE hash = %s)"
FROZEN = "10s"
"""After so long without a statement the server takes the process for lost and frees its locks."""


class Invalid(Exception):  # noqa: N818 - an outcome
    """The token is unknown, expired or revoked."""


class Reused(Invalid):
    """The token had been used before; its family is revoked now."""


class Superseded(Exception):  # noqa: N818
    """A concurrent request has just rotated it."""


@dataclass(frozen=True, slots=True)
class Issued:
    """`token` goes to the client and is not kept here."""

    token: str
    subject: str


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """Return what is stored of a token."""
    # A client may send any text, lone surrogates too: that is a wrong token and no crash.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Store(Protocol):
    """The statements behind `exchange`, in a transaction that commits after it, whatever it returns.

    Each must see what was committed before it began (read committed, or one writer at a time).
    """

    async def lock(self, used: bytes) -> str | None:
        """Lock the family of a token, as revocations do, and return its subject; None when the token is unknown."""

    async def use(self, used: bytes) -> bool:
        """Mark a token as used; False when it was used before, has expired or is gone."""

    async def succeed(self, used: bytes, successor: bytes) -> None:
        """Insert the successor into the family."""

    async def seconds_since_use(self, used: bytes) -> float | None:
        """Return how long before the transaction began a token was used; None when it was not, or is gone."""

    async def end_family(self, used: bytes) -> None:
        """Delete every token of the family."""


async def exchange(store: Store, token: str, *, grace: float = 10.0) -> Issued | Superseded | Invalid:
    """Use up `token` and return its successor, or the error that is to be raised after the commit."""
    used, successor = digest(token), new_token()
    # The family is locked before its tokens, as revocations do: one that comes meanwhile waits and takes the
    # successor along; one that came first leaves nothing to rotate.
    subject = await store.lock(used)
    if subject is None:
        return Invalid("unknown")
    if await store.use(used):
        await store.succeed(used, digest(successor))
        return Issued(successor, subject)
    seconds = await store.seconds_since_use(used)
    if seconds is None:
        return Invalid("expired or revoked")
    if seconds < grace:
        return Superseded("rotated a moment ago")
    await store.end_family(used)
    return Reused("used before")


async def issue(
    connection: AsyncConnection[Any], subject: str, *, idle: float = 14 * 86400, absolute: float = 90 * 86400
) -> Issued:
    """Begin a family after a login; it ends after `absolute` seconds, or `idle` seconds without use."""
    token = new_token()
    await connection.execute(
        """
        WITH begun AS (
            INSERT INTO refresh_family (subject, expires_at)
            VALUES (%(subject)s, now() + make_interval(secs => %(absolute)s)) RETURNING id, expires_at
        )
        INSERT INTO refresh_token (hash, family, expires_at)
        SELECT %(hash)s, id, least(now() + make_interval(secs => %(idle)s), expires_at) FROM begun
        """,
        {"hash": digest(token), "subject": subject, "idle": idle, "absolute": absolute},
    )
    return Issued(token, subject)


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """The store of `rotate`; `idle` is in seconds."""

    connection: AsyncConnection[Any]
    idle: float

    async def lock(self, used: bytes) -> str | None:
        """Lock the row of the family."""
        locked = await self._cursor().execute(
            """
            SELECT family.subject FROM refresh_family AS family JOIN refresh_token ON refresh_token.family = family.id
            WHERE refresh_token.hash = %s FOR UPDATE OF family
            """,
            [used],
        )
        row = await locked.fetchone()
        return None if row is None else str(row[0])

    async def use(self, used: bytes) -> bool:
        """A statement of its own, because only then it sees what was committed while the lock was awaited."""
        found = await self._cursor().execute(
            """
            UPDATE refresh_token SET used_at = clock_timestamp()
            WHERE hash = %s AND used_at IS NULL AND expires_at > clock_timestamp() RETURNING true
            """,
            [used],
        )
        return await found.fetchone() is not None

    async def succeed(self, used: bytes, successor: bytes) -> None:
        """Insert the successor, which ends with its family at the latest."""
        await self._cursor().execute(
            """
            INSERT INTO refresh_token (hash, family, expires_at)
            SELECT %(successor)s, family.id, least(now() + make_interval(secs => %(idle)s), family.expires_at)
            FROM refresh_family AS family JOIN refresh_token ON refresh_token.family = family.id
            WHERE refresh_token.hash = %(used)s
            """,
            {"successor": successor, "used": used, "idle": self.idle},
        )

    async def seconds_since_use(self, used: bytes) -> float | None:
        """now() is when this call began: who came while the winner was at work is no thief, however long it waited."""
        found = await self._cursor().execute(
            "SELECT extract(epoch FROM now() - used_at)::float8 FROM refresh_token WHERE hash = %s", [used]
        )
        row = await found.fetchone()
        return None if row is None else row[0]

    async def end_family(self, used: bytes) -> None:
        """Delete the family."""
        await self._cursor().execute(END_FAMILY, [used])

    def _cursor(self) -> AsyncCursor[tuple[Any, ...]]:
        from psycopg.rows import tuple_row  # whatever rows the connection makes

        return self.connection.cursor(row_factory=tuple_row)


@contextlib.asynccontextmanager
async def _transaction(connection: AsyncConnection[Any]) -> AsyncIterator[None]:
    """Begin a transaction, or a savepoint in the caller's.

    Whatever the defaults of server and role: it must see what was committed while it waited for a lock.
    """
    outermost = connection.info.transaction_status.name == "IDLE"
    async with connection.transaction():
        if outermost:
            await connection.execute("SET TRANSACTION ISOLATION LEVEL READ COMMITTED")
            await connection.execute("SELECT set_config('idle_in_transaction_session_timeout', %s, true)", [FROZEN])
        yield


async def rotate(
    connection: AsyncConnection[Any], token: str, *, idle: float = 14 * 86400, grace: float = 10.0
) -> Issued:
    """Use up `token` and return its successor.

    Raises:
        Superseded, Reused, Invalid: see above; a revocation is committed before `Reused` is raised.
        RuntimeError: the connection is inside a transaction, or another task is using it.
    """
    if connection.info.transaction_status.name not in {"IDLE", "UNKNOWN"}:  # unknown: it is closed, and will say so
        raise RuntimeError("rotate() in a transaction: its exception would roll the revocation back")
    async with _transaction(connection):
        outcome = await exchange(PostgreSQL(connection, idle), token, grace=grace)
    if isinstance(outcome, Issued):
        return outcome
    raise outcome


async def revoke(connection: AsyncConnection[Any], token: str) -> None:
    """Log out: end the token's family. An unknown token is no error, so that nothing is learnt from it."""
    async with _transaction(connection) if connection.autocommit else contextlib.nullcontext():
        await connection.execute(END_FAMILY, [digest(token)])


async def revoke_all(connection: AsyncConnection[Any], subject: str) -> None:
    """End every family of `subject`: after a password change, a lock-out, a stolen device."""
    async with _transaction(connection) if connection.autocommit else contextlib.nullcontext():
        await connection.execute(
            """
            WITH locked AS (SELECT id FROM refresh_family WHERE subject = %s ORDER BY id FOR UPDATE)
            DELETE FROM refresh_family WHERE id IN (SELECT id FROM locked)
            """,
            [subject],
        )
