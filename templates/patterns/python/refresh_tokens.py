"""Refresh tokens on PostgreSQL: opaque, stored hashed, rotated at each use, the family revoked on reuse.

Guarantees: a token works once; of concurrent uses of one token exactly one gets the successor, the others, and those of
    the next `grace` seconds, are told to wait for it (`Superseded`, not a theft: browsers do race; a use counts from
    when it reached the server, however long it waited there); a later use revokes the whole family, the thief's and the
    victim's tokens alike; a revocation also ends the successor of a rotation that runs beside it. Each call is one
    statement that commits by itself (reuse: two), whatever the isolation level: no process that stops holds a lock.
Needs: psycopg >= 3.1, PostgreSQL >= 11, the tables of `SCHEMA`; for `rotate` a connection that is in no transaction
    (the exception would roll the revocation back); in autocommit mode tasks may share it. Check that the user may still
    log in before you answer.
Fails: `Superseded` (409 or 401: the client uses the successor it already has), `Invalid` (401: log in again),
    `Reused` (401, a subclass of `Invalid`: log in again, and tell somebody).
Fit: times are parameters; `idle` and `absolute` may be None: never. With one exception of the project's:
        async def refresh(connection, token):
            try:
                issued = await rotate(connection, token, grace=2.0)
            except (Invalid, Superseded) as error:
                raise Denied from error
            return issued.subject, issued.token
    Your session table can be the family: replace the words `refresh_family`, `refresh_token` and `subject` here and in
    the proof; `subject` may have another type. Tokens that are stored as they are go on working when the old code is
    stopped first (it would rotate rows that are copied already) and a migration takes them over:
        WITH old AS (SELECT token, user_id, nextval(pg_get_serial_sequence('refresh_family', 'id')) AS id FROM session),
        family AS (INSERT INTO refresh_family OVERRIDING SYSTEM VALUE SELECT id, user_id, 'infinity' FROM old)
        INSERT INTO refresh_token SELECT sha256(convert_to(token, 'UTF8')), id, NULL, 'infinity' FROM old;
    With another driver or database, write a `Store` and call `exchange`: the rules are there.
Prove: pytest test_refresh_tokens.py   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)

RFC 9700, section 4.14.2. The token is 256 random bits, so a plain SHA-256 is enough: there is nothing to guess.
Lock order: the family's row, then its tokens', here (FOR UPDATE OF takes them as listed) and in revocations (a DELETE
locks before it cascades). In READ COMMITTED a locked row is returned as it is after the wait.
Used tokens stay until their family ends, to be recognised: a row for each refresh. Purge what expired a day ago (no
rotation is under way any more): DELETE FROM refresh_family AS f WHERE NOT EXISTS
(SELECT FROM refresh_token WHERE family = f.id AND expires_at > now() - interval '1 day');
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, LiteralString, Protocol

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
CREATE TABLE refresh_token (
    hash bytea PRIMARY KEY,
    family bigint NOT NULL REFERENCES refresh_family (id) ON DELETE CASCADE,
    used_at timestamptz,
    expires_at timestamptz NOT NULL
);
CREATE INDEX refresh_token_family ON refresh_token (family);
"""
ISSUE = """
WITH begun AS (
    INSERT INTO refresh_family (subject, expires_at)
    VALUES (%(subject)s, coalesce(now() + make_interval(secs => %(absolute)s::float8), 'infinity'))
    RETURNING id, expires_at
)
INSERT INTO refresh_token (hash, family, expires_at)
SELECT %(issued)s, id, least(now() + make_interval(secs => %(idle)s::float8), expires_at) FROM begun
"""
ROTATE = """
WITH found AS (
    SELECT family.id, family.subject, family.expires_at AS ends, token.expires_at, token.used_at
    FROM refresh_family AS family JOIN refresh_token AS token ON token.family = family.id
    WHERE token.hash = %(used)s FOR UPDATE OF family, token
), used AS (
    UPDATE refresh_token SET used_at = clock_timestamp() FROM found
    WHERE hash = %(used)s AND found.used_at IS NULL AND found.expires_at > clock_timestamp()
    RETURNING found.id, found.ends
), issued AS (
    INSERT INTO refresh_token (hash, family, expires_at)
    SELECT %(issued)s, id, least(now() + make_interval(secs => %(idle)s::float8), ends) FROM used RETURNING family
)
SELECT subject, extract(epoch FROM statement_timestamp() - used_at)::float8 - %(waited)s
FROM found WHERE used_at IS NOT NULL OR EXISTS (SELECT FROM issued)
"""
END_FAMILY = "DELETE FROM refresh_family WHERE id = (SELECT family FROM refresh_token WHERE hash = %(used)s)"
END_FAMILIES = """
WITH locked AS (SELECT id FROM refresh_family WHERE subject = %(subject)s ORDER BY id FOR UPDATE)
DELETE FROM refresh_family WHERE id IN (SELECT id FROM locked)
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


def new_token() -> str:
    """Return a token that nobody can guess."""
    return secrets.token_urlsafe(32)


def digest(token: str) -> bytes:
    """Return what is stored of a token."""
    # A client may send any text, lone surrogates too: that is a wrong token and no crash.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()


class Store(Protocol):
    """The two steps of `exchange`: in one transaction that commits whatever comes out, or each in its own.

    Each must see what was committed before it got its lock (read committed, or one writer at a time).
    """

    async def rotate(self, used: bytes, issued: bytes) -> tuple[str, float | None] | None:
        """Lock the family of a token, as revocations do; then mark the token as used and insert its successor.

        Return the subject and None; or, when it was used before, how many seconds before the exchange began that was;
        or None when the token is unknown, has expired or is gone.
        """

    async def end_family(self, used: bytes) -> None:
        """Delete every token of the family."""


async def exchange(store: Store, token: str, *, grace: float = 10.0) -> Issued | Superseded | Invalid:
    """Use up `token` and return its successor, or the error that is to be raised after the commit."""
    used, successor = digest(token), new_token()
    found = await store.rotate(used, digest(successor))
    if found is None:
        return Invalid("unknown, expired or revoked")
    subject, seconds = found
    if seconds is None:
        return Issued(successor, subject)
    if seconds <= grace:
        return Superseded("rotated a moment ago")
    await store.end_family(used)
    return Reused("used before")


async def issue(
    connection: AsyncConnection[Any],
    subject: str,
    *,
    idle: float | None = 14 * 86400,
    absolute: float | None = 90 * 86400,
) -> Issued:
    """Begin a family after a login; it ends after `absolute` seconds, or `idle` seconds without use."""
    token = new_token()
    times = {"idle": idle, "absolute": absolute}
    await _run(connection, ISSUE, {"issued": digest(token), "subject": subject, **times})
    return Issued(token, subject)


@dataclass(frozen=True, slots=True)
class PostgreSQL:
    """The store of `rotate`; `idle` is in seconds."""

    connection: AsyncConnection[Any]
    idle: float | None

    async def rotate(self, used: bytes, issued: bytes) -> tuple[str, float | None] | None:
        """One statement: it does all of it or nothing."""
        done = await _run(self.connection, ROTATE, {"used": used, "issued": issued, "idle": self.idle})
        row = await done.fetchone()
        return None if row is None else (str(row[0]), row[1])

    async def end_family(self, used: bytes) -> None:
        """Delete the family, after every rotation in it that has begun."""
        await _run(self.connection, END_FAMILY, {"used": used})


async def rotate(
    connection: AsyncConnection[Any], token: str, *, idle: float | None = 14 * 86400, grace: float = 10.0
) -> Issued:
    """Use up `token` and return its successor.

    Raises:
        Superseded, Reused, Invalid: see above; a revocation is committed before `Reused` is raised.
        RuntimeError: the connection is inside a transaction.
    """
    if _in_transaction(connection):
        raise RuntimeError("rotate() in a transaction: its exception would roll the revocation back")
    async with _autocommit(connection):
        outcome = await exchange(PostgreSQL(connection, idle), token, grace=grace)
    if isinstance(outcome, Issued):
        return outcome
    raise outcome


async def revoke(connection: AsyncConnection[Any], token: str) -> None:
    """Log out: end the token's family. An unknown token is no error, so that nothing is learnt from it."""
    await _run(connection, END_FAMILY, {"used": digest(token)})


