"""Proof of distributed_lock.py on a real Redis: 100 rivals, a stolen lease, a hung server, an owner's release."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis

from distributed_lock import LockLost, LockNotAcquired, lock

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")


def with_redis(body: Callable[[Redis, str], Awaitable[None]]) -> None:
    async def run() -> None:
        name = uuid.uuid4().hex
        async with Redis.from_url(URL, decode_responses=True) as redis:
            try:
                await body(redis, name)
            finally:
                await redis.delete(f"lock:{{{name}}}", f"lock:{{{name}}}:fence")

    asyncio.run(run())


def test_100_rivals_never_overlap_and_fences_rise() -> None:
    async def body(redis: Redis, name: str) -> None:
        inside, most, fences = 0, 0, []

        async def rival() -> None:
            nonlocal inside, most
            async with lock(redis, name, lease=5, wait=60) as held:
                inside += 1
                most = max(most, inside)
                fences.append(held.fence)
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(rival() for _ in range(100)))
        assert most == 1
        assert fences == sorted(set(fences))
        assert len(fences) == 100

    with_redis(body)


def test_a_held_lock_is_refused_at_once_and_free_after_the_block() -> None:
    async def body(redis: Redis, name: str) -> None:
        async with lock(redis, name):
            with pytest.raises(LockNotAcquired):
                async with lock(redis, name):
                    pass
        async with lock(redis, name):
            pass

    with_redis(body)


def test_work_longer_than_the_lease_keeps_the_lock() -> None:
    async def body(redis: Redis, name: str) -> None:
        async with lock(redis, name, lease=0.3):
            await asyncio.sleep(1.0)
            with pytest.raises(LockNotAcquired):
                async with lock(redis, name):
                    pass

    with_redis(body)


def test_a_stolen_lease_cancels_the_work_and_leaves_the_thiefs_lock_alone() -> None:
    async def body(redis: Redis, name: str) -> None:
        with pytest.raises(LockLost):
            async with lock(redis, name, lease=0.3):
                await redis.set(f"lock:{{{name}}}", "thief", px=60_000)
                await asyncio.sleep(5)
        assert await redis.get(f"lock:{{{name}}}") == "thief"

    with_redis(body)


def test_a_server_that_hangs_loses_the_lock_before_the_lease_ends() -> None:
    async def body(redis: Redis, name: str) -> None:
        upstream = await asyncio.open_connection(*URL.split("//")[1].split("/")[0].split("@")[-1].split(":"))
        hang = asyncio.Event()

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)

            async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                while data := await source.read(4096):
                    if hang.is_set():
                        await asyncio.sleep(30)
                    sink.write(data)

            await asyncio.gather(copy(reader, other_writer), copy(other_reader, writer))

        port = upstream[1].get_extra_info("peername")[1]
        upstream[1].close()
        server = await asyncio.start_server(proxy, "127.0.0.1", 0)
        through = Redis.from_url(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0")
        started = asyncio.get_running_loop().time()
        with pytest.raises(LockLost):
            async with lock(through, name, lease=0.6):
                hang.set()
                await asyncio.sleep(10)
        assert asyncio.get_running_loop().time() - started < 3.0
        server.close()

    with_redis(body)


def test_cancelling_from_outside_stays_a_cancellation() -> None:
    async def body(redis: Redis, name: str) -> None:
        async def work() -> None:
            async with lock(redis, name):
                await asyncio.sleep(10)

        task = asyncio.create_task(work())
        await asyncio.sleep(0.1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with lock(redis, name):
            pass

    with_redis(body)


def test_a_server_that_answers_late_or_never_is_not_waited_for_and_a_late_lease_is_not_longer() -> None:
    async def body(redis: Redis, name: str) -> None:
        delay = 60.0

        class Late(Redis):
            async def execute_command(self, *arguments: Any, **options: Any) -> Any:
                answer = await super().execute_command(*arguments, **options)  # type: ignore[no-untyped-call]
                await asyncio.sleep(delay)
                return answer

        clock = asyncio.get_running_loop().time
        async with Late.from_url(URL) as late:
            began = clock()
            with pytest.raises(TimeoutError):
                async with lock(late, name, lease=0.5):
                    pass
            assert clock() - began < 1.5
            await redis.delete(f"lock:{{{name}}}")
            delay, began = 0.8, clock()
            with pytest.raises(LockLost):
                async with lock(late, name, lease=1.0):
                    try:
                        await asyncio.sleep(10)  # from 0.8 s on: the lease has 0.2 s left
                    finally:
                        assert clock() - began < 1.4
            delay = 0

    with_redis(body)
