/**
 * Retry with full jitter, inside the caller's deadline and a budget.
 *
 * Guarantees: at most `attempts` calls; no sleep that would outlive the deadline; over time at most `ratio` retries for
 *   each first call (plus a small reserve), so that retries cannot multiply an outage; `retryAfterMs` is honoured.
 * Needs: Node >= 18. One `Budget` for each dependency and process. Retry at one layer only.
 * Fails: the last error is thrown as it is; only errors that `retryable` accepts are retried. Do not retry what is not
 *   idempotent: a POST needs an Idempotency-Key first.
 * Prove: npm test
 *
 * M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog (2015); SRE book, chapter 22 (retry budgets).
 */

/** Throw it for an answer worth a retry (429, 503); `retryAfterMs` is the server's wish. */
export class RetryableError extends Error {
  constructor(
    message: string,
    readonly retryAfterMs = 0,
  ) {
    super(message);
  }
}

/** Tokens for retries: each first call adds `ratio`, each retry takes 1, `reserve` is the most that is saved. */
export class Budget {
  #tokens: number;
  constructor(
    private readonly ratio = 0.1,
    private readonly reserve = 10,
  ) {
    this.#tokens = reserve;
  }
  deposit(): void {
    this.#tokens = Math.min(this.#tokens + this.ratio, this.reserve);
  }
  withdraw(): boolean {
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}

export interface RetryOptions {
  retryable: (error: unknown) => boolean;
  budget: Budget;
  /** A reading of `now`. */
  deadline: number;
  attempts?: number;
  baseMs?: number;
  capMs?: number;
  sleep?: (ms: number) => Promise<unknown>;
  now?: () => number;
}

/** Call `call(msLeft)` until it succeeds, its error is final, or attempts, budget or time run out. */
export async function retry<T>(call: (msLeft: number) => Promise<T>, options: RetryOptions): Promise<T> {
  const { retryable, budget, deadline, attempts = 3, baseMs = 100, capMs = 2000 } = options;
  const { sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms)), now = () => performance.now() } = options;
  budget.deposit();
  if (now() >= deadline) throw new Error("the deadline had passed before the first attempt");
  for (let attempt = 1; ; attempt++) {
    try {
      return await call(deadline - now());
    } catch (error) {
      const jittered = Math.random() * Math.min(capMs, baseMs * 2 ** (attempt - 1));
      const delay = Math.max(jittered, error instanceof RetryableError ? error.retryAfterMs : 0);
      const hopeless = attempt >= attempts || !retryable(error) || now() + delay >= deadline;
      if (hopeless || !budget.withdraw()) throw error;
      await sleep(delay);
    }
  }
}
