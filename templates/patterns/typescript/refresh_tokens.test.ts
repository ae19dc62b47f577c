import assert from "node:assert/strict";
import { test } from "node:test";
import { sleep, withSchema } from "./proof.js";
import { Invalid, issue, Reused, revoke, revokeAll, rotate, SCHEMA, Superseded, type Issued } from "./refresh_tokens.js";

test("of 100 concurrent uses one gets the successor", () =>
  withSchema(SCHEMA, async (pool) => {
    const first = await issue(pool, "alice");
    const results = await Promise.allSettled(Array.from({ length: 100 }, () => rotate(pool, first.token)));
    const winners = results.filter((result): result is PromiseFulfilledResult<Issued> => result.status === "fulfilled");
    assert.equal(winners.length, 1);
    assert.ok(results.every((result) => result.status === "fulfilled" || result.reason instanceof Superseded));
    assert.equal((await rotate(pool, winners[0]!.value.token)).subject, "alice");
  }));

test("reuse after the grace revokes thief and victim but not other logins", () =>
  withSchema(SCHEMA, async (pool) => {
    const stolen = await issue(pool, "alice");
    const other = await issue(pool, "alice");
    const victim = await rotate(pool, stolen.token);
    await assert.rejects(rotate(pool, stolen.token, { graceMs: 0 }), Reused);
    await assert.rejects(rotate(pool, victim.token), Invalid);
    assert.ok(await rotate(pool, other.token));
  }));

test("idle and absolute expiry: rotating does not lengthen the family's life", () =>
  withSchema(SCHEMA, async (pool) => {
    const idle = await issue(pool, "a", { idleMs: 50 });
    const short = await issue(pool, "a", { absoluteMs: 300 });
    await sleep(100);
    await assert.rejects(rotate(pool, idle.token), Invalid);
    const successor = await rotate(pool, short.token);
    await sleep(300);
    await assert.rejects(rotate(pool, successor.token), Invalid);
  }));

test("logout ends the family and revokeAll every one", () =>
  withSchema(SCHEMA, async (pool) => {
    const first = await issue(pool, "alice");
    const second = await rotate(pool, first.token);
    const third = await issue(pool, "alice");
    await revoke(pool, second.token);
    await revoke(pool, "unknown");
    for (const token of [first.token, second.token, "unknown", ""]) await assert.rejects(rotate(pool, token), Invalid);
    await revokeAll(pool, "alice");
    await assert.rejects(rotate(pool, third.token), Invalid);
  }));
