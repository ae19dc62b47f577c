import assert from "node:assert/strict";
import { test } from "node:test";
import { isolation, LEVELS, sleep, withSchema } from "./proof.js";
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

for (const ending of ["logout", "every session", "reuse"]) {
  test(`a revocation beside a rotation ends the successor too: ${ending}`, () =>
    withSchema(SCHEMA, async (pool) => {
      const old = await issue(pool, "alice");
      const current = await rotate(pool, old.token);
      const holder = await pool.connect();
      await holder.query("BEGIN");
      await holder.query("SELECT 1 FROM refresh_token WHERE hash = sha256(convert_to($1, 'UTF8')) FOR UPDATE", [current.token]);
      const rotated = rotate(pool, current.token);
      await sleep(200);
      const ended =
        ending === "logout"
          ? revoke(pool, current.token)
          : ending === "every session"
            ? revokeAll(pool, "alice")
            : assert.rejects(rotate(pool, old.token, { graceMs: 0 }), Reused);
      await sleep(200);
      await holder.query("COMMIT");
      holder.release();
      const successor = await rotated;
      await ended;
      await assert.rejects(rotate(pool, successor.token), Invalid);
    }));
}

test("who waited for a slow rotation is no thief", () =>
  withSchema(SCHEMA, async (pool) => {
    const first = await issue(pool, "alice");
    const holder = await pool.connect();
    await holder.query("BEGIN");
    await holder.query("SELECT 1 FROM refresh_token WHERE hash = sha256(convert_to($1, 'UTF8')) FOR UPDATE", [first.token]);
    const rotated = rotate(pool, first.token);
    await sleep(200);
    const beside = assert.rejects(rotate(pool, first.token, { graceMs: 1000 }), Superseded);
    await sleep(1400);
    await holder.query("COMMIT");
    holder.release();
    await beside;
    assert.ok(await rotate(pool, (await rotated).token));
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

for (const level of LEVELS) {
  test(`whatever isolation level is the default: ${level}`, () =>
    withSchema(SCHEMA, async (pool) => {
      const first = await issue(pool, "alice");
      const results = await Promise.allSettled(Array.from({ length: 20 }, () => rotate(pool, first.token)));
      const winners = results.filter((result): result is PromiseFulfilledResult<Issued> => result.status === "fulfilled");
      assert.equal(winners.length, 1);
      assert.ok(results.every((result) => result.status === "fulfilled" || result.reason instanceof Superseded));
      const { token } = winners[0]!.value;
      const holder = await pool.connect();
      await holder.query("BEGIN ISOLATION LEVEL READ COMMITTED");
      await holder.query("SELECT 1 FROM refresh_token WHERE hash = sha256(convert_to($1, 'UTF8')) FOR UPDATE", [token]);
      const rotated = rotate(pool, token);
      await sleep(200);
      const ended = revoke(pool, token);
      await sleep(200);
      await holder.query("COMMIT");
      holder.release();
      const successor = await rotated;
      await ended;
      await assert.rejects(rotate(pool, successor.token), Invalid);
    }, 20, isolation(level)));
}

test("a project with one exception", () =>
  withSchema(SCHEMA, async (pool) => {
    class Denied extends Error {}
    const refresh = (old: string): Promise<Issued> =>
      rotate(pool, old, { graceMs: 200 }).catch((error: unknown) => {
        throw error instanceof Invalid || error instanceof Superseded ? new Denied() : error;
      });
    const first = await issue(pool, "alice");
    const second = await refresh(first.token);
    await assert.rejects(refresh(first.token), Denied);
    await sleep(300);
    for (const token of [first.token, second.token]) await assert.rejects(refresh(token), Denied);
  }));
