"""Refresh tokens on PostgreSQL: opaque, stored hashed, rotated at each use, the family revoked on reuse.

Guarantees: a token works once; of concurrent uses of one token exactly one gets the successor, the others within
    `grace` seconds are told to wait for it (`Superseded`, not a theft: browsers do race); a use after that revokes
    the whole family, the thief's and the victim's tokens alike; nothing outlives `absolute` seconds.
Needs: psycopg >= 3.1, PostgreSQL >= 11, the table of `SCHEMA`. Check that the user may still log in before you answer.
Fails: `Superseded` (409 or 401: the client uses the successor it already has), `Invalid` (401: log in again),
    `Reused` (401, a subclass of `Invalid`: log in again, and tell somebody).
Prove: pytest test_refresh_tokens.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)

RFC 9700, section 4.14.2. The token is 256 random bits, so a plain SHA-256 is enough: there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

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
        INSERT INTO refresh_token (hash, family, subject, expires_at, family_expires_at)
        VALUES (%(hash)s, gen_random_uuid(), %(subject)s,
                now() + least(make_interval(secs => %(idle)s), make_interval(secs => %(absolute)s)),
                now() + make_interval(secs => %(absolute)s))
        """,
        {"hash": _hash(token), "subject": subject, "idle": idle, "absolute": absolute},
    )
    return Issued(token, subject)


async def rotate(
    connection: AsyncConnection[Any], token: str, *, idle: float = 14 * 86400, grace: float = 10.0
) -> Issued:
    """Use up `token` and return its successor. `connection` is in autocommit mode.

    Raises:
        Superseded, Reused, Invalid: see above; a revocation is committed before `Reused` is raised.
    """
    successor = secrets.token_urlsafe(32)
    async with connection.transaction():
        # One statement decides the race: of all that see used_at IS NULL, one updates, the others wait and see it set.
        used = await connection.execute(
            """
            UPDATE refresh_token SET used_at = clock_timestamp()
            WHERE hash = %s AND used_at IS NULL AND expires_at > clock_timestamp() RETURNING family, subject
            """,
            [_hash(token)],
        )
        if row := await used.fetchone():
            await connection.execute(
                """
                INSERT INTO refresh_token (hash, family, subject, expires_at, family_expires_at)
                SELECT %(new)s, family, subject,
                       least(now() + make_interval(secs => %(idle)s), family_expires_at), family_expires_at
                FROM refresh_token WHERE hash = %(old)s
                """,
                {"new": _hash(successor), "old": _hash(token), "idle": idle},
            )
            return Issued(successor, row[1])
        found = await connection.execute(
            """
            SELECT family, used_at > clock_timestamp() - make_interval(secs => %s), used_at IS NOT NULL
            FROM refresh_token WHERE hash = %s
            """,
            [grace, _hash(token)],
        )
        row = await found.fetchone()
        if row is None or not row[2]:
            raise Invalid("unknown or expired")
        if row[1]:
            raise Superseded("rotated a moment ago")
        await connection.execute("DELETE FROM refresh_token WHERE family = %s", [row[0]])
    raise Reused("used before")


async def revoke(connection: AsyncConnection[Any], token: str) -> None:
    """Log out: end the token's family. An unknown token is no error, so that nothing is learnt from it."""
    await connection.execute(
        "DELETE FROM refresh_token WHERE family = (SELECT family FROM refresh_token WHERE hash = %s)", [_hash(token)]
    )


async def revoke_all(connection: AsyncConnection[Any], subject: str) -> None:
    """End every family of `subject`: after a password change, a lock-out, a stolen device."""
    await connection.execute("DELETE FROM refresh_token WHERE subject = %s", [subject])


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()
