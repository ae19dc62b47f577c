"""Proof of redis_streams_consumer.py on a real Redis: failures, order per key, a consumer that dies, poison."""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from redis_streams_consumer import Consumer, Message

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

URL = os.environ.get("REDIS_URL", "redis://127.0.0.1:6379/0")


def with_stream(body: Callable[[Redis, str], Awaitable[None]]) -> None:
    async def run() -> None:
        stream = f"proof:{uuid.uuid4().hex}"
        async with Redis.from_url(URL, decode_responses=True) as redis:
            try:
                await body(redis, stream)
            finally:
                await redis.delete(stream, f"{stream}:dead", f"{stream}:g:failures")

    asyncio.run(run())


async def drain(redis: Redis, stream: str, consumer: Consumer, count: int) -> None:
    stop = asyncio.Event()
    running = asyncio.create_task(consumer.run(stop))
    async with asyncio.timeout(20):
        while True:
            groups = await redis.xinfo_groups(stream) if await redis.exists(stream) else []
            if groups and groups[0]["pending"] == 0 and groups[0]["entries-read"] == count:
                break
            await asyncio.sleep(0.02)
    stop.set()
    await running


def test_order_per_key_holds_when_handling_fails_now_and_then() -> None:
    async def body(redis: Redis, stream: str) -> None:
        chance, seen = random.Random(5), defaultdict[str, list[int]](list)
        for n in range(200):
            await redis.xadd(stream, {"key": f"k{n % 4}", "n": str(n)})

        async def handle(message: Message) -> None:
            if chance.random() < 0.1:
                raise ConnectionError
            seen[message.key].append(int(message.fields["n"]))

        await drain(redis, stream, Consumer(redis, stream, "g", "c", handle, attempts=50, backoff=0.001), 200)
        assert {key: values == list(range(int(key[1]), 200, 4)) for key, values in seen.items()} == dict.fromkeys(
            ["k0", "k1", "k2", "k3"], True
        )

    with_stream(body)


def test_poison_is_set_aside_and_its_key_goes_on() -> None:
    async def body(redis: Redis, stream: str) -> None:
        handled: list[str] = []
        for name in ("good", "poison", "after"):
            await redis.xadd(stream, {"key": "k", "name": name})

        async def handle(message: Message) -> None:
            if message.fields["name"] == "poison":
                raise ValueError("cannot parse")
            handled.append(message.fields["name"])

        await drain(redis, stream, Consumer(redis, stream, "g", "c", handle, attempts=3, backoff=0.001), 3)
        assert handled == ["good", "after"]
        letters: Any = await redis.xrange(f"{stream}:dead")
        ((_, dead),) = letters
        assert (dead["name"], dead["dead_error"]) == ("poison", "ValueError: cannot parse")
        assert await redis.exists(f"{stream}:g:failures") == 0

    with_stream(body)


def test_a_dead_consumers_messages_are_taken_over() -> None:
    async def body(redis: Redis, stream: str) -> None:
        await redis.xgroup_create(stream, "g", id="0", mkstream=True)
        for n in range(5):
            await redis.xadd(stream, {"key": "k", "n": str(n)})
        await redis.xreadgroup("g", "dead", {stream: ">"}, count=5)  # takes them and is never heard of again
        seen: list[str] = []

        async def handle(message: Message) -> None:
            seen.append(message.fields["n"])

        await asyncio.sleep(0.1)
        await drain(redis, stream, Consumer(redis, stream, "g", "c", handle, idle=0.05, backoff=0.001), 5)
        assert seen == ["0", "1", "2", "3", "4"]

    with_stream(body)


def test_a_message_that_kills_its_consumers_is_set_aside() -> None:
    async def body(redis: Redis, stream: str) -> None:
        handled: list[str] = []
        for name in ("killer", "after"):
            await redis.xadd(stream, {"key": "k", "name": name})

        async def handle(message: Message) -> None:
            if message.fields["name"] == "killer":
                raise SystemExit(1)
            handled.append(message.fields["name"])

        consumer = Consumer(redis, stream, "g", "c", handle, attempts=3, backoff=0.001)
        await redis.xgroup_create(stream, "g", id="0")
        for _ in range(3):
            with pytest.raises(SystemExit):
                await consumer.step()
        await drain(redis, stream, consumer, 2)
        assert handled == ["after"]
        letters: Any = await redis.xrange(f"{stream}:dead")
        ((_, dead),) = letters
        assert (dead["name"], dead["dead_error"]) == ("killer", "RuntimeError: its consumers died")

    with_stream(body)


def test_a_server_that_was_away_at_the_start_or_lost_its_data_is_waited_for() -> None:
    async def body(redis: Redis, stream: str) -> None:
        seen, refused, stop = list[str](), 3, asyncio.Event()

        class Away(Redis):
            async def execute_command(self, *arguments: Any, **options: Any) -> Any:
                nonlocal refused
                if refused:
                    refused -= 1
                    raise RedisConnectionError("away")
                return await super().execute_command(*arguments, **options)  # type: ignore[no-untyped-call]

        async def handle(message: Message) -> None:
            seen.append(message.fields["n"])

        async def until_seen(n: str) -> None:
            async with asyncio.timeout(10):
                while n not in seen:
                    await asyncio.sleep(0.02)

        async with Away.from_url(URL, decode_responses=True) as client:
            running = asyncio.create_task(Consumer(client, stream, "g", "c", handle, backoff=0.01).run(stop))
            await redis.xadd(stream, {"key": "k", "n": "1"})
            await until_seen("1")
            await redis.delete(stream)  # and the group with it
            await redis.xadd(stream, {"key": "k", "n": "2"})
            await until_seen("2")
            stop.set()
            await running

    with_stream(body)


def test_a_client_that_does_not_decode_is_refused() -> None:
    async def run() -> None:
        async def handle(message: Message) -> None:
            raise AssertionError

        async with Redis.from_url(URL) as redis:
            with pytest.raises(ValueError, match="decode_responses"):
                Consumer(redis, "s", "g", "c", handle)

    asyncio.run(run())
