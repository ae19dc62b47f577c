"""Proof of nats_consumer.py on a real JetStream: repeats, failures, a consumer that dies, poison."""

from __future__ import annotations

import asyncio
import contextlib
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


def test_a_server_that_goes_away_while_messages_are_in_hand_is_waited_for() -> None:
    async def run() -> None:
        host, port = URL.split("//")[1].split("@")[-1].rsplit(":", 1)
        open_ones: list[asyncio.StreamWriter] = []

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            other_reader, other_writer = await asyncio.open_connection(host, int(port))
            open_ones.extend((writer, other_writer))

            async def copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
                with contextlib.suppress(OSError):
                    while data := await source.read(4096):
                        sink.write(data)
                sink.close()

            await asyncio.gather(copy(reader, other_writer), copy(other_reader, writer))

        between = await asyncio.start_server(proxy, "127.0.0.1", 0)
        direct = await nats.connect(URL)
        through = await nats.connect(
            f"nats://127.0.0.1:{between.sockets[0].getsockname()[1]}",
            reconnect_time_wait=0.1,
            max_reconnect_attempts=-1,
        )
        js, stream, seen, stop = direct.jetstream(), f"proof{uuid.uuid4().hex}", list[bytes](), asyncio.Event()
        await declare(js, stream)
        try:
            for n in range(3):
                await publish(js, f"{stream}.a", b"%d" % n, event_id=str(n))

            async def handle(message: Msg) -> None:
                seen.append(message.data)
                if len(seen) == 1:
                    for writer in open_ones:
                        writer.close()

            consuming = asyncio.create_task(
                consume(through.jetstream(), stream, "c", handle, stop, ack_wait=0.5, in_flight=1)
            )
            async with asyncio.timeout(25):
                while set(seen) != {b"0", b"1", b"2"}:
                    await asyncio.wait({consuming}, timeout=0.05)
                    assert not consuming.done(), consuming
            stop.set()
            await consuming
        finally:
            await js.delete_stream(stream)
            await js.delete_stream(f"{stream}-dead")
            await direct.close()
            await through.close()
            between.close()

    asyncio.run(run())
