/**
 * Fetching URLs that strangers give: SSRF-safe, with undici.
 *
 * Guarantees: only http and https to the allowed ports; every address that the name resolves to is public, and the
 *   connection goes to one that was checked (no second look-up, so DNS rebinding has nothing to rebind), the next one when
 *   it cannot be reached; redirects are followed at most `redirects` times and checked like the first URL, their bodies
 *   left unread; at most `limit` bytes of body are read, and at most `limit` come out of gzip (other encodings are
 *   refused); headers end at 16 KB, everything within `timeoutMs`. Each request has a connection of its own, and no
 *   cookies, credentials or proxies of ours go out.
 * Needs: undici >= 7. (The global fetch ignores `follow` and `timeout` options and follows redirects inward.)
 * Fails: `Blocked` for what is not allowed, whatever the URL or `Location` holds; for what does not work a TimeoutError, or
 *   the error of undici, the system or zlib.
 * Prove: npm test
 *
 * Refused are all addresses that IANA's registries do not call globally reachable, multicast, tunnels (6to4, Teredo) and
 * Azure's wire server; IPv4 mapped into IPv6 or behind NAT64 counts as what it is inside. Networks of your own on public
 * addresses are known to you alone: pass `allowed`. A network egress rule remains the second wall.
 */
import { lookup as dnsLookup } from "node:dns/promises";
import { BlockList, isIP } from "node:net";
import { promisify } from "node:util";
import { gunzip } from "node:zlib";
import { Agent, request, type Dispatcher } from "undici";

export class Blocked extends Error {}

export interface Fetched {
  url: string;
  status: number;
  contentType: string;
  body: Buffer;
}

type Addresses = { address: string; family: number }[];
type Resolve = (host: string) => Promise<Addresses>;

export interface SafeFetchOptions {
  limit?: number;
  timeoutMs?: number;
  redirects?: number;
  ports?: readonly number[];
  allowed?: (address: string) => boolean;
  resolve?: Resolve;
}

// Global unicast is 2000::/3 alone; IPv4 inside IPv6 is judged by the rules of IPv4.
const GLOBAL6 = new BlockList();
for (const [network, prefix] of [["2000::", 3], ["::ffff:0:0", 96], ["64:ff9b::", 96]] as const) GLOBAL6.addSubnet(network, prefix, "ipv6");
const SPECIAL4 = new BlockList();
const SPECIAL6 = new BlockList();
for (const [network, prefix] of [["2001::", 23], ["2001:db8::", 32], ["2002::", 16], ["3fff::", 20]] as const)
  SPECIAL6.addSubnet(network, prefix, "ipv6");
for (const [network, prefix] of [
  ["0.0.0.0", 8], ["10.0.0.0", 8], ["100.64.0.0", 10], ["127.0.0.0", 8], ["168.63.129.16", 32], ["169.254.0.0", 16],
  ["172.16.0.0", 12], ["192.0.0.0", 24], ["192.0.2.0", 24], ["192.88.99.0", 24], ["192.168.0.0", 16], ["198.18.0.0", 15],
  ["198.51.100.0", 24], ["203.0.113.0", 24], ["224.0.0.0", 4], ["240.0.0.0", 4],
] as const) {
  SPECIAL4.addSubnet(network, prefix, "ipv4");
  for (const around of ["::ffff:", "64:ff9b::"]) SPECIAL6.addSubnet(around + network, 96 + prefix, "ipv6");
}
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308];
const HEADERS = { "accept-encoding": "gzip", "user-agent": "safe-fetch" };

/** Whether `address` lies outside of every private, local or special network. */
export function isPublic(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !SPECIAL4.check(address, "ipv4");
  return family === 6 && GLOBAL6.check(address, "ipv6") && !SPECIAL6.check(address, "ipv6");
}

const resolveAll: Resolve = (host) => dnsLookup(host, { all: true });

/** GET `url`; rejects with `Blocked` where something is not allowed. */
export async function safeFetch(url: string, options: SafeFetchOptions = {}): Promise<Fetched> {
  const { limit = 5_000_000, timeoutMs = 10_000, redirects = 3, ports = [80, 443], allowed = isPublic, resolve = resolveAll } = options;
  const signal = AbortSignal.timeout(timeoutMs);
  let target = parse(url, undefined, ports);
  for (let hop = 0; hop <= redirects; hop++) {
    const addresses = await checkedAddresses(target, allowed, resolve, signal);
    // One for each request shares no connections. What was checked is what is connected to: nothing is looked up again.
    const agent = new Agent({
      connect: {
        lookup: (_host, _options, done) => done(null, addresses),
        autoSelectFamily: true, // tries them in turn
        autoSelectFamilyAttemptTimeout: Math.ceil(timeoutMs / addresses.length),
        timeout: timeoutMs,
      },
    });
    try {
      const response = await request(target, { dispatcher: agent, signal, headers: HEADERS });
      response.body.on("error", () => undefined); // of one that is left unread
      const location = response.headers["location"];
      if (!REDIRECTS.includes(response.statusCode) || typeof location !== "string") {
        const contentType = String(response.headers["content-type"] ?? "");
        return { url: target.href, status: response.statusCode, contentType, body: await read(response, limit) };
      }
      target = parse(location, target, ports);
    } finally {
      await agent.destroy();
    }
  }
  throw new Blocked("too many redirects");
}

function parse(url: string, base: URL | undefined, ports: readonly number[]): URL {
  let target: URL;
  try {
    target = new URL(url, base); // not URL.canParse: in Node 20, once optimized, it errs on Latin-1 strings
  } catch {
    throw new Blocked("not a URL");
  }
  if (!["http:", "https:"].includes(target.protocol) || target.username || target.password)
    throw new Blocked("only http and https, without credentials");
  if (!ports.includes(Number(target.port || (target.protocol === "https:" ? 443 : 80)))) throw new Blocked("port");
  return target;
}

async function checkedAddresses(
  target: URL, allowed: (address: string) => boolean, resolve: Resolve, signal: AbortSignal,
): Promise<Addresses> {
  const host = target.hostname.replace(/^\[|\]$/g, "");
  const family = isIP(host);
  const found = family ? [{ address: host, family }] : await Promise.race([resolve(host), rejection(signal)]);
  // One bad address refuses the name: a mix of good and bad ones is an attack, or a fault worth seeing.
  if (!found.length || !found.every(({ address }) => allowed(address.replace(/%.*$/, ""))))
    throw new Blocked(`${host} resolves to an address that is not public`);
  return found;
}

const rejection = (signal: AbortSignal): Promise<never> =>
  new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true }));

async function read(response: Dispatcher.ResponseData, limit: number): Promise<Buffer> {
  const encoding = String(response.headers["content-encoding"] ?? "").trim().toLowerCase();
  if (!["", "identity", "gzip", "x-gzip"].includes(encoding)) throw new Blocked("an encoding that was not asked for");
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of response.body) {
    size += (chunk as Buffer).length;
    if (size > limit) throw new Blocked(`more than ${limit} bytes`);
    chunks.push(chunk as Buffer);
  }
  const body = Buffer.concat(chunks);
  if (!encoding.endsWith("gzip") || !size) return body;
  try {
    return await promisify(gunzip)(body, { maxOutputLength: limit });
  } catch (error) {
    throw (error as NodeJS.ErrnoException).code === "ERR_BUFFER_TOO_LARGE" ? new Blocked(`more than ${limit} bytes`) : error;
  }
}
