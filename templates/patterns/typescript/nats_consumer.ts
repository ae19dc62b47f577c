/**
 * Consumer and publisher for NATS JetStream: deduplicated publishing, bounded redelivery, dead letters.
 *
 * Guarantees: `publish` resolves when the stream has stored the message, and a repeat with the same id within the duplicate
 *   window is stored once; each message reaches `handle` at least once and is acknowledged after it; a message that failed
 *   `attempts` times is written to `<stream>-dead` first and terminated then, so it is never lost and never loops.
 * Needs: nats >= 2.20, NATS server >= 2.9 with JetStream. `handle` must be idempotent: see inbox.ts.
 * Fails: while the server is away the consumer waits and goes on. Core NATS is at most once: use JetStream's publish for what matters. Work longer than `ackWaitMs` must call
 *   `message.working()`. For order use `inFlight: 1`.
 * Prove: npm test   (NATS_URL, default nats://127.0.0.1:4222)
 */
import { AckPolicy, ErrorCode, headers, nanos, type JetStreamClient, type JetStreamManager, type JsMsg } from "nats";

/** Create the stream `stream` with subjects `<stream>.>`, and `<stream>-dead` for dead letters. */
export async function declare(manager: JetStreamManager, stream: string, { duplicateWindowMs = 120_000 } = {}): Promise<void> {
  await manager.streams.add({ name: stream, subjects: [`${stream}.>`], duplicate_window: nanos(duplicateWindowMs) });
  await manager.streams.add({ name: `${stream}-dead`, subjects: [`${stream}-dead.>`] });
}

/** Store a message and resolve to whether it is new; what rejects is sent again with the same id. */
export async function publish(js: JetStreamClient, subject: string, body: Uint8Array, eventId: string): Promise<boolean> {
  return !(await js.publish(subject, body, { msgID: eventId })).duplicate;
}

export interface ConsumeOptions {
  attempts?: number;
  ackWaitMs?: number;
  backoffMs?: number;
  inFlight?: number;
}

/** Handle messages until `signal` aborts; those in hand are finished first. */
export async function consume(
  js: JetStreamClient,
  stream: string,
  durable: string,
  handle: (message: JsMsg) => Promise<void>,
  signal: AbortSignal,
  { attempts = 5, ackWaitMs = 30_000, backoffMs = 1000, inFlight = 20 }: ConsumeOptions = {},
): Promise<void> {
  const manager = await js.jetstreamManager();
  await manager.consumers.add(stream, {
    durable_name: durable,
    ack_policy: AckPolicy.Explicit,
    ack_wait: nanos(ackWaitMs),
    max_ack_pending: inFlight,
    max_deliver: -1, // counted here: at a limit of the server the message would silently stay unhandled
  });
  const consumer = await js.consumers.get(stream, durable);
  while (!signal.aborted) {
    const work: Promise<void>[] = [];
    try {
      const messages = await consumer.fetch({ max_messages: inFlight, expires: 1000 });
      for await (const message of messages) work.push(one(js, stream, message, handle, attempts, backoffMs));
    } catch (error) {
      if ((error as { code?: string }).code === ErrorCode.ConnectionClosed) throw error;
      console.warn(`stream ${stream}:`, error);
      await new Promise((resolve) => setTimeout(resolve, backoffMs));
    }
    for (const outcome of await Promise.allSettled(work)) {
      // Not acknowledged: it comes again.
      if (outcome.status === "rejected") console.warn(`a message of ${stream} could not be settled:`, outcome.reason);
    }
  }
}

async function one(
  js: JetStreamClient,
  stream: string,
  message: JsMsg,
  handle: (message: JsMsg) => Promise<void>,
  attempts: number,
  backoffMs: number,
): Promise<void> {
  const delivered = message.info.deliveryCount;
  try {
    if (delivered > attempts) throw new Error("its consumers died");
    await handle(message);
  } catch (error) {
    if (delivered < attempts) return message.nak(Math.min(backoffMs * 2 ** (delivered - 1), 60_000));
    const { streamSequence } = message.info;
    const letter = headers();
    letter.set("Dead-Error", String(error).slice(0, 500).replace(/[\r\n]/g, " "));
    letter.set("Dead-Subject", message.subject);
    // The id: a crash between here and term() must not set it aside twice.
    await js.publish(`${stream}-dead.${streamSequence}`, message.data, { headers: letter, msgID: `dead-${streamSequence}` });
    return message.term();
  }
  await message.ackAck();
}
