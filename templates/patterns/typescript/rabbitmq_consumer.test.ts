import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type ConfirmChannel, type ConsumeMessage } from "amqplib";
import { Signal, sleep, unique } from "./proof.js";
import { consume, declare, publish, Unroutable } from "./rabbitmq_consumer.js";

const URL = process.env["RABBITMQ_URL"] ?? "amqp://guest:guest@127.0.0.1:5672/";

async function withQueue(body: (channel: ConfirmChannel, queue: string) => Promise<void>, attempts = 3): Promise<void> {
  const connection = await connect(URL);
  const channel = await connection.createConfirmChannel();
  const queue = `proof.${unique()}`;
  await declare(channel, queue, { attempts });
  try {
    await body(channel, queue);
  } finally {
    await channel.deleteQueue(queue);
    await channel.deleteQueue(`${queue}.dead`);
    await connection.close();
  }
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; !(await condition()); await sleep(20)) assert.ok(Date.now() < end, "it took too long");
}

test("every message is handled in spite of failures", () =>
  withQueue(async (channel, queue) => {
    const done = new Map<string, number>();
    for (let n = 0; n < 100; n++) await publish(channel, queue, Buffer.from("{}"), String(n));
    const abort = new AbortController();
    const consuming = consume(channel, queue, async ({ properties }) => {
      if (Math.random() < 0.1) throw new Error("down");
      const id = String(properties.messageId);
      done.set(id, (done.get(id) ?? 0) + 1);
    }, abort.signal, { backoffMs: 1 });
    await until(() => done.size === 100);
    abort.abort();
    await consuming;
    assert.deepEqual(new Set(done.values()), new Set([1]));
  }, 30));

test("poison goes to the dead queue after its attempts", () =>
  withQueue(async (channel, queue) => {
    const tries = new Map<string, number>();
    await publish(channel, queue, Buffer.from("poison"), "p");
    await publish(channel, queue, Buffer.from("good"), "g");
    const abort = new AbortController();
    const consuming = consume(channel, queue, async (message: ConsumeMessage) => {
      const id = String(message.properties.messageId);
      tries.set(id, (tries.get(id) ?? 0) + 1);
      if (id === "p") throw new TypeError("cannot parse");
    }, abort.signal, { backoffMs: 1 });
    let letter: { content: Buffer } | false = false;
    await until(async () => {
      letter = await channel.get(`${queue}.dead`, { noAck: true });
      return letter !== false;
    });
    abort.abort();
    await consuming;
    assert.equal((letter as unknown as { content: Buffer }).content.toString(), "poison");
    assert.deepEqual([tries.get("p"), tries.get("g")], [3, 1]);
  }));

test("a broker that confirms nothing is not waited for", async () => {
  const silent = { on: () => silent, off: () => silent, sendToQueue: () => true } as unknown as ConfirmChannel;
  const began = performance.now();
  await assert.rejects(publish(silent, "q", Buffer.from("x"), "1", { timeoutMs: 100 }), /not confirmed within 100 ms/);
  assert.ok(performance.now() - began < 5000);
});

test("an outage of a moment uses up no attempts", () =>
  withQueue(async (channel, queue) => {
    const over = performance.now() + 1000;
    const tries = new Map<string, number>();
    const done = new Set<string>();
    for (let n = 0; n < 30; n++) await publish(channel, queue, Buffer.from("{}"), String(n));
    const abort = new AbortController();
    // Not an async function: what it throws is a failure as well.
    const handle = ({ properties }: ConsumeMessage): Promise<void> => {
      const id = String(properties.messageId);
      tries.set(id, (tries.get(id) ?? 0) + 1);
      if (performance.now() < over) throw new Error("down");
      done.add(id);
      return Promise.resolve();
    };
    const consuming = consume(channel, queue, handle, abort.signal, { backoffMs: 500 });
    await until(() => done.size === 30);
    abort.abort();
    await consuming;
    assert.ok(Math.max(...tries.values()) <= 3);
    assert.equal((await channel.checkQueue(`${queue}.dead`)).messageCount, 0);
  }));

test("stopping does not wait for a pause, and the message stays", () =>
  withQueue(async (channel, queue) => {
    await publish(channel, queue, Buffer.from("x"), "1");
    const failed = new Signal();
    const abort = new AbortController();
    const consuming = consume(channel, queue, async () => {
      failed.set();
      throw new Error("down");
    }, abort.signal, { backoffMs: 60_000 });
    await failed.wait;
    const began = performance.now();
    abort.abort();
    await consuming;
    assert.ok(performance.now() - began < 5000);
    const got = new Signal();
    const again = new AbortController();
    const next = consume(channel, queue, async () => got.set(), again.signal);
    await got.wait;
    again.abort();
    await next;
  }));

test("a consumer that dies loses nothing, and a message that no queue takes is an error", () =>
  withQueue(async (channel, queue) => {
    await publish(channel, queue, Buffer.from("x"), "1");
    const dying = await connect(URL);
    assert.ok(await (await dying.createChannel()).get(queue));
    await dying.close();
    const got: string[] = [];
    const abort = new AbortController();
    const consuming = consume(channel, queue, async ({ properties }) => void got.push(String(properties.messageId)), abort.signal);
    await until(() => got.length === 1);
    abort.abort();
    await consuming;
    await assert.rejects(publish(channel, `${queue}.missing`, Buffer.from("x"), "2"), Unroutable);
  }));
