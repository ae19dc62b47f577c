/** For the tests beside it: servers, and an empty PostgreSQL schema that is dropped afterwards. */
import { randomBytes } from "node:crypto";
import { createServer, type Server } from "node:net";
import type { AddressInfo } from "node:net";
import { Redis } from "ioredis";
import pg from "pg";

export const REDIS_URL = process.env["REDIS_URL"] ?? "redis://127.0.0.1:6379/0";
export const DATABASE_URL = process.env["DATABASE_URL"] ?? "postgresql://postgres@127.0.0.1:5432/postgres";
export const unique = (): string => randomBytes(8).toString("hex");
export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** Something happens once, and others wait for it. */
export class Signal {
  set!: () => void;
  readonly wait = new Promise<void>((resolve) => (this.set = resolve));
}

export async function withRedis(body: (redis: Redis) => Promise<void>): Promise<void> {
  const redis = new Redis(REDIS_URL);
  try {
    await body(redis);
  } finally {
    redis.disconnect();
  }
}

/** A Redis client that never gives up and a server that accepts and never answers. */
export async function withHangingRedis(body: (redis: Redis) => Promise<void>): Promise<void> {
  const server: Server = createServer((socket) => socket.on("error", () => undefined));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const redis = new Redis((server.address() as AddressInfo).port, "127.0.0.1");
  redis.on("error", () => undefined);
  try {
    await body(redis);
  } finally {
    redis.disconnect();
    server.close();
  }
}

export const LEVELS = ["read committed", "repeatable read", "serializable"] as const;
export const isolation = (level: string): string => ` -cdefault_transaction_isolation=${level.replace(" ", "\\ ")}`;

/** Give `body` a pool whose connections see a fresh schema that holds `ddl`, and have `options`. */
export async function withSchema(
  ddl: string,
  body: (pool: pg.Pool) => Promise<void>,
  max = 20,
  options = "",
): Promise<void> {
  const schema = `proof_${unique()}`;
  const admin = new pg.Client(DATABASE_URL);
  await admin.connect();
  await admin.query(`CREATE SCHEMA ${schema}`);
  const pool = new pg.Pool({ connectionString: DATABASE_URL, options: `-csearch_path=${schema}${options}`, max });
  pool.on("error", () => undefined);
  try {
    if (ddl) await pool.query(ddl);
    await body(pool);
  } finally {
    await pool.end();
    await admin.query(`DROP SCHEMA ${schema} CASCADE`);
    await admin.end();
  }
}

/** Run `work` on one connection, and throw the connection away if it broke. */
export async function onConnection<T>(pool: pg.Pool, work: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await pool.connect();
  let broken: Error | undefined;
  client.on("error", (error: Error) => {
    broken = error;
  });
  try {
    return await work(client);
  } finally {
    client.release(broken);
  }
}
