"""One loader at a time by a lock, but late readers put old values back and Redis must be there."""

import asyncio
import json


async def get(redis, product_id, load):
    key = f"product:{product_id}"
    while True:
        cached = await redis.get(key)
        if cached:
            return json.loads(cached)
        if await redis.set(f"{key}:loading", "yes", nx=True, ex=5):
            product = await load()
            await redis.set(key, json.dumps(product), ex=60)
            await redis.delete(f"{key}:loading")
            return product
        await asyncio.sleep(0.02)


async def changed(redis, product_id):
    await redis.delete(f"product:{product_id}")
