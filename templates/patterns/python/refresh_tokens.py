"""Refresh tokens on PostgreSQL: opaque, stored hashed, rotated at each use, the family revoked on reuse.

Guarantees: a token works once; of concurrent uses of one token exactly one gets the successor, the others within
    `grace` seconds are told to wait for it (`Superseded`, not a theft: browsers do race, and one that waited for a
    slow transaction counts from when it came); a use after that revokes the whole family, the thief's and the
    victim's tokens alike; a revocation also ends the successor of a rotation that runs beside it; nothing outlives
    `absolute` seconds.
Needs: psycopg >= 3.1, PostgreSQL >= 11, the tables of `SCHEMA`, a connection in autocommit mode (inside a transaction
    of yours, the exception would roll the revocation back). Check that the user may still log in before you answer.
Fails: `Superseded` (409 or 401: the client uses the successor it already has), `Invalid` (401: log in again),
    `Reused` (401, a subclass of `Invalid`: log in again, and tell somebody).
Prove: pytest test_refresh_tokens.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)

RFC 9700, section 4.14.2. The token is 256 random bits, so a plain SHA-256 is enough: there is nothing to guess.
Used tokens stay until their family ends, to be recognised: DELETE FROM refresh_family WHERE expires_at < now().
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.pq import TransactionStatus

if TYPE_CHECKING:
    from psycopg import AsyncConnection

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


async def issue(
    connection: AsyncConnection[Any], subject: str, *, idle: float = 14 * 86400, absolute: float = 90 * 86400
) -> Issued:
    """Begin a family after a login; it ends after `absolute` seconds, or `idle` seconds without use."""
    token = secrets.token_urlsafe(32)
    await connection.execute(
        """
        WITH begun AS (
            INSERT INTO refresh_family (subject, expires_at)
            VALUES (%(subject)s, now() + make_interval(secs => %(absolute)s)) RETURNING id, expires_at
        )
        INSERT INTO refresh_token (hash, family, expires_at)
        SELECT %(hash)s, id, least(now() + make_interval(secs => %(idle)s), expires_at) FROM begun
        """,
        {"hash": _hash(token), "subject": subject, "idle": idle, "absolute": absolute},
    )
    return Issued(token, subject)


async def rotate(
    connection: AsyncConnection[Any], token: str, *, idle: float = 14 * 86400, grace: float = 10.0
) -> Issued:
    """Use up `token` and return its successor.

    Raises:
        Superseded, Reused, Invalid: see above; a revocation is committed before `Reused` is raised.
        RuntimeError: the connection is inside a transaction.
    """
    if connection.info.transaction_status is not TransactionStatus.IDLE:
        raise RuntimeError("rotate() in a transaction: its exception would roll the revocation back")
    successor = secrets.token_urlsafe(32)
    async with connection.transaction():
        # The family is locked before its tokens, as revocations do: one that comes meanwhile waits and takes the
        # successor along; one that came first leaves nothing to rotate.
        locked = await connection.execute(
            """
            SELECT family.id, family.subject, family.expires_at
            FROM refresh_family AS family JOIN refresh_token ON refresh_token.family = family.id
            WHERE refresh_token.hash = %s FOR UPDATE OF family
            """,
            [_hash(token)],
        )
        row = await locked.fetchone()
        if row is None:
            raise Invalid("unknown")
        family, subject, ends = row
        # A statement of its own, because only then it sees what was committed while the lock was awaited.
        used = await connection.execute(
            """
            UPDATE refresh_token SET used_at = clock_timestamp()
            WHERE hash = %s AND used_at IS NULL AND expires_at > clock_timestamp() RETURNING true
            """,
            [_hash(token)],
        )
        if await used.fetchone():
            await connection.execute(
                """
                INSERT INTO refresh_token (hash, family, expires_at)
                VALUES (%s, %s, least(now() + make_interval(secs => %s), %s))
                """,
                [_hash(successor), family, idle, ends],
            )
            return Issued(successor, subject)
        # now() is when this call began: who came while the winner was at work is no thief, however long it waited.
        found = await connection.execute(
            """
            SELECT used_at IS NOT NULL, used_at > now() - make_interval(secs => %s) FROM refresh_token WHERE hash = %s
            """,
            [grace, _hash(token)],
        )
        row = await found.fetchone()
        if row is None or not row[0]:
            raise Invalid("expired or revoked")
        if row[1]:
            raise Superseded("rotated a moment ago")
        await connection.execute("DELETE FROM refresh_family WHERE id = %s", [family])
    raise Reused("used before")


async def revoke(connection: AsyncConnection[Any], token: str) -> None:
    """Log out: end the token's family. An unknown token is no error, so that nothing is learnt from it."""
    await connection.execute(
        "DELETE FROM refresh_family WHERE id = (SELECT family FROM refresh_token WHERE hash = %s)", [_hash(token)]
    )


async def revoke_all(connection: AsyncConnection[Any], subject: str) -> None:
    """End every family of `subject`: after a password change, a lock-out, a stolen device."""
    await connection.execute(
        """
        WITH locked AS (SELECT id FROM refresh_family WHERE subject = %s ORDER BY id FOR UPDATE)
        DELETE FROM refresh_family WHERE id IN (SELECT id FROM locked)
        """,
        [subject],
    )


def _hash(token: str) -> bytes:
    # A client may send any text, lone surrogates too: that is a wrong token and no crash.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
