"""Refresh tokens on PostgreSQL: opaque, stored hashed, rotated at each use, the family revoked on reuse.

Guarantees: a token works once; of concurrent uses of one token exactly one gets the successor, the others within
    `grace` seconds are told to wait for it (`Superseded`, not a theft: browsers do race); a use after that revokes
    the whole family, the thief's and the victim's tokens alike; nothing outlives `absolute` seconds.
Needs: psycopg >= 3.1, PostgreSQL >= 11, the table of `SCHEMA`. Check that the user may still log in before you answer.
    With another driver or database, write a `Store` and call `exchange` in a transaction.
Fails: `Superseded` (409 or 401: the client uses the successor it already has), `Invalid` (401: log in again),
    `Reused` (401, a subclass of `Invalid`: log in again, and tell somebody).
Prove: pytest test_refresh_tokens.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)

RFC 9700, section 4.14.2. The token is 256 random bits, so a plain SHA-256 is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from psycopg import AsyncConnection

SCHEMA = """
CREATE TABLE refresh_token (
    hash bytea PRIMARY KEY,
    family uuid NOT NULL,
    subject text NOT NULL,
    used_at timestamptz,
    expires_at timestamptz NOT NULL,
    family_expires_at timestamptz NOT NULL
);
CREATE INDEX refresh_token_family ON refresh_token (family);
CREATE INDEX refresh_token_subject ON refresh_token (subject);
CREATE INDEX refresh_token_family_expires_at ON refresh_token (family_expires_at);
"""
END_FAMILY = "DELETE FROM refresh_token WHERE family = (SELECT family FROM refresh_token WHERE hash = %s)"


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
    return hashlib.sha256(token.encode()).digest()


class Store(Protocol):
    """The statements behind `exchange`, in a transaction that commits after it, whatever it returns."""

    async def use(self, used: bytes) -> str | None:
        """Mark a token as used, if it is neither used nor expired, and return its subject: in one statement."""

    async def succeed(self, used: bytes, successor: bytes) -> None:
        """Insert the successor into the family of the token that was used."""

    async def seconds_since_use(self, used: bytes) -> float | None:
        """Return how long ago a token was used; None when it is unknown or was not."""

    async def end_family(self, used: bytes) -> None:
        """Delete every token of the family."""


async def exchange(store: Store, token: str, *, grace: float = 10.0) -> Issued | Superseded | Invalid:
    """Use up `token` and return its successor, or the error that is to be raised after the commit."""
    used, successor = digest(token), new_token()
    subject = await store.use(used)
    if subject is not None:
        await store.succeed(used, digest(successor))
        return Issued(successor, subject)
    seconds = await store.seconds_since_use(used)
    if seconds is None:
        return Invalid("unknown or expired")
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
        INSERT INTO refresh_token (hash, family, subject, expires_at, family_expires_at)
        VALUES (%(hash)s, gen_random_uuid(), %(subject)s,
                now() + least(make_interval(secs => %(idle)s), make_interval(secs => %(absolute)s)),
                now() + make_interval(secs => %(absolute)s))
        """,
        {"hash": digest(token), "subject": subject, "idle": idle, "absolute": absolute},
    )
    return Issued(token, subject)


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """The store of `rotate`; `idle` is in seconds."""

    connection: AsyncConnection[Any]
    idle: float

    async def use(self, used: bytes) -> str | None:
        """Of all that see used_at IS NULL one updates; the others wait and see it set."""
        found = await self.connection.execute(
            """
            UPDATE refresh_token SET used_at = clock_timestamp()
            WHERE hash = %s AND used_at IS NULL AND expires_at > clock_timestamp() RETURNING subject
            """,
            [used],
        )
        row = await found.fetchone()
        return None if row is None else str(row[0])

    async def succeed(self, used: bytes, successor: bytes) -> None:
        """Insert the successor, which ends with its family at the latest."""
        await self.connection.execute(
            """
            INSERT INTO refresh_token (hash, family, subject, expires_at, family_expires_at)
            SELECT %(successor)s, family, subject,
                   least(now() + make_interval(secs => %(idle)s), family_expires_at), family_expires_at
            FROM refresh_token WHERE hash = %(used)s
            """,
            {"successor": successor, "used": used, "idle": self.idle},
        )

    async def seconds_since_use(self, used: bytes) -> float | None:
        """Ask the database's clock, which has also written the time of use."""
        found = await self.connection.execute(
            "SELECT extract(epoch FROM clock_timestamp() - used_at)::float8 FROM refresh_token WHERE hash = %s", [used]
        )
        row = await found.fetchone()
        return None if row is None else row[0]

    async def end_family(self, used: bytes) -> None:
        """Delete the family."""
        await self.connection.execute(END_FAMILY, [used])


async def rotate(
    connection: AsyncConnection[Any], token: str, *, idle: float = 14 * 86400, grace: float = 10.0
) -> Issued:
    """Use up `token` and return its successor. `connection` is in autocommit mode.

    Raises:
        Superseded, Reused, Invalid: see above; a revocation is committed before `Reused` is raised.
    """
    async with connection.transaction():
        outcome = await exchange(PostgreSQL(connection, idle), token, grace=grace)
    if isinstance(outcome, Issued):
        return outcome
    raise outcome


async def revoke(connection: AsyncConnection[Any], token: str) -> None:
    """Log out: end the token's family. An unknown token is no error, so that nothing is learnt from it."""
    await connection.execute(END_FAMILY, [digest(token)])


async def revoke_all(connection: AsyncConnection[Any], subject: str) -> None:
    """End every family of `subject`: after a password change, a lock-out, a stolen device."""
    await connection.execute("DELETE FROM refresh_token WHERE subject = %s", [subject])
