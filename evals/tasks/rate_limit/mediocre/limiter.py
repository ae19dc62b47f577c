"""A transaction makes the expiry sure, but a fixed window slides with every try and a hanging Redis hangs the login."""


async def allow(redis, account):
    async with redis.pipeline(transaction=True) as pipe:
        pipe.incr(f"login:{account}")
        pipe.expire(f"login:{account}", 60)
        tries, _ = await pipe.execute()
    return tries <= 10