async def revoke_all(connection: AsyncConnection[Any], subject: str) -> None:
    """End every family of `subject`: after a password change, a lock-out, a stolen device."""
    await _run(connection, END_FAMILIES, {"subject": subject})


async def _run(
    connection: AsyncConnection[Any], statement: LiteralString, values: dict[str, Any]
) -> AsyncCursor[tuple[Any, ...]]:
    """Run a statement; again when it could not see what was committed beside it, unless the transaction is not its own.

    `waited` is how many seconds it took until the statement was sent for the last time.
    """
    from psycopg.errors import DeadlockDetected, SerializationFailure
    from psycopg.rows import tuple_row  # whatever rows the connection makes

    began = time.monotonic()
    while True:
        try:
            cursor = connection.cursor(row_factory=tuple_row)
            return await cursor.execute(statement, {**values, "waited": time.monotonic() - began})
        except (DeadlockDetected, SerializationFailure):
            if _in_transaction(connection):
                raise


def _in_transaction(connection: AsyncConnection[Any]) -> bool:
    return connection.info.transaction_status.name in {"INTRANS", "INERROR"}


@contextlib.asynccontextmanager
async def _autocommit(connection: AsyncConnection[Any]) -> AsyncIterator[None]:
    """Let each statement commit by itself, whatever the mode of the connection."""
    if connection.autocommit or connection.closed:  # closed: the statement will say so
        yield
        return
    await connection.set_autocommit(True)
    try:
        yield
    finally:
        if not connection.closed:
            await connection.set_autocommit(False)
