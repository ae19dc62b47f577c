"""Consumer and publisher for NATS JetStream: deduplicated publishing, bounded redelivery, dead letters.

Guarantees: `publish` returns when the stream has stored the message, and a repeat with the same id within the stream's
    duplicate window is stored once; each message reaches `handle` at least once and is acknowledged after it; a message
    that failed `attempts` times is written to `<stream>-dead` first and terminated then, so it is never lost and never
    loops (MaxDeliver is unlimited by default, and JetStream has no dead-letter queue of its own).
Needs: nats-py >= 2.6, NATS server >= 2.9 with JetStream. `handle` must be idempotent: see inbox.py.
Fails: while the server is away the consumer waits and goes on. Core NATS is at most once: use JetStream's publish for
    what matters. Work longer than `ack_wait` seconds must call `message.in_progress()`. For order use one consumer with
    `in_flight=1`.
Prove: pytest test_nats_consumer.py   (NATS_URL, default nats://127.0.0.1:4222)
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, StreamConfig

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nats.aio.msg import Msg
    from nats.js import JetStreamContext

log = logging.getLogger(__name__)


async def declare(js: JetStreamContext, stream: str, *, duplicate_window: float = 120.0) -> None:
    """Create the stream `stream` with subjects `<stream>.>`, and `<stream>-dead` for dead letters."""
    await js.add_stream(StreamConfig(name=stream, subjects=[f"{stream}.>"], duplicate_window=duplicate_window))
    await js.add_stream(StreamConfig(name=f"{stream}-dead", subjects=[f"{stream}-dead.>"]))


async def publish(js: JetStreamContext, subject: str, body: bytes, *, event_id: str, timeout: float = 5.0) -> bool:
    """Store a message and return whether it is new; False is a repeat that the stream has dropped.

    Raises:
        nats.errors.Error: it is not known to be stored; send it again with the same id.
    """
    stored = await js.publish(subject, body, headers={"Nats-Msg-Id": event_id}, timeout=timeout)
    return not stored.duplicate


async def consume(
    js: JetStreamContext,
    stream: str,
    durable: str,
    handle: Callable[[Msg], Awaitable[None]],
    stop: asyncio.Event,
    *,
    attempts: int = 5,
    ack_wait: float = 30.0,
    backoff: float = 1.0,
    in_flight: int = 20,
) -> None:
    """Handle messages until `stop` is set; those in hand are finished first. Times are in seconds."""
    config = ConsumerConfig(
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ack_wait,
        max_ack_pending=in_flight,
        max_deliver=-1,  # counted here: at a limit of the server the message would silently stay unhandled
    )
    subscription = await js.pull_subscribe(f"{stream}.>", durable=durable, stream=stream, config=config)
    while not stop.is_set():
        try:
            messages = await subscription.fetch(in_flight, timeout=0.5)
        except TimeoutError:  # nats-py raises its own, a subclass, and between two requests the plain one
            continue
        outcomes = await asyncio.gather(
            *(_one(js, stream, message, handle, attempts, backoff) for message in messages), return_exceptions=True
        )
        for outcome in outcomes:
            if isinstance(outcome, NatsError | TimeoutError):  # not acknowledged: it comes again
                log.warning("a message of %s could not be settled: %r", stream, outcome)
            elif outcome is not None:
                raise outcome
    await subscription.unsubscribe()


async def _one(
    js: JetStreamContext,
    stream: str,
    message: Msg,
    handle: Callable[[Msg], Awaitable[None]],
    attempts: int,
    backoff: float,
) -> None:
    delivered = message.metadata.num_delivered or 1
    try:
        if delivered > attempts:
            raise RuntimeError("its consumers died")
        await handle(message)
    except Exception as error:  # noqa: BLE001 - whatever it is, the stream goes on
        if delivered < attempts:
            log.warning("message %s failed %d times: %r", message.subject, delivered, error)
            await message.nak(delay=min(backoff * 2 ** (delivered - 1), 60.0))
            return
        sequence = message.metadata.sequence.stream
        headers = {
            **(message.headers or {}),
            "Dead-Error": f"{type(error).__name__}: {error}"[:500].replace("\n", " ").replace("\r", " "),
            "Dead-Subject": message.subject,
            "Nats-Msg-Id": f"dead-{sequence}",  # a crash between here and term() must not set it aside twice
        }
        await js.publish(f"{stream}-dead.{sequence}", message.data, headers=headers)
        await message.term()
    else:
        await message.ack_sync()
