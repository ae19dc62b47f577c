import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pool } from "pg";
import { isolation, LEVELS, sleep, withSchema } from "./proof.js";
import { Invalid, issue, Reused, revoke, revokeAll, rotate, SCHEMA, Superseded, type Issued } from "./refresh_tokens.js";

test("of 100 concurrent uses one gets the successor", () =>
  withSchema(SCHEMA, async (pool) => {
    const first = await issue(pool, "alice");
    const results = await Promise.allSettled(Array.from({ length: 100 }, () => rotate(pool, first.token)));
    const winners = results.filter((result): result is PromiseFulfilledResult<Issued> => result.status === "fulfilled");
    assert.equal(winners.length, 1);
    assert.ok(results.every((result) => result.status === "fulfilled" || result.reason instanceof Superseded));
    assert.equal((await pool.query("SELECT FROM refresh_token")).rowCount, 2);
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

const OPTIONS = {
  ...Object.fromEntries(LEVELS.map((level) => [level, isolation(level)])),
  "hash joins": " -cjit=off -cenable_nestloop=off -cenable_mergejoin=off -cenable_seqscan=off",
  "merge joins": " -cjit=off -cenable_nestloop=off -cenable_hashjoin=off -cenable_seqscan=off",
  "sequential scans": " -cjit=off -cenable_hashjoin=off -cenable_mergejoin=off -cenable_indexscan=off -cenable_bitmapscan=off",
};

/** Hold the row of `token`, begin `calls` 0.2 s apart, let go `holdMs` later, and return what came of each. */
async function meanwhile<T>(
  pool: Pool,
  token: string,
  calls: (() => Promise<T>)[],
  { holdMs = 0, by = "SELECT FROM refresh_token WHERE hash = sha256(convert_to($1, 'UTF8')) FOR UPDATE" } = {},
): Promise<PromiseSettledResult<T>[]> {
  const holder = await pool.connect();
  await holder.query("BEGIN ISOLATION LEVEL READ COMMITTED");
  assert.equal((await holder.query(by, [token])).rowCount, 1);
  const running: Promise<T>[] = [];
  for (const call of calls) {
    const begun = call();
    begun.catch(() => undefined);
    running.push(begun);
    await sleep(200);
  }
  await sleep(holdMs);
  await holder.query("COMMIT");
  holder.release();
  return Promise.allSettled(running);
}

async function underEveryOption(body: (pool: Pool) => Promise<void>, ddl = SCHEMA): Promise<void> {
  const run = ([name, options]: [string, string]): Promise<void> =>
    withSchema(ddl, body, 5, options).catch((cause: unknown) => {
      throw new Error(name, { cause });
    });
  await Promise.all(Object.entries(OPTIONS).map(run));
}

for (const ending of ["logout", "every session", "reuse"]) {
  test(`a revocation beside a rotation ends the successor too: ${ending}`, () =>
    underEveryOption(async (pool) => {
      const old = await issue(pool, "alice");
      const current = await rotate(pool, old.token);
      const end = (): Promise<void> =>
        ending === "logout"
          ? revoke(pool, current.token)
          : ending === "every session"
            ? revokeAll(pool, "alice")
            : assert.rejects(rotate(pool, old.token, { graceMs: 0 }), Reused);
      const [rotated, ended] = await meanwhile<Issued | void>(pool, current.token, [() => rotate(pool, current.token), end]);
      assert.equal(rotated?.status, "fulfilled");
      assert.equal(ended?.status, "fulfilled");
      await assert.rejects(rotate(pool, (rotated.value as Issued).token), Invalid);
    }));
}

test("a rotation behind a revocation comes to nothing", () =>
  underEveryOption(async (pool) => {
    const { token } = await issue(pool, "alice");
    const [ended, rotated] = await meanwhile<unknown>(pool, token, [() => revoke(pool, token), () => rotate(pool, token)]);
    assert.equal(ended?.status, "fulfilled");
    assert.ok(rotated?.status === "rejected" && rotated.reason instanceof Invalid);
    assert.equal((await pool.query("SELECT FROM refresh_token")).rowCount, 0);
  }));

const SLOW = `
CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN PERFORM pg_sleep(1.5) FROM refresh_token HAVING count(*) = 2; RETURN NULL; END $$;
CREATE TRIGGER slow AFTER INSERT ON refresh_token EXECUTE FUNCTION slow();`;

for (const [slow, holdMs] of [["", 1200], [SLOW, 0]] as const) {
  test(`who waited for a slow rotation is no thief: ${slow ? "slow to commit" : "slow to begin"}`, () =>
    underEveryOption(async (pool) => {
      const { token } = await issue(pool, "alice");
      const [rotated, beside] = await meanwhile(
        pool,
        token,
        [() => rotate(pool, token), () => rotate(pool, token, { graceMs: 1000 })],
        { holdMs },
      );
      assert.ok(beside?.status === "rejected" && beside.reason instanceof Superseded);
      assert.equal(rotated?.status, "fulfilled");
      assert.ok(await rotate(pool, rotated.value.token));
    }, SCHEMA + slow));
}

test("the grace begins when the winner has got its lock", () =>
  underEveryOption(async (pool) => {
    const { token } = await issue(pool, "alice");
    const late = (): Promise<Issued> => sleep(600).then(() => rotate(pool, token, { graceMs: 500 }));
    const [rotated, beside] = await meanwhile(pool, token, [() => rotate(pool, token), late], { holdMs: 1000 });
    assert.equal(rotated?.status, "fulfilled");
    assert.ok(beside?.status === "rejected" && beside.reason instanceof Superseded);
  }));

test("who waited sees what was committed meanwhile", () =>
  underEveryOption(async (pool) => {
    for (const [change, outcome] of [
      ["expires_at = now()", Invalid],
      ["expires_at = 'infinity'", Object],
      ["used_at = now()", Superseded],
      ["used_at = now() - interval '1 minute'", Reused],
    ] as const) {
      const { token } = await issue(pool, "alice");
      const by = `UPDATE refresh_token SET ${change} WHERE hash = sha256(convert_to($1, 'UTF8'))`;
      const [result] = await meanwhile(pool, token, [() => rotate(pool, token)], { by });
      const came: object = result?.status === "fulfilled" ? result.value : (result?.reason as object);
      assert.equal(came.constructor, outcome, change);
    }
  }));

test("the family is locked before its tokens", () =>
  underEveryOption(async (pool) => {
    const { token } = await issue(pool, "alice");
    const look = (): Promise<unknown> => pool.query("SELECT FROM refresh_family FOR UPDATE NOWAIT");
    const [rotated, looked] = await meanwhile(pool, token, [() => rotate(pool, token), look]);
    assert.equal(rotated?.status, "fulfilled");
    assert.match(String(looked?.status === "rejected" && looked.reason), /could not obtain lock/);
  }));

test("the last moment of the grace belongs to it", async () => {
  for (const [ms, outcome] of [[-1, Superseded], [2000, Superseded], [2000.001, Reused]] as const) {
    const pool = { query: () => Promise.resolve({ rows: [{ subject: "alice", ms }] }) } as unknown as Pool;
    await assert.rejects(rotate(pool, "token", { graceMs: 2000 }), (error: Error) => error.constructor === outcome);
  }
});

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

test("tokens that never expire", () =>
  withSchema(SCHEMA, async (pool) => {
    const expiries = async (idleMs: number | null, absoluteMs: number | null): Promise<unknown[]> => {
      const { token } = await issue(pool, "alice", { idleMs, absoluteMs });
      await rotate(pool, token, { idleMs });
      const found = await pool.query<{ expires: unknown }>(
        `DELETE FROM refresh_token RETURNING CASE expires_at WHEN 'infinity' THEN 'never'
           ELSE round(extract(epoch FROM expires_at - now()))::text END AS expires`,
      );
      return found.rows.map((row) => row.expires);
    };
    assert.deepEqual(await expiries(null, null), ["never", "never"]);
    assert.deepEqual(await expiries(60_000, null), ["60", "60"]);
    assert.deepEqual(await expiries(null, 90_000), ["90", "90"]);
  }));

test("logout ends the family and revokeAll every one", () =>
  withSchema(SCHEMA, async (pool) => {
    const first = await issue(pool, "alice");
    const second = await rotate(pool, first.token);
    const third = await issue(pool, "alice");
    await revoke(pool, second.token);
    await revoke(pool, "unknown");
    for (const token of [first.token, second.token, "unknown", "", "\0", "\ud800"])
      await assert.rejects(rotate(pool, token), Invalid);
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
      const [rotated, ended] = await meanwhile<unknown>(pool, token, [() => rotate(pool, token), () => revoke(pool, token)]);
      assert.equal(rotated?.status, "fulfilled");
      assert.equal(ended?.status, "fulfilled");
      const successor = rotated.value as Issued;
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
