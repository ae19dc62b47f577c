"""Consumer and publisher for RabbitMQ: quorum queues, confirms, bounded redelivery, dead letters.

Guarantees: `publish` returns when the broker has the message on a majority and a queue took it; each message reaches
    `handle` at least once and is acknowledged after it; a message that failed `attempts` times, with growing pauses
    between them, goes to `<queue>.dead`, also when it kills its consumers; nothing is lost when a consumer or
    connection dies.
Needs: aio-pika >= 9, RabbitMQ >= 3.10 (delivery limits of quorum queues; classic mirrored queues are gone in 4.0).
    `handle` must be idempotent: see inbox.py. For order use `single_active=True` and `prefetch=1`.
Fails: `Unroutable` when no queue takes a message; connections come back by themselves (connect_robust). Work longer
    than the broker's consumer_timeout (30 min by default) is redelivered.
Prove: pytest test_rabbitmq_consumer.py   (RABBITMQ_URL, default amqp://guest:guest@127.0.0.1:5672/)
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

import aio_pika
from aio_pika.exceptions import DeliveryError
from pamqp.commands import Basic

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aio_pika.abc import AbstractChannel, AbstractIncomingMessage, AbstractQueue

log = logging.getLogger(__name__)
LONGEST_PAUSE = 60.0


class Unroutable(Exception):  # noqa: N818 - an outcome
    """No queue took the message."""


async def declare(
    channel: AbstractChannel, queue: str, *, attempts: int = 5, single_active: bool = False
) -> AbstractQueue:
    """Declare `queue` and `<queue>.dead`, both durable quorum queues, and return the first.

    The broker counts deliveries, so that a message which kills its consumer is counted too. at-least-once dead
    lettering needs reject-publish: a full dead queue blocks publishers instead of dropping letters.
    """
    dead = f"{queue}.dead"
    await channel.declare_queue(dead, durable=True, arguments={"x-queue-type": "quorum"})
    return await channel.declare_queue(
        queue,
        durable=True,
        arguments={
            "x-queue-type": "quorum",
            "x-delivery-limit": attempts - 1,
            "x-dead-letter-exchange": "",
            "x-dead-letter-routing-key": dead,
            "x-dead-letter-strategy": "at-least-once",
            "x-overflow": "reject-publish",
            **({"x-single-active-consumer": True} if single_active else {}),
        },
    )


async def publish(channel: AbstractChannel, queue: str, body: bytes, *, event_id: str, timeout: float = 5.0) -> None:
    """Send a persistent message and wait for the broker's confirmation; `channel` has publisher_confirms (the default).

    Raises:
        Unroutable: no queue took it.
        TimeoutError, aio_pika.exceptions.AMQPError: it is not known to be safe; send it again with the same id.
    """
    message = aio_pika.Message(
        body,
        message_id=event_id,
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
        content_type="application/json",
    )
    try:
        confirmed = await channel.default_exchange.publish(message, routing_key=queue, mandatory=True, timeout=timeout)
    except DeliveryError as error:
        raise Unroutable(queue) from error
    # A channel without on_return_raises hands a returned message back instead of raising.
    if not isinstance(confirmed, Basic.Ack):
        raise Unroutable(queue)


async def consume(
    channel: AbstractChannel,
    queue: AbstractQueue,
    handle: Callable[[AbstractIncomingMessage], Awaitable[None]],
    stop: asyncio.Event,
    *,
    prefetch: int = 20,
    backoff: float = 1.0,
) -> None:
    """Handle messages until `stop` is set; those in hand are finished first.

    A message that failed is given back after `backoff` seconds, doubled with each delivery, at most a minute: without
    a pause an outage of a moment would use up all attempts. Until then it is in hand, so that a consumer whose every
    message fails takes no more than `prefetch`; `stop` ends the pause.
    """
    await channel.set_qos(prefetch_count=prefetch)
    in_hand: set[asyncio.Task[None]] = set()

    async def receive(message: AbstractIncomingMessage) -> None:
        task = asyncio.current_task()
        assert task is not None
        in_hand.add(task)
        try:
            await handle(message)
        except Exception as error:  # noqa: BLE001 - whatever it is, the broker counts it
            log.warning("message %s failed: %r", message.message_id, error)
            delivered = int(str(message.headers.get("x-delivery-count") or 0))
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), min(backoff * 2**delivered, LONGEST_PAUSE))
            await message.nack(requeue=True)
        else:
            await message.ack()
        finally:
            in_hand.discard(task)

    tag = await queue.consume(receive)
    await stop.wait()
    await queue.cancel(tag)
    await asyncio.sleep(0)  # what was delivered a moment ago is in hand only once its task runs
    while in_hand:
        await asyncio.wait(set(in_hand))
