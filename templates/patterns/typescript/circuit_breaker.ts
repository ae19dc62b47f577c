/**
 * Circuit breaker: error rate over a sliding window, one probe at a time when half open.
 *
 * Guarantees: opens when at least `rate` of at least `volume` calls in the last `windowMs` failed; while open, refuses at
 *   once; after `cooldownMs` lets `probes` calls through one after the other, closes when all succeed and opens again at
 *   the first failure. Monotonic clock.
 * Needs: Node >= 18. One instance for each dependency.
 * Fails: `Open` tells when to ask again. Only what `isFailure` accepts counts: 4xx and business errors do not.
 * Prove: npm test
 */
export class Open extends Error {
  constructor(readonly retryAfterMs: number) {
    super(`circuit open for ${Math.ceil(retryAfterMs)} ms`);
  }
}

export interface BreakerOptions {
  isFailure: (error: unknown) => boolean;
  rate?: number;
  volume?: number;
  windowMs?: number;
  cooldownMs?: number;
  probes?: number;
  now?: () => number;
}

export class CircuitBreaker {
  readonly #options: Required<BreakerOptions>;
  #calls: { at: number; failed: boolean }[] = [];
  #failures = 0;
  #openedAt: number | undefined;
  #probing = false;
  #probesPassed = 0;

  constructor(options: BreakerOptions) {
    this.#options = { rate: 0.5, volume: 20, windowMs: 10_000, cooldownMs: 10_000, probes: 2, now: () => performance.now(), ...options };
  }

  /** Export it as a metric. */
  get state(): "closed" | "open" | "half_open" {
    if (this.#openedAt === undefined) return "closed";
    return this.#options.now() - this.#openedAt >= this.#options.cooldownMs ? "half_open" : "open";
  }

  /** Call `work` unless the circuit is open; rejects with `Open` or with what `work` rejects with. */
  async call<T>(work: () => Promise<T>): Promise<T> {
    const openedAt = this.#openedAt;
    if (openedAt !== undefined) {
      const wait = this.#options.cooldownMs - (this.#options.now() - openedAt);
      if (wait > 0 || this.#probing) throw new Open(Math.max(wait, 100));
      this.#probing = true;
    }
    try {
      const result = await work();
      this.#record(openedAt, false);
      return result;
    } catch (error) {
      this.#record(openedAt, this.#options.isFailure(error));
      throw error;
    } finally {
      if (openedAt !== undefined && openedAt === this.#openedAt) this.#probing = false;
    }
  }

  #record(openedAt: number | undefined, failed: boolean): void {
    if (openedAt !== this.#openedAt) return; // a call that began in another state is yesterday's news
    const { now, windowMs, volume, rate, probes } = this.#options;
    const time = now();
    if (openedAt !== undefined) {
      this.#probesPassed = failed ? 0 : this.#probesPassed + 1;
      if (failed) this.#open(time);
      else if (this.#probesPassed >= probes) {
        this.#openedAt = undefined;
        this.#probing = false;
        this.#calls = [];
        this.#failures = 0;
      }
      return;
    }
    this.#calls.push({ at: time, failed });
    this.#failures += Number(failed);
    let old = 0;
    while (old < this.#calls.length && this.#calls[old]!.at <= time - windowMs) this.#failures -= Number(this.#calls[old++]!.failed);
    if (old) this.#calls.splice(0, old);
    if (failed && this.#calls.length >= volume && this.#failures >= rate * this.#calls.length) this.#open(time);
  }

  #open(time: number): void {
    this.#openedAt = time;
    this.#probing = false;
    this.#probesPassed = 0;
  }
}
