/**
 * Saga step guard on PostgreSQL: replies move a persisted saga by compare-and-set, forward or back.
 *
 * Guarantees: a duplicate, late or out-of-order reply changes nothing; commands leave in the transaction that moves the
 *   saga (through outbox.ts); compensation runs in reverse order and covers every step that may have happened, a step
 *   whose outcome is unknown (timeout) included; after the pivot a saga only goes forward.
 * Needs: pg >= 8.11, PostgreSQL >= 11, the table of `SCHEMA`, transaction.ts. Commands and compensations must be
 *   idempotent, and a compensation must do nothing where its step did not happen.
 * Fails: a compensation that fails is sent again until it succeeds (`onTimeout` re-sends); it is never skipped.
 * Prove: npm test   (DATABASE_URL, default postgresql://postgres@127.0.0.1:5432/postgres)
 */
import type { Pool, PoolClient } from "pg";
import { transaction } from "./transaction.js";

export const SCHEMA = `
CREATE TABLE saga (
  id text PRIMARY KEY,
  step int NOT NULL DEFAULT 0,
  state text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'compensating', 'done', 'compensated')),
  step_started_at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX saga_open ON saga (step_started_at) WHERE state IN ('running', 'compensating');
`;

type State = "running" | "compensating" | "done" | "compensated";
export type Send = (client: PoolClient, sagaId: string, message: string) => Promise<unknown>;

/** The pivot and the steps behind it have no compensation: they are retried until they succeed. */
export interface Step {
  command: string;
  compensation?: string;
}

export class Saga {
  constructor(
    private readonly pool: Pool,
    private readonly steps: readonly Step[],
    private readonly send: Send,
  ) {
    const pivot = steps.findIndex((step) => !step.compensation);
    if (!steps.length || (pivot >= 0 && steps.slice(pivot).some((step) => step.compensation)))
      throw new Error("steps with compensation come first, the pivot and retriable steps after them");
  }

  /** Begin the saga; false where it had begun before. */
  start(id: string): Promise<boolean> {
    return transaction(this.pool, async (client) => {
      const begun = await client.query("INSERT INTO saga (id) VALUES ($1) ON CONFLICT DO NOTHING", [id]);
      if (begun.rowCount) await this.send(client, id, this.steps[0]!.command);
      return begun.rowCount === 1;
    });
  }

  /** Take the reply to `message` (a command or a compensation); false where the saga does not wait for it. */
  onReply(id: string, message: string, succeeded: boolean): Promise<boolean> {
    return transaction(this.pool, async (client) => {
      const { rows } = await client.query<{ step: number; state: State }>("SELECT step, state FROM saga WHERE id = $1 FOR UPDATE", [id]);
      const row = rows[0];
      if (!row || message !== this.#awaited(row.step, row.state)) return false;
      const [step, state] = this.#next(row.step, row.state, succeeded);
      await client.query("UPDATE saga SET step = $1, state = $2, step_started_at = clock_timestamp() WHERE id = $3", [step, state, id]);
      const awaited = this.#awaited(step, state);
      if (awaited) await this.send(client, id, awaited);
      return true;
    });
  }

  /** Deal with sagas without a reply for `olderThanMs`: compensate what is unknown, send the rest again; resolve to how many. */
  onTimeout(olderThanMs = 60_000): Promise<number> {
    return transaction(this.pool, async (client) => {
      const { rows } = await client.query<{ id: string; step: number; state: State }>(
        `SELECT id, step, state FROM saga
         WHERE state IN ('running', 'compensating') AND step_started_at < clock_timestamp() - make_interval(secs => $1)
         ORDER BY step_started_at LIMIT 100 FOR UPDATE SKIP LOCKED`,
        [olderThanMs / 1000],
      );
      for (const { id, step, state } of rows) {
        const next = state === "running" && this.steps[step]!.compensation ? "compensating" : state;
        await client.query("UPDATE saga SET state = $1, step_started_at = clock_timestamp() WHERE id = $2", [next, id]);
        await this.send(client, id, this.#awaited(step, next)!);
      }
      return rows.length;
    });
  }

  #next(step: number, state: State, succeeded: boolean): [number, State] {
    if (state === "compensating") {
      if (!succeeded) return [step, state];
      return step > 0 ? [step - 1, "compensating"] : [0, "compensated"];
    }
    if (succeeded) return [step + 1, step + 1 < this.steps.length ? "running" : "done"];
    if (this.steps[step]!.compensation) return [step, "compensating"]; // this step too: it may have had a partial effect
    if (step === 0) return [0, "compensated"];
    if (this.steps[step - 1]!.compensation) return [step - 1, "compensating"]; // the pivot itself refused
    return [step, "running"];
  }

  #awaited(step: number, state: State): string | undefined {
    if (state === "running") return this.steps[step]?.command;
    return state === "compensating" ? this.steps[step]?.compensation : undefined;
  }
}
