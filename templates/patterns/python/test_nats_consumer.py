"""Proof of nats_consumer.py on a real JetStream: repeats, failures, a consumer that dies, poison."""

from __future__ import annotations

import asyncio
import os
import random
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Any, cast

import nats

from nats_consumer import consume, declare, publish

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

URL = os.environ.get("NATS_URL", "nats://127.0.0.1:4222")


def with_stream(body: Callable[[JetStreamContext, str], Awaitable[None]]) -> None:
    async def run() -> None:
        connection = await nats.connect(URL)
        js, stream = connection.jetstream(), f"proof{uuid.uuid4().hex}"
        await declare(js, stream)
        try:
            async with asyncio.timeout(30):
                await body(js, stream)
        finally:
            await js.delete_stream(stream)
            await js.delete_stream(f"{stream}-dead")
            await connection.close()

    asyncio.run(run())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.02)


def test_repeats_of_a_publisher_are_stored_once() -> None:
    async def body(js: JetStreamContext, stream: str) -> None:
        new = [await publish(js, f"{stream}.a", b"x", event_id="e1") for _ in range(5)]
        assert new == [True, False, False, False, False]
        assert (await js.stream_info(stream)).state.messages == 1

    with_stream(body)


def test_every_message_is_handled_in_spite_of_failures() -> None:
    async def body(js: JetStreamContext, stream: str) -> None:
        chance, done = random.Random(3), Counter[bytes]()
        for n in range(100):
            await publish(js, f"{stream}.a", str(n).encode(), event_id=str(n))

        async def handle(message: Msg) -> None:
            if chance.random() < 0.1:
                raise ConnectionError
            done[message.data] += 1

        stop = asyncio.Event()
        consuming = asyncio.create_task(consume(js, stream, "c", handle, stop, attempts=30, backoff=0.01))
        await until(lambda: len(done) == 100)
        stop.set()
        await consuming
        assert set(done.values()) == {1}
        assert (await js.consumer_info(stream, "c")).num_ack_pending == 0

    with_stream(body)


def test_a_quiet_stream_does_not_end_the_consumer() -> None:
    async def run() -> int:
        stop, asked = asyncio.Event(), 0

        class Quiet:
            async def pull_subscribe(self, *_: object, **__: object) -> Quiet:
                return self

            async def fetch(self, *_: object, **__: object) -> list[Msg]:
                nonlocal asked
                asked += 1
                if asked == 2:
                    stop.set()
                raise TimeoutError if asked == 1 else nats.errors.TimeoutError

            async def unsubscribe(self) -> None: ...

        await consume(cast("JetStreamContext", Quiet()), "s", "c", cast("Any", None), stop)
        return asked

    assert asyncio.run(run()) == 2


def test_poison_is_set_aside_after_its_attempts_and_does_not_loop() -> None:
    async def body(js: JetStreamContext, stream: str) -> None:
        tries: Counter[bytes] = Counter()
        await publish(js, f"{stream}.a", b"poison", event_id="p")
        await publish(js, f"{stream}.a", b"good", event_id="g")

        async def handle(message: Msg) -> None:
            tries[message.data] += 1
            if message.data == b"poison":
                raise ValueError("cannot parse\r\nInjected: yes")

        stop = asyncio.Event()
        consuming = asyncio.create_task(consume(js, stream, "c", handle, stop, attempts=3, backoff=0.01))
        while (await js.stream_info(f"{stream}-dead")).state.messages == 0:
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.3)
        stop.set()
        await consuming
        letter = await js.get_last_msg(f"{stream}-dead", f"{stream}-dead.>")
        assert letter.data == b"poison"
        assert letter.headers is not None
        assert letter.headers["Dead-Error"] == "ValueError: cannot parse  Injected: yes"
        assert tries == Counter({b"poison": 3, b"good": 1})

    with_stream(body)


def test_what_a_dead_consumer_had_taken_comes_back() -> None:
    async def body(js: JetStreamContext, stream: str) -> None:
        await publish(js, f"{stream}.a", b"x", event_id="1")
        got: list[bytes] = []

        async def die(message: Msg) -> None:
            await asyncio.sleep(60)

        dying = asyncio.create_task(consume(js, stream, "c", die, asyncio.Event(), ack_wait=0.5))
        await asyncio.sleep(0.3)
        dying.cancel()

        async def handle(message: Msg) -> None:
            got.append(message.data)

        stop = asyncio.Event()
        consuming = asyncio.create_task(consume(js, stream, "c", handle, stop, ack_wait=0.5))
        await until(lambda: got == [b"x"])
        stop.set()
        await consuming

    with_stream(body)
