/**
 * Password hashing: Argon2id off the event loop, rehash on login, the same time for unknown users.
 *
 * Guarantees: verification of an unknown user costs what a wrong password costs; hashes made with older parameters are
 *   replaced at the next successful login; at most `parallel` hashes run at once (each needs 19 MiB).
 * Needs: @node-rs/argon2 >= 2.
 * Fails: `TooLong` for more than 1,024 bytes.
 * Prove: npm test
 *
 * Parameters: OWASP Password Storage Cheat Sheet. Put rate_limiter.ts with onFailure "closed" before it.
 */
import { hash, verify, type Options } from "@node-rs/argon2";

const PARAMETERS: Options = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };
const CURRENT = "$argon2id$v=19$m=19456,t=2,p=1$";
const LONGEST = 1024;

export class TooLong extends RangeError {}

export class Passwords {
  readonly #decoy: Promise<string> = hash("no user has this one", PARAMETERS);
  #running = 0;
  readonly #queue: (() => void)[] = [];

  constructor(private readonly parallel = 4) {}

  /** Return the hash to store (parameters and salt are in it). */
  hash(password: string): Promise<string> {
    return this.#slot(password, () => hash(password, PARAMETERS));
  }

  /** Whether `password` is the one behind `stored`; pass undefined for a user that does not exist. Store `newHash` if given. */
  verify(stored: string | undefined, password: string): Promise<{ ok: boolean; newHash?: string }> {
    return this.#slot(password, async () => {
      const ok = await verify(stored ?? (await this.#decoy), password).catch(() => false);
      if (!ok || stored === undefined) return { ok: false };
      return stored.startsWith(CURRENT) ? { ok } : { ok, newHash: await hash(password, PARAMETERS) };
    });
  }

  async #slot<T>(password: string, work: () => Promise<T>): Promise<T> {
    if (Buffer.byteLength(password) > LONGEST) throw new TooLong(`a password has at most ${LONGEST} bytes`);
    if (this.#running >= this.parallel) await new Promise<void>((resolve) => this.#queue.push(resolve));
    else this.#running++;
    try {
      return await work();
    } finally {
      const next = this.#queue.shift();
      if (next) next();
      else this.#running--;
    }
  }
}
