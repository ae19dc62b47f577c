"""Races logins, interrupts the limiter between its commands, and hangs Redis."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from typing import TYPE_CHECKING, Any

from evals.grading import REDIS, Check, check_async, module

if TYPE_CHECKING:
    from pathlib import Path


class InterruptedByDeathError(Exception):
    """The process dies after its first command."""


def grade(workspace: Path) -> list[Check]:
    """Return the checks for a workspace with limiter.py."""
    from redis.asyncio import Redis

    with module(workspace, "limiter") as limiter:

        async def exact() -> str:
            async with Redis.from_url(REDIS) as redis:
                account = secrets.token_hex(8)
                results = await asyncio.gather(*(limiter.allow(redis, account) for _ in range(100)))
                assert sum(results) == 10, f"{sum(results)} of 100 at once were allowed, not 10"
                return "10 of 100"

        async def crash() -> str:
            async with Redis.from_url(REDIS) as redis:
                before = set(await redis.keys("*")) if await redis.dbsize() < 100_000 else set()
                account = secrets.token_hex(8)
                send, sent = redis.execute_command, 0

                async def dying(*arguments: Any, **options: Any) -> Any:
                    nonlocal sent
                    if sent and str(arguments[0]).upper() not in ("EVAL", "EVALSHA", "SCRIPT LOAD"):
                        raise InterruptedByDeathError
                    sent += 1
                    return await send(*arguments, **options)

                redis.execute_command = dying  # type: ignore[method-assign]
                with contextlib.suppress(InterruptedByDeathError):
                    await limiter.allow(redis, account)
                redis.execute_command = send  # type: ignore[method-assign]
                for key in set(await redis.keys("*")) - before:
                    if account.encode() in key:
                        assert await redis.ttl(key) > 0, f"{key.decode()} never expires: locked out for ever"
                return "every key expires"

        async def hangs() -> str:
            server = await asyncio.start_server(lambda *_: asyncio.sleep(30), "127.0.0.1", 0)
            redis = Redis.from_url(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
            try:
                async with asyncio.timeout(5):
                    allowed = await limiter.allow(redis, "a")
            except TimeoutError:
                raise AssertionError("a hanging Redis hangs the login") from None
            finally:
                server.close()
            assert allowed is False, "a login was allowed without a limiter"
            return "refused in time"

        return [
            check_async("of 100 logins at once exactly 10 are allowed", exact),
            check_async("a crash between commands leaves no key without expiry", crash),
            check_async("a Redis that hangs refuses within seconds", hangs),
        ]
