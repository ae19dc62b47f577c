import assert from "node:assert/strict";
import { connect as dial, createServer, type AddressInfo, type Socket } from "node:net";
import { test } from "node:test";
import { connect, type JetStreamClient, type JetStreamManager } from "nats";
import { consume, declare, publish } from "./nats_consumer.js";
import { sleep, unique } from "./proof.js";

const URL = process.env["NATS_URL"] ?? "nats://127.0.0.1:4222";

async function withStream(body: (js: JetStreamClient, manager: JetStreamManager, stream: string) => Promise<void>): Promise<void> {
  const connection = await connect({ servers: URL });
  const manager = await connection.jetstreamManager();
  const stream = `proof${unique()}`;
  await declare(manager, stream);
  try {
    await body(connection.jetstream(), manager, stream);
  } finally {
    await manager.streams.delete(stream);
    await manager.streams.delete(`${stream}-dead`);
    await connection.close();
  }
}

async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  for (const end = Date.now() + 20_000; !(await condition()); await sleep(20)) assert.ok(Date.now() < end, "it took too long");
}

test("repeats of a publisher are stored once", () =>
  withStream(async (js, manager, stream) => {
    const fresh: boolean[] = [];
    for (let n = 0; n < 5; n++) fresh.push(await publish(js, `${stream}.a`, Buffer.from("x"), "e1"));
    assert.deepEqual(fresh, [true, false, false, false, false]);
    assert.equal((await manager.streams.info(stream)).state.messages, 1);
  }));

test("every message is handled in spite of failures", () =>
  withStream(async (js, manager, stream) => {
    const done = new Map<string, number>();
    for (let n = 0; n < 100; n++) await publish(js, `${stream}.a`, Buffer.from(String(n)), String(n));
    const abort = new AbortController();
    const consuming = consume(js, stream, "c", async (message) => {
      if (Math.random() < 0.1) throw new Error("down");
      done.set(message.string(), (done.get(message.string()) ?? 0) + 1);
    }, abort.signal, { attempts: 30, backoffMs: 10 });
    await until(() => done.size === 100);
    abort.abort();
    await consuming;
    assert.deepEqual(new Set(done.values()), new Set([1]));
    assert.equal((await manager.consumers.info(stream, "c")).num_ack_pending, 0);
  }));

test("poison is set aside after its attempts and does not loop", () =>
  withStream(async (js, manager, stream) => {
    const tries = new Map<string, number>();
    await publish(js, `${stream}.a`, Buffer.from("poison"), "p");
    await publish(js, `${stream}.a`, Buffer.from("good"), "g");
    const abort = new AbortController();
    const consuming = consume(js, stream, "c", async (message) => {
      tries.set(message.string(), (tries.get(message.string()) ?? 0) + 1);
      if (message.string() === "poison") throw new TypeError("cannot parse\r\nInjected: yes");
    }, abort.signal, { attempts: 3, backoffMs: 10 });
    await until(async () => (await manager.streams.info(`${stream}-dead`)).state.messages === 1);
    await sleep(300);
    abort.abort();
    await consuming;
    const letter = await manager.streams.getMessage(`${stream}-dead`, { last_by_subj: `${stream}-dead.>` });
    assert.equal(Buffer.from(letter.data).toString(), "poison");
    assert.equal(letter.header.get("Dead-Error"), "TypeError: cannot parse  Injected: yes");
    assert.deepEqual([tries.get("poison"), tries.get("good")], [3, 1]);
  }));

test("a server that goes away while messages are in hand is waited for", () =>
  withStream(async (js, _manager, stream) => {
    const upstream = new globalThis.URL(URL);
    const sockets: Socket[] = [];
    const proxy = createServer((socket) => {
      const other = dial(Number(upstream.port || 4222), upstream.hostname);
      sockets.push(socket, other);
      socket.pipe(other).pipe(socket);
      for (const end of [socket, other]) end.on("error", () => undefined).on("close", () => { socket.destroy(); other.destroy(); });
    });
    await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
    const servers = `127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    const through = await connect({ servers, reconnectTimeWait: 100, maxReconnectAttempts: -1 });
    for (let n = 0; n < 3; n++) await publish(js, `${stream}.a`, Buffer.from(String(n)), String(n));
    const seen: string[] = [];
    const abort = new AbortController();
    const consuming = consume(through.jetstream(), stream, "c", async (message) => {
      if (seen.push(message.string()) === 1) for (const socket of sockets) socket.destroy();
    }, abort.signal, { ackWaitMs: 500, inFlight: 1, backoffMs: 50 });
    await Promise.race([consuming, until(() => new Set(seen).size === 3)]);
    assert.equal(new Set(seen).size, 3);
    abort.abort();
    await consuming;
    await through.close();
    proxy.close();
  }));
