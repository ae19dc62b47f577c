"""Login limiter: 10 tries a minute for an account. It locked a customer out for ever last week."""

from __future__ import annotations

from typing import Any


async def allow(redis: Any, account: str) -> bool:
    """Whether this login may be tried. `redis` is a redis.asyncio client; when Redis does not answer, refuse."""
    tries = await redis.incr(f"login:{account}")
    if tries == 1:
        await redis.expire(f"login:{account}", 60)
    return tries <= 10
