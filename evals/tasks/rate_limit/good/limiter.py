"""The rate limiter of the skill's patterns, failing closed."""

from rate_limiter import RateLimiter


async def allow(redis, account):
    limiter = RateLimiter(redis, limit=10, period=60, on_failure="closed", prefix="login", timeout=1.0)
    return (await limiter.check(account)).allowed
