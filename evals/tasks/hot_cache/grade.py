"""A stampede, a late reader, an absent product that appears, a Redis that is gone."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Any

from evals.grading import REDIS, Check, check_async, module

if TYPE_CHECKING:
    from pathlib import Path


class Origin:
    """The database behind the cache."""

    def __init__(self, value: dict[str, Any] | None, delay: float = 0.0) -> None:
        self.value, self.delay, self.loads = value, delay, 0

    async def load(self) -> dict[str, Any] | None:
        self.loads += 1
        value = self.value
        await asyncio.sleep(self.delay)
        return value


def grade(workspace: Path) -> list[Check]:
    """Return the checks for a workspace with products.py."""
    from redis.asyncio import Redis

    with module(workspace, "products") as products:

        async def stampede() -> str:
            origin, product = Origin({"price": 1}, 0.1), secrets.token_hex(8)
            clients = [Redis.from_url(REDIS) for _ in range(5)]
            results = await asyncio.gather(*(products.get(clients[n % 5], product, origin.load) for n in range(100)))
            assert results == [{"price": 1}] * 100
            assert origin.loads <= 2, f"the origin was asked {origin.loads} times by 100 readers at once"
            for client in clients:
                await client.aclose()
            return f"{origin.loads} load"

        async def late() -> str:
            origin, product = Origin({"price": 1}, 0.3), secrets.token_hex(8)
            async with Redis.from_url(REDIS) as redis, Redis.from_url(REDIS) as other:
                reader = asyncio.create_task(products.get(redis, product, origin.load))
                await asyncio.sleep(0.1)
                origin.value = {"price": 2}
                await products.changed(other, product)
                await reader
                seen = await products.get(other, product, origin.load)
                assert seen == {"price": 2}, f"after the change readers still get {seen}"
                return "the late reader's value was not kept"

        async def after() -> str:
            origin, product = Origin({"price": 1}, 0.3), secrets.token_hex(8)
            async with Redis.from_url(REDIS) as redis, Redis.from_url(REDIS) as other:
                early = asyncio.create_task(products.get(redis, product, origin.load))
                await asyncio.sleep(0.1)
                origin.value = {"price": 2}
                await products.changed(other, product)
                seen = await products.get(redis, product, origin.load)
                assert seen == {"price": 2}, f"a reader that came after the change got {seen}"
                await early
                return "a reader after the change gets the new value"

        async def absent() -> str:
            origin, product = Origin(None), secrets.token_hex(8)
            async with Redis.from_url(REDIS) as redis:
                for _ in range(20):
                    assert await products.get(redis, product, origin.load) is None
                assert origin.loads <= 2, f"an absent product was looked up {origin.loads} times"
                for key in await redis.keys(f"*{product}*"):
                    assert 0 < await redis.ttl(key) <= 60, "absence is cached for too long"
                origin.value = {"price": 3}
                await products.changed(redis, product)
                assert await products.get(redis, product, origin.load) == {"price": 3}
                return "cached for a short time, found once created"

        async def gone() -> str:
            origin = Origin({"price": 1})
            got = await asyncio.wait_for(products.get(Redis.from_url("redis://127.0.0.1:1/0"), "p", origin.load), 5)
            assert got == {"price": 1}
            return "the origin answered"

        return [
            check_async("100 readers at once load once", stampede),
            check_async("a reader that loaded before a change does not put the old value back", late),
            check_async("a reader that comes after a change does not get a load from before it", after),
            check_async("absence is cached for a short time", absent),
            check_async("without Redis the origin answers", gone),
        ]
