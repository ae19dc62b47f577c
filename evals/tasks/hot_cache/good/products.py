"""The skill's cache-aside, one for each client."""

import weakref

from cache_aside import CacheAside

CACHES = weakref.WeakKeyDictionary()


def cache(redis):
    if redis not in CACHES:
        CACHES[redis] = CacheAside(redis, ttl=60, prefix="product", timeout=2.0)
    return CACHES[redis]


async def get(redis, product_id, load):
    return await cache(redis).get(product_id, load)


async def changed(redis, product_id):
    await cache(redis).invalidate(product_id)
