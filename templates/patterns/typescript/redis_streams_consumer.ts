/**
 * Consumer of a Redis stream: order per key, crashed consumers' messages taken over, poison set aside.
 *
 * Guarantees: each message reaches `handle` at least once and is acknowledged after it; messages of one key in one stream are
 *   handled in order (a key's later messages wait while an earlier one is retried); a message that failed `attempts`
 *   times, or killed its consumers as often, goes to `<stream>:dead` with its error; what a crashed consumer had taken is
 *   taken over after `idleMs`.
 * Needs: ioredis >= 5 on a connection of its own (it blocks), Redis >= 6.2 or Valkey. One consumer process for each stream at
 *   a time for order; `handle` must be idempotent: see inbox.ts.
 * Fails: while Redis is away, at the start too, `run` waits and goes on. Redis replicates asynchronously: a failover may lose messages.
 * Prove: npm test   (REDIS_URL, default redis://127.0.0.1:6379/0)
 */
import type { Redis } from "ioredis";

export interface Message {
  id: string;
  key: string;
  fields: Record<string, string>;
}

export interface ConsumerOptions {
  stream: string;
  group: string;
  name: string;
  handle: (message: Message) => Promise<void>;
  attempts?: number;
  idleMs?: number;
  backoffMs?: number;
  batch?: number;
}

type Entry = [id: string, fields: string[] | null];
type Reply = [stream: string, entries: Entry[]][] | null;

export class StreamConsumer {
  readonly #options: Required<ConsumerOptions>;

  constructor(
    private readonly redis: Redis,
    options: ConsumerOptions,
  ) {
    this.#options = { attempts: 5, idleMs: 60_000, backoffMs: 500, batch: 50, ...options };
  }

  /** Consume until `signal` aborts; the message in hand is finished first. */
  async run(signal: AbortSignal): Promise<void> {
    const { stream, group, backoffMs } = this.#options;
    let ready = false;
    while (!signal.aborted) {
      try {
        if (!ready) {
          await this.redis.xgroup("CREATE", stream, group, "0", "MKSTREAM").catch((error: Error) => {
            if (!error.message.startsWith("BUSYGROUP")) throw error;
          });
          ready = true;
        }
        await this.step();
      } catch (error) {
        ready = false; // a server that came back without its data has lost the group
        if (signal.aborted) return;
        console.warn(`stream ${stream}:`, error);
        await sleep(backoffMs);
      }
    }
  }

  /** Handle what is pending, else what is new, and resolve to how many messages were finished. */
  async step(blockMs = 1000): Promise<number> {
    const { stream, group, name, batch, backoffMs } = this.#options;
    let messages = await this.#pending();
    if (!messages.length)
      messages = parse((await this.redis.xreadgroup("GROUP", group, name, "COUNT", batch, "BLOCK", blockMs, "STREAMS", stream, ">")) as Reply);
    const blocked = new Set<string>();
    let finished = 0;
    for (const message of messages) {
      if (blocked.has(message.key)) continue;
      if (await this.#one(message)) finished++;
      else blocked.add(message.key);
    }
    if (blocked.size) await sleep(backoffMs);
    return finished;
  }

  async #pending(): Promise<Message[]> {
    const { stream, group, name, batch, idleMs } = this.#options;
    // First what others left behind, then everything that is ours and not acknowledged, oldest first.
    await this.redis.xautoclaim(stream, group, name, idleMs, "0", "COUNT", batch);
    return parse((await this.redis.xreadgroup("GROUP", group, name, "COUNT", batch, "STREAMS", stream, "0")) as Reply);
  }

  async #one(message: Message): Promise<boolean> {
    const { stream, group, handle, attempts } = this.#options;
    const failures = `${stream}:${group}:failures`;
    // Counted before it is tried, so that a message which kills its consumer is counted too.
    const attempt = await this.redis.hincrby(failures, message.id, 1);
    const settled = this.redis.multi().xack(stream, group, message.id).hdel(failures, message.id);
    try {
      if (attempt > attempts) throw new Error("its consumers died");
      await handle(message);
    } catch (error) {
      if (attempt < attempts) return false;
      const fields = Object.entries({ ...message.fields, dead_id: message.id, dead_error: String(error).slice(0, 500) }).flat();
      settled.xadd(`${stream}:dead`, "*", ...fields);
    }
    await settled.exec();
    return true;
  }
}

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

function parse(reply: Reply): Message[] {
  const entries = reply?.[0]?.[1] ?? [];
  return entries.flatMap(([id, flat]) => {
    if (!flat) return []; // it was trimmed while pending
    const fields: Record<string, string> = {};
    for (let index = 0; index + 1 < flat.length; index += 2) fields[flat[index]!] = flat[index + 1]!;
    return [{ id, key: fields["key"] ?? "", fields }];
  });
}
