"""Argon2id (RFC 9106), off the event loop and a few at a time: each hash takes 19 MiB and some 20 ms of a core."""

import asyncio
import os
from concurrent.futures import ThreadPoolExecutor

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

_hasher = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)  # OWASP's minimum for Argon2id
_threads = ThreadPoolExecutor(max_workers=max(2, (os.cpu_count() or 2) // 2), thread_name_prefix="argon2")
_nobody = _hasher.hash("a password that no account has")


async def hash_password(password: str) -> str:
    """Return the hash to store."""
    return await asyncio.get_running_loop().run_in_executor(_threads, _hasher.hash, password)


async def verify_password(stored: str | None, password: str) -> bool:
    """Return whether `password` is right; without a stored hash it takes as long and is False."""
    right = await asyncio.get_running_loop().run_in_executor(_threads, _verify, stored or _nobody, password)
    return right and stored is not None


def is_outdated(stored: str) -> bool:
    """Return whether a hash was made with weaker parameters than today's."""
    return _hasher.check_needs_rehash(stored)


def _verify(stored: str, password: str) -> bool:
    try:
        return _hasher.verify(stored, password)
    except (VerificationError, InvalidHashError):
        return False
