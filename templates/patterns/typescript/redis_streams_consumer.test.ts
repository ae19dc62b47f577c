import assert from "node:assert/strict";
import { test } from "node:test";
import { Redis } from "ioredis";
import { REDIS_URL, sleep, unique, withRedis } from "./proof.js";
import { StreamConsumer, type Message } from "./redis_streams_consumer.js";

async function drain(redis: Redis, stream: string, handle: (message: Message) => Promise<void>, count: number, options = {}): Promise<void> {
  const own = new Redis(REDIS_URL);
  const abort = new AbortController();
  const running = new StreamConsumer(own, { stream, group: "g", name: "c", handle, backoffMs: 1, ...options }).run(abort.signal);
  for (;;) {
    const group = ((await redis.xinfo("GROUPS", stream).catch(() => [])) as (string | number)[][])[0] ?? [];
    const field = (name: string): unknown => group[group.indexOf(name) + 1];
    if (field("pending") === 0 && field("entries-read") === count) break;
    await sleep(10);
  }
  abort.abort();
  await running;
  own.disconnect();
}

test("order per key holds when handling fails now and then", () =>
  withRedis(async (redis) => {
    const stream = `proof:${unique()}`;
    const seen = new Map<string, number[]>();
    for (let n = 0; n < 200; n++) await redis.xadd(stream, "*", "key", `k${n % 4}`, "n", n);
    await drain(redis, stream, async (message) => {
      if (Math.random() < 0.1) throw new Error("down");
      seen.set(message.key, [...(seen.get(message.key) ?? []), Number(message.fields["n"])]);
    }, 200, { attempts: 50 });
    for (let k = 0; k < 4; k++) assert.deepEqual(seen.get(`k${k}`), Array.from({ length: 50 }, (_, n) => n * 4 + k));
    await redis.del(stream);
  }));

test("poison is set aside and its key goes on", () =>
  withRedis(async (redis) => {
    const stream = `proof:${unique()}`;
    const handled: string[] = [];
    for (const name of ["good", "poison", "after"]) await redis.xadd(stream, "*", "key", "k", "name", name);
    await drain(redis, stream, async ({ fields }) => {
      if (fields["name"] === "poison") throw new TypeError("cannot parse");
      handled.push(fields["name"]!);
    }, 3, { attempts: 3 });
    assert.deepEqual(handled, ["good", "after"]);
    const letters = await redis.xrange(`${stream}:dead`, "-", "+");
    assert.equal(letters.length, 1);
    assert.ok(letters[0]![1].includes("TypeError: cannot parse"));
    assert.equal(await redis.exists(`${stream}:g:failures`), 0);
    await redis.del(stream, `${stream}:dead`);
  }));

test("a dead consumer's messages are taken over", () =>
  withRedis(async (redis) => {
    const stream = `proof:${unique()}`;
    const seen: string[] = [];
    await redis.xgroup("CREATE", stream, "g", "0", "MKSTREAM");
    for (let n = 0; n < 5; n++) await redis.xadd(stream, "*", "key", "k", "n", n);
    await redis.xreadgroup("GROUP", "g", "dead", "COUNT", 5, "STREAMS", stream, ">");
    await sleep(100);
    await drain(redis, stream, async ({ fields }) => void seen.push(fields["n"]!), 5, { idleMs: 50 });
    assert.deepEqual(seen, ["0", "1", "2", "3", "4"]);
    await redis.del(stream);
  }));

test("a message that kills its consumers is set aside, and a group that is lost is made again", () =>
  withRedis(async (redis) => {
    const stream = `proof:${unique()}`;
    const handled: string[] = [];
    for (const name of ["killer", "after"]) await redis.xadd(stream, "*", "key", "k", "name", name);
    await redis.xgroup("CREATE", stream, "g", "0");
    for (let n = 0; n < 3; n++) {
      let begun = (): void => undefined;
      const inHand = new Promise<void>((resolve) => (begun = resolve));
      const handle = (): Promise<void> => {
        begun();
        return new Promise(() => undefined); // never heard of again
      };
      void new StreamConsumer(redis, { stream, group: "g", name: "c", handle }).step();
      await inHand;
    }
    const note = async ({ fields }: Message): Promise<void> => {
      if (fields["name"] === "killer") throw new Error("it would have died again");
      handled.push(fields["name"]!);
    };
    await drain(redis, stream, note, 2, { attempts: 3 });
    assert.deepEqual(handled, ["after"]);
    const letters = await redis.xrange(`${stream}:dead`, "-", "+");
    assert.ok(letters[0]![1].includes("Error: its consumers died"));

    const own = new Redis(REDIS_URL);
    const abort = new AbortController();
    const running = new StreamConsumer(own, { stream, group: "g", name: "c", handle: note, backoffMs: 1 }).run(abort.signal);
    await redis.del(stream); // and the group with it
    await redis.xadd(stream, "*", "key", "k", "name", "later");
    for (const end = Date.now() + 5000; !handled.includes("later"); await sleep(20)) assert.ok(Date.now() < end, "it took too long");
    abort.abort();
    await running;
    own.disconnect();
    await redis.del(stream, `${stream}:dead`, `${stream}:g:failures`);
  }));
