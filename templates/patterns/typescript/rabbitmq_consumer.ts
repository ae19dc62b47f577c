/**
 * Consumer and publisher for RabbitMQ: quorum queues, confirms, bounded redelivery, dead letters.
 *
 * Guarantees: `publish` resolves when the broker has the message on a majority and a queue took it; each message reaches
 *   `handle` at least once and is acknowledged after it; a message that failed `attempts` times, with growing pauses between
 *   them, goes to `<queue>.dead`, also when it kills its consumers; nothing is lost when a consumer or connection dies.
 * Needs: amqplib >= 0.10, RabbitMQ >= 3.10. `handle` must be idempotent: see inbox.ts. amqplib does not reconnect: end the
 *   process when the connection closes and let its supervisor start it again.
 * Fails: `Unroutable` when no queue takes a message. Work longer than consumer_timeout (30 min by default) is redelivered.
 * Prove: npm test   (RABBITMQ_URL, default amqp://guest:guest@127.0.0.1:5672/)
 */
import { setTimeout as pause } from "node:timers/promises";
import type { Channel, ConfirmChannel, ConsumeMessage } from "amqplib";

const LONGEST_PAUSE_MS = 60_000;

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
export async function publish(
  channel: ConfirmChannel,
  queue: string,
  body: Buffer,
  eventId: string,
  { timeoutMs = 5000 } = {},
): Promise<void> {
  let returned = false;
  let timer: NodeJS.Timeout | undefined;
  const onReturn = (message: { properties: { messageId?: unknown } }): void => {
    if (message.properties.messageId === eventId) returned = true;
  };
  channel.on("return", onReturn);
  try {
    // The broker sends basic.return before the confirmation.
    await new Promise<void>((resolve, reject) => {
      // A broker that is short of memory or disk confirms nothing until that is over.
      timer = setTimeout(() => reject(new Error(`not confirmed within ${timeoutMs} ms`)), timeoutMs);
      channel.sendToQueue(queue, body, { persistent: true, mandatory: true, messageId: eventId, contentType: "application/json" }, (error: unknown) =>
        error ? reject(error instanceof Error ? error : new Error(String(error))) : resolve(),
      );
    });
  } finally {
    clearTimeout(timer);
    channel.off("return", onReturn);
  }
  if (returned) throw new Unroutable(queue);
}

/**
 * Handle messages until `signal` aborts; those in hand are finished first.
 *
 * A message that failed is given back after `backoffMs`, doubled with each delivery, at most a minute: without a pause an
 * outage of a moment would use up all attempts. Until then it is in hand, so that a consumer whose every message fails takes
 * no more than `prefetch`; `signal` ends the pause.
 */
export async function consume(
  channel: Channel,
  queue: string,
  handle: (message: ConsumeMessage) => Promise<void>,
  signal: AbortSignal,
  { prefetch = 20, backoffMs = 1000 } = {},
): Promise<void> {
  const giveBack = async (message: ConsumeMessage): Promise<void> => {
    const delivered = Number(message.properties.headers?.["x-delivery-count"] ?? 0);
    await pause(Math.min(backoffMs * 2 ** delivered, LONGEST_PAUSE_MS), undefined, { signal }).catch(() => undefined);
    channel.nack(message, false, true); // the broker counts it
  };
  await channel.prefetch(prefetch);
  const inHand = new Set<Promise<void>>();
  const { consumerTag } = await channel.consume(queue, (message) => {
    if (!message) return; // the queue was deleted
    const work = (async () => handle(message))().then(
      () => channel.ack(message),
      () => giveBack(message),
    );
    const tracked = work.finally(() => inHand.delete(tracked));
    inHand.add(tracked);
  });
  if (!signal.aborted) await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  await channel.cancel(consumerTag);
  await Promise.all(inHand);
}
