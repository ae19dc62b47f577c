/**
 * Fetching URLs that strangers give: SSRF-safe, with undici.
 *
 * Guarantees: only http and https to the allowed ports; every address that the name resolves to is public, and the
 *   connection goes to one of the addresses that were checked (the check is the connection's own look-up, so DNS rebinding
 *   has nothing to rebind); redirects are followed at most `redirects` times and checked like the first URL; at most
 *   `limit` bytes are read, counted after decompression; everything within `timeoutMs`.
 * Needs: undici >= 7. (The global fetch ignores `follow` and `timeout` options and follows redirects inward.)
 * Fails: `Blocked` for what is not allowed, other errors for what does not work.
 * Prove: npm test
 *
 * Private, loopback, link-local (169.254.169.254), carrier-grade NAT, multicast, reserved, and IPv4 inside IPv6 are refused.
 */
import { lookup as dnsLookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { Agent, request } from "undici";

export class Blocked extends Error {}

export interface Fetched {
  url: string;
  status: number;
  contentType: string;
  body: Buffer;
}

type Resolve = (host: string) => Promise<{ address: string; family: number }[]>;

export interface SafeFetchOptions {
  limit?: number;
  timeoutMs?: number;
  redirects?: number;
  ports?: readonly number[];
  allowed?: (address: string) => boolean;
  resolve?: Resolve;
}

const INWARD = new BlockList();
for (const [network, prefix] of [
  ["0.0.0.0", 8], ["10.0.0.0", 8], ["100.64.0.0", 10], ["127.0.0.0", 8], ["169.254.0.0", 16], ["172.16.0.0", 12],
  ["192.0.0.0", 24], ["192.0.2.0", 24], ["192.88.99.0", 24], ["192.168.0.0", 16], ["198.18.0.0", 15], ["198.51.100.0", 24],
  ["203.0.113.0", 24], ["224.0.0.0", 4], ["240.0.0.0", 4],
] as const) INWARD.addSubnet(network, prefix, "ipv4");
// Global unicast is 2000::/3 alone; in it, Teredo, ORCHID, documentation and 6to4 (IPv4 inside) are refused whole.
const GLOBAL6 = new BlockList();
GLOBAL6.addSubnet("2000::", 3, "ipv6");
const SPECIAL6 = new BlockList();
for (const [network, prefix] of [["2001::", 23], ["2001:db8::", 32], ["2002::", 16], ["3fff::", 20]] as const)
  SPECIAL6.addSubnet(network, prefix, "ipv6");

/** Whether `address` lies outside of every private, local or special network. */
export function isPublic(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !INWARD.check(address, "ipv4");
  return family === 6 && GLOBAL6.check(address, "ipv6") && !SPECIAL6.check(address, "ipv6");
}

const resolveAll: Resolve = (host) => dnsLookup(host, { all: true });

/** GET `url`; rejects with `Blocked` where something is not allowed. */
export async function safeFetch(url: string, options: SafeFetchOptions = {}): Promise<Fetched> {
  const { limit = 5_000_000, timeoutMs = 10_000, redirects = 3, ports = [80, 443], allowed = isPublic, resolve = resolveAll } = options;
  const agent = new Agent({
    connect: {
      // What is checked here is what is connected to.
      lookup: (host, _options, done) => {
        check(host, allowed, resolve).then((found) => done(null, found), (error: Error) => done(error, []));
      },
    },
  });
  const signal = AbortSignal.timeout(timeoutMs);
  try {
    for (let hop = 0; hop <= redirects; hop++) {
      const target = parse(url, ports);
      const host = target.hostname.replace(/^\[|\]$/g, "");
      if (isIP(host)) await check(host, allowed, async () => [{ address: host, family: isIP(host) }]); // literals are not looked up
      const response = await request(target, { dispatcher: agent, signal, headers: { "accept-encoding": "identity" } });
      const location = response.headers["location"];
      if (response.statusCode >= 300 && response.statusCode < 400 && typeof location === "string") {
        await response.body.dump();
        url = new URL(location, target).href;
        continue;
      }
      if (response.headers["content-encoding"] && response.headers["content-encoding"] !== "identity") {
        response.body.on("error", () => undefined).destroy();
        throw new Blocked("an encoding that was not asked for");
      }
      const chunks: Buffer[] = [];
      let size = 0;
      for await (const chunk of response.body) {
        size += (chunk as Buffer).length;
        if (size > limit) throw new Blocked(`more than ${limit} bytes`);
        chunks.push(chunk as Buffer);
      }
      const contentType = String(response.headers["content-type"] ?? "");
      return { url: target.href, status: response.statusCode, contentType, body: Buffer.concat(chunks) };
    }
    throw new Blocked("too many redirects");
  } finally {
    await agent.destroy();
  }
}

function parse(url: string, ports: readonly number[]): URL {
  if (!URL.canParse(url)) throw new Blocked("not a URL");
  const target = new URL(url);
  if (!["http:", "https:"].includes(target.protocol) || target.username || target.password)
    throw new Blocked("only http and https, without credentials");
  if (!ports.includes(Number(target.port || (target.protocol === "https:" ? 443 : 80)))) throw new Blocked("port");
  return target;
}

async function check(host: string, allowed: (address: string) => boolean, resolve: Resolve): Promise<{ address: string; family: number }[]> {
  const found = await resolve(host);
  // One bad address refuses the name: a mix of good and bad ones is an attack, or a fault worth seeing.
  if (!found.length || !found.every(({ address }) => allowed(address.replace(/%.*$/, ""))))
    throw new Blocked(`${host} resolves to an address that is not public`);
  return found;
}
