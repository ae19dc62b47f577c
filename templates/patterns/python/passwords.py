"""Password hashing: Argon2id off the event loop, rehash on login, the same time for unknown users.

Guarantees: verification of an unknown user costs what a wrong password costs; hashes made with older parameters are
    replaced at the next successful login; at most `parallel` hashes run at once, so that logins cannot take all
    memory (each needs 19 MiB).
Needs: argon2-cffi >= 23.
Fails: `TooLong` for more than 1,024 bytes (nobody types them, and hashing them is work for us).
Prove: pytest test_passwords.py

Parameters: OWASP Password Storage Cheat Sheet (Argon2id, m = 19 MiB, t = 2, p = 1). Rate limiting is not here: put
rate_limiter.py with on_failure="closed" before it, by account and by address.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

LONGEST = 1024


class TooLong(ValueError):  # noqa: N818
    """More than `LONGEST` bytes."""


@dataclass(frozen=True, slots=True)
class Verified:
    """`new_hash` is to be stored in place of the old one where it is not None."""

    ok: bool
    new_hash: str | None = None


class Passwords:
    """One instance for the process."""

    def __init__(self, *, parallel: int = 4, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._slots = asyncio.Semaphore(parallel)
        # What an unknown user's password is compared with: the same work, never the same result.
        self._decoy = self._hasher.hash("no user has this one")

    async def hash(self, password: str) -> str:
        """Return the hash to store (parameters and salt are in it).

        Raises:
            TooLong: it has more than 1,024 bytes.
        """
        async with self._slots:
            return await asyncio.to_thread(self._hasher.hash, _bytes(password))

    async def verify(self, stored: str | None, password: str) -> Verified:
        """Whether `password` is the one behind `stored`; pass None for a user that does not exist.

        Raises:
            TooLong: it has more than 1,024 bytes.
        """
        async with self._slots:
            return await asyncio.to_thread(self._verify, stored, _bytes(password))

    def _verify(self, stored: str | None, password: bytes) -> Verified:
        try:
            self._hasher.verify(stored or self._decoy, password)
        except (VerificationError, InvalidHashError):
            return Verified(ok=False)
        if not stored:
            return Verified(ok=False)
        outdated = self._hasher.check_needs_rehash(stored)
        return Verified(ok=True, new_hash=self._hasher.hash(password) if outdated else None)


def _bytes(password: str) -> bytes:
    # A client may send any text, lone surrogates too: that is a wrong password and no crash.
    data = password.encode("utf-8", "surrogatepass")
    if len(data) > LONGEST:
        raise TooLong(f"a password has at most {LONGEST} bytes")
    return data
