"""Proof of rabbitmq_consumer.py on a real RabbitMQ: failures, a consumer that dies, poison, a message nobody takes."""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections import Counter
from typing import TYPE_CHECKING

import aio_pika
import pytest

from rabbitmq_consumer import Unroutable, consume, declare, publish

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

URL = os.environ.get("RABBITMQ_URL", "amqp://guest:guest@127.0.0.1:5672/")


def with_queue(body: Callable[[AbstractChannel, AbstractQueue], Awaitable[None]], attempts: int = 3) -> None:
    async def run() -> None:
        connection = await aio_pika.connect_robust(URL)
        async with connection:
            channel = await connection.channel()
            queue = await declare(channel, f"proof.{uuid.uuid4().hex}", attempts=attempts)
            try:
                async with asyncio.timeout(30):
                    await body(channel, queue)
            finally:
                await channel.queue_delete(queue.name)
                await channel.queue_delete(f"{queue.name}.dead")

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.02)


def test_every_message_is_handled_in_spite_of_failures() -> None:
    async def body(channel: AbstractChannel, queue: AbstractQueue) -> None:
        chance, done = random.Random(3), Counter[str]()
        for n in range(100):
            await publish(channel, queue.name, b"{}", event_id=str(n))

        async def handle(message: AbstractIncomingMessage) -> None:
            await asyncio.sleep(0)
            if chance.random() < 0.1:
                raise ConnectionError
            done[str(message.message_id)] += 1

        stop = asyncio.Event()
        consuming = asyncio.create_task(consume(channel, queue, handle, stop, backoff=0.001))
        await until(lambda: len(done) == 100)
        stop.set()
        await consuming
        assert set(done.values()) == {1}

    with_queue(body, attempts=30)


def test_poison_goes_to_the_dead_queue_after_its_attempts() -> None:
    async def body(channel: AbstractChannel, queue: AbstractQueue) -> None:
        tries: Counter[str] = Counter()
        await publish(channel, queue.name, b"poison", event_id="p")
        await publish(channel, queue.name, b"good", event_id="g")

        async def handle(message: AbstractIncomingMessage) -> None:
            tries[str(message.message_id)] += 1
            if message.body == b"poison":
                raise ValueError("cannot parse")

        stop = asyncio.Event()
        consuming = asyncio.create_task(consume(channel, queue, handle, stop, backoff=0.001))
        dead = await channel.declare_queue(f"{queue.name}.dead", passive=True)
        letter = None
        while letter is None:
            letter = await dead.get(fail=False)
            await asyncio.sleep(0.05)
        await letter.ack()
        stop.set()
        await consuming
        assert (letter.body, letter.message_id) == (b"poison", "p")
        assert tries == Counter(p=3, g=1)

    with_queue(body)


def test_an_outage_of_a_moment_uses_up_no_attempts() -> None:
    async def body(channel: AbstractChannel, queue: AbstractQueue) -> None:
        over = asyncio.get_running_loop().time() + 1
        tries, done = Counter[str](), set[str]()
        for n in range(30):
            await publish(channel, queue.name, b"{}", event_id=str(n))

        async def handle(message: AbstractIncomingMessage) -> None:
            tries[str(message.message_id)] += 1
            if asyncio.get_running_loop().time() < over:
                raise ConnectionError
            done.add(str(message.message_id))

        stop = asyncio.Event()
        consuming = asyncio.create_task(consume(channel, queue, handle, stop, backoff=0.5))
        await until(lambda: len(done) == 30)
        stop.set()
        await consuming
        assert max(tries.values()) <= 3
        dead = await channel.declare_queue(f"{queue.name}.dead", passive=True)
        assert dead.declaration_result.message_count == 0

    with_queue(body)


def test_stopping_does_not_wait_for_a_pause_and_the_message_stays() -> None:
    async def body(channel: AbstractChannel, queue: AbstractQueue) -> None:
        failed, got, stop = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def fail(message: AbstractIncomingMessage) -> None:
            failed.set()
            raise ConnectionError

        async def handle(message: AbstractIncomingMessage) -> None:
            got.set()

        await publish(channel, queue.name, b"x", event_id="1")
        consuming = asyncio.create_task(consume(channel, queue, fail, stop, backoff=60))
        await failed.wait()
        stop.set()
        async with asyncio.timeout(5):
            await consuming
        again = asyncio.Event()
        consuming = asyncio.create_task(consume(channel, queue, handle, again))
        await got.wait()
        again.set()
        await consuming

    with_queue(body)


def test_a_consumer_that_dies_loses_nothing() -> None:
    async def body(channel: AbstractChannel, queue: AbstractQueue) -> None:
        await publish(channel, queue.name, b"x", event_id="1")
        dying = await aio_pika.connect(URL)
        taken = await (await (await dying.channel()).get_queue(queue.name)).get()
        assert taken.message_id == "1"
        await dying.close()
        got: list[str] = []

        async def handle(message: AbstractIncomingMessage) -> None:
            got.append(str(message.message_id))

        stop = asyncio.Event()
        consuming = asyncio.create_task(consume(channel, queue, handle, stop))
        await until(lambda: got == ["1"])
        stop.set()
        await consuming

    with_queue(body)


def test_a_message_that_no_queue_takes_is_an_error() -> None:
    async def body(channel: AbstractChannel, queue: AbstractQueue) -> None:
        with pytest.raises(Unroutable):
            await publish(channel, f"{queue.name}.missing", b"x", event_id="1")

    with_queue(body)


def test_stopping_finishes_the_message_in_hand() -> None:
    async def body(channel: AbstractChannel, queue: AbstractQueue) -> None:
        started, done = asyncio.Event(), False

        async def handle(message: AbstractIncomingMessage) -> None:
            nonlocal done
            started.set()
            await asyncio.sleep(0.3)
            done = True

        await publish(channel, queue.name, b"x", event_id="1")
        stop = asyncio.Event()
        consuming = asyncio.create_task(consume(channel, queue, handle, stop))
        await started.wait()
        stop.set()
        await consuming
        assert done

    with_queue(body)
