/**
 * Consumer and publisher for RabbitMQ: quorum queues, confirms, bounded redelivery, dead letters.
 *
 * Guarantees: `publish` resolves when the broker has the message on a majority and a queue took it; each message reaches
 *   `handle` at least once and is acknowledged after it; a message that failed `attempts` times goes to `<queue>.dead`, also
 *   when it kills its consumers; nothing is lost when a consumer or connection dies.
 * Needs: amqplib >= 0.10, RabbitMQ >= 3.10. `handle` must be idempotent: see inbox.ts. amqplib does not reconnect: end the
 *   process when the connection closes and let its supervisor start it again.
 * Fails: `Unroutable` when no queue takes a message. Work longer than consumer_timeout (30 min by default) is redelivered.
 * Prove: npm test   (RABBITMQ_URL, default amqp://guest:guest@127.0.0.1:5672/)
 */
import type { Channel, ConfirmChannel, ConsumeMessage } from "amqplib";

export class Unroutable extends Error {}

/** Declare `queue` and `<queue>.dead`, both durable quorum queues; the broker counts deliveries. */
export async function declare(channel: Channel, queue: string, { attempts = 5, singleActive = false } = {}): Promise<void> {
  const dead = `${queue}.dead`;
  await channel.assertQueue(dead, { durable: true, arguments: { "x-queue-type": "quorum" } });
  await channel.assertQueue(queue, {
    durable: true,
    arguments: {
      "x-queue-type": "quorum",
      "x-delivery-limit": attempts - 1,
      "x-dead-letter-exchange": "",
      "x-dead-letter-routing-key": dead,
      // at-least-once dead lettering needs reject-publish: a full queue blocks publishers instead of dropping letters.
      "x-dead-letter-strategy": "at-least-once",
      "x-overflow": "reject-publish",
      ...(singleActive ? { "x-single-active-consumer": true } : {}),
    },
  });
}

/** Send a persistent message and wait for the broker's confirmation; what rejects is sent again with the same id. */
export async function publish(channel: ConfirmChannel, queue: string, body: Buffer, eventId: string): Promise<void> {
  let returned = false;
  const onReturn = (message: { properties: { messageId?: unknown } }): void => {
    if (message.properties.messageId === eventId) returned = true;
  };
  channel.on("return", onReturn);
  try {
    // The broker sends basic.return before the confirmation.
    await new Promise<void>((resolve, reject) =>
      channel.sendToQueue(queue, body, { persistent: true, mandatory: true, messageId: eventId, contentType: "application/json" }, (error: unknown) =>
        error ? reject(error instanceof Error ? error : new Error(String(error))) : resolve(),
      ),
    );
  } finally {
    channel.off("return", onReturn);
  }
  if (returned) throw new Unroutable(queue);
}

/** Handle messages until `signal` aborts; those in hand are finished first. */
export async function consume(
  channel: Channel,
  queue: string,
  handle: (message: ConsumeMessage) => Promise<void>,
  signal: AbortSignal,
  { prefetch = 20 } = {},
): Promise<void> {
  await channel.prefetch(prefetch);
  const inHand = new Set<Promise<void>>();
  const { consumerTag } = await channel.consume(queue, (message) => {
    if (!message) return; // the queue was deleted
    const work = handle(message).then(
      () => channel.ack(message),
      () => channel.nack(message, false, true), // the broker counts it
    );
    const tracked = work.finally(() => inHand.delete(tracked));
    inHand.add(tracked);
  });
  if (!signal.aborted) await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  await channel.cancel(consumerTag);
  await Promise.all(inHand);
}
