import assert from "node:assert/strict";
import { test } from "node:test";
import { hash } from "@node-rs/argon2";
import { Passwords, TooLong } from "./passwords.js";

test("right, wrong, unknown and broken", async () => {
  const passwords = new Passwords();
  const stored = await passwords.hash("pässword ✓");
  assert.ok(stored.startsWith("$argon2id$v=19$m=19456,t=2,p=1$"));
  assert.deepEqual(await passwords.verify(stored, "pässword ✓"), { ok: true });
  for (const [target, attempt] of [[stored, "password"], [undefined, "no user has this one"], ["not a hash", "x"]] as const)
    assert.deepEqual(await passwords.verify(target, attempt), { ok: false });
  const long = await passwords.hash("a".repeat(100));
  assert.equal((await passwords.verify(long, "a".repeat(99))).ok, false);
  await assert.rejects(passwords.hash("ä".repeat(513)), TooLong);
});

test("a hash with weaker parameters is replaced at login", async () => {
  const passwords = new Passwords();
  const weak = await hash("secret", { memoryCost: 1024, timeCost: 1, parallelism: 1 });
  const { ok, newHash } = await passwords.verify(weak, "secret");
  assert.ok(ok && newHash);
  assert.deepEqual(await passwords.verify(newHash, "secret"), { ok: true });
});

test("an unknown user costs what a wrong password costs, and the event loop stays free", async () => {
  const passwords = new Passwords(2);
  const stored = await passwords.hash("right");
  const cost = async (target: string | undefined): Promise<number> => {
    const started = performance.now();
    await passwords.verify(target, "wrong");
    return performance.now() - started;
  };
  await cost(undefined);
  const [known, unknown]: [number[], number[]] = [[], []];
  for (let n = 0; n < 9; n++) {
    known.push(await cost(stored));
    unknown.push(await cost(undefined));
  }
  const median = (values: number[]): number => values.sort((a, b) => a - b)[4]!;
  const ratio = median(unknown) / median(known);
  assert.ok(ratio > 0.4 && ratio < 2.5, String(ratio));
  let ticks = 0;
  const timer = setInterval(() => ticks++, 1);
  await Promise.all(Array.from({ length: 6 }, () => passwords.hash("x")));
  clearInterval(timer);
  assert.ok(ticks > 3);
});
