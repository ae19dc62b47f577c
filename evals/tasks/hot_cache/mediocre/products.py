"""Product cache. The database falls over when a hot key expires, and prices stay old after changes."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any


async def get(redis: Any, product_id: str, load: Callable[[], Awaitable[dict[str, Any] | None]]) -> dict[str, Any] | None:
    """Return the product, cached for 60 s; None when it does not exist. `redis` is a redis.asyncio client."""
    cached = await redis.get(f"product:{product_id}")
    if cached:
        return json.loads(cached)
    product = await load()
    await redis.set(f"product:{product_id}", json.dumps(product), ex=60)
    return product


async def changed(redis: Any, product_id: str) -> None:
    """Called after a change of the product has been committed."""
    await redis.delete(f"product:{product_id}")
