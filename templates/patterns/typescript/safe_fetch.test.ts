import assert from "node:assert/strict";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { Blocked, isPublic, safeFetch } from "./safe_fetch.js";

const INWARD = [
  "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "192.0.0.1",
  "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fc00::1", "fd00:ec2::254", "ff02::1",
  "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:0:0:0:0:80ff:fffe", "2001:db8::1", "nonsense",
];

test("inward addresses in every disguise are refused, public ones are not", () => {
  for (const address of INWARD) assert.equal(isPublic(address), false, address);
  for (const address of ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946"]) assert.equal(isPublic(address), true, address);
});

test("URLs that point inward or elsewhere are refused", async () => {
  for (const url of [
    "http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/", "http://localhost/", "http://[::1]/",
    "http://[::ffff:127.0.0.1]/", "file:///etc/passwd", "gopher://127.0.0.1/", "http://user:pw@example.org/",
    "http://example.org:6379/", "http://", "//example.org/", "",
  ]) await assert.rejects(safeFetch(url), Blocked, url);
});

async function withServer(handler: RequestListener, body: (port: number) => Promise<void>): Promise<void> {
  const server = createServer(handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await body((server.address() as AddressInfo).port);
  } finally {
    server.closeAllConnections();
    server.close();
  }
}
const loopback = async (): Promise<{ address: string; family: number }[]> => [{ address: "127.0.0.1", family: 4 }];

test("the checked address is the one that is connected to", () => {
  let host: string | undefined;
  return withServer((request, response) => {
    host = request.headers.host;
    response.setHeader("content-type", "text/plain").end("hello");
  }, async (port) => {
    let lookups = 0;
    const resolve = async (): Promise<{ address: string; family: number }[]> => [{ address: ++lookups === 1 ? "127.0.0.1" : "10.0.0.1", family: 4 }];
    const fetched = await safeFetch(`http://files.example:${port}/a?b=c`, { ports: [port], allowed: () => true, resolve });
    assert.deepEqual([fetched.status, fetched.body.toString(), fetched.contentType, lookups], [200, "hello", "text/plain", 1]);
    assert.equal(host, `files.example:${port}`);
  });
});

test("mixed addresses, redirects inward, too many redirects, bombs and silence end in refusal", () =>
  withServer((request, response) => {
    if (request.url === "/inward") response.writeHead(302, { location: "http://169.254.169.254/latest" }).end();
    else if (request.url === "/loop") response.writeHead(302, { location: "/loop" }).end();
    else if (request.url === "/large") response.end(Buffer.alloc(2_000_000));
    else if (request.url === "/bomb") response.writeHead(200, { "content-encoding": "gzip" }).end(gzipSync(Buffer.alloc(20_000_000)));
  }, async (port) => {
    const options = { ports: [port, 80], allowed: (address: string) => address === "127.0.0.1", resolve: loopback, limit: 1_000_000 };
    const get = (path: string, more = {}): Promise<unknown> => safeFetch(`http://a.example:${port}${path}`, { ...options, ...more });
    await assert.rejects(get("/inward"), /not public/);
    await assert.rejects(get("/loop"), /redirects/);
    await assert.rejects(get("/large"), /more than 1000000 bytes/);
    await assert.rejects(get("/bomb"), Blocked);
    await assert.rejects(get("/silent", { timeoutMs: 200 }), { name: "TimeoutError" });
    const mixed = async (): Promise<{ address: string; family: number }[]> => [...(await loopback()), { address: "10.0.0.1", family: 4 }];
    await assert.rejects(get("/large", { resolve: mixed }), /not public/);
  }));
