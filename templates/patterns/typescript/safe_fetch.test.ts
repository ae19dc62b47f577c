import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import { connect, createServer as createRawServer, type AddressInfo, type Server, type Socket } from "node:net";
import { test } from "node:test";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { sleep } from "./proof.js";
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

// IANA's registries of special-purpose addresses (IPv4 and IPv6): the first and last address of each block that is not
// globally reachable; then what is not in them: multicast, site-local, IPv4-compatible, Azure's wire server.
const NOT_REACHABLE = [
  ["0.0.0.0", "0.255.255.255"], ["10.0.0.0", "10.255.255.255"], ["100.64.0.0", "100.127.255.255"], ["127.0.0.0", "127.255.255.255"],
  ["169.254.0.0", "169.254.255.255"], ["172.16.0.0", "172.31.255.255"], ["192.0.0.0", "192.0.0.255"], ["192.0.0.8", "192.0.0.171"],
  ["192.0.2.0", "192.0.2.255"], ["192.88.99.0", "192.88.99.255"], ["192.168.0.0", "192.168.255.255"], ["198.18.0.0", "198.19.255.255"],
  ["198.51.100.0", "198.51.100.255"], ["203.0.113.0", "203.0.113.255"], ["240.0.0.0", "255.255.255.255"],
  ["::1", "::"], ["64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff"], ["100::", "100::ffff:ffff:ffff:ffff"],
  ["100:0:0:1::", "100:0:0:1:ffff:ffff:ffff:ffff"], ["2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff"], ["2001:2::", "2001:2:0:ffff::"],
  ["2001:10::", "2001:1f::"], ["2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff"], ["2002::", "2002:ffff:ffff:ffff:ffff:ffff:ffff:ffff"],
  ["3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff"], ["5f00::", "5f00:ffff::"], ["fc00::", "fdff:ffff::"], ["fe80::", "febf:ffff::"],
  ["224.0.0.0", "239.255.255.255"], ["168.63.129.16", "168.63.129.16"], ["ff00::", "ffff::"], ["fec0::", "feff:ffff::"], ["::2", "::5db8:d822"],
].flat();
const REACHABLE = [
  "192.31.196.1", "192.52.193.1", "192.175.48.1", "2620:4f:8000::1", "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
  "168.63.129.15", "168.63.129.17", "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.88.98.255", "192.88.100.0",
  "198.17.255.255", "198.20.0.0", "223.255.255.255", "2000::", "2001:200::", "2001:db7::1", "2001:db9::", "2003::", "3fff:1000::",
];

test("IANA's special-purpose blocks are refused to their edges, and nothing beside them", () => {
  for (const address of NOT_REACHABLE) {
    assert.equal(isPublic(address), false, address);
    if (!address.includes(":")) for (const around of ["::ffff:", "64:ff9b::"]) assert.equal(isPublic(around + address), false, around + address);
  }
  for (const address of REACHABLE) {
    assert.equal(isPublic(address), true, address);
    if (!address.includes(":")) for (const around of ["::ffff:", "64:ff9b::"]) assert.equal(isPublic(around + address), true, around + address);
  }
  for (const tunnel of ["2002:5db8:d822::1", "2001:0:1:1:0:0:a247:27dd", "64:ff9b:1::5db8:d822", "::ffff:0:5db8:d822"])
    assert.equal(isPublic(tunnel), false, tunnel);
});

const anywhere = { ports: Array.from({ length: 65536 }, (_, port) => port), allowed: (address: string): boolean => address.startsWith("127."), resolve: loopback };

test("a redirect without Location is an answer", () =>
  withServer((request, response) => {
    response.writeHead(Number(request.url!.slice(1))).end();
  }, async (port) => {
    for (const status of [300, 302, 304, 399])
      assert.equal((await safeFetch(`http://a.example:${port}/${status}`, anywhere)).status, status);
  }));

const SCHEMES = [...Array<string>(6).fill("http://"), "https://", "HTTP://", "//", "", "http:", "http:/", "http:\\\\", "ftp://", "http://u:p@", "http://@"];
const HOSTS = [
  "xn--a.com", "xn--.com", "xn--0.example", "xn--bcher-kva.example", "xn--\u00fc.de", "xn--" + "a".repeat(60), "a..b", "b\u00fccher.example",
  "fa\u00df.de", "\u65e5\u672c\u8a9e.jp", "\u2603.net", ".a", "a.", "..", "", "-a-.b", "a_b.example", "a".repeat(64) + ".com",
  "a.".repeat(130) + "com", "%31%32%37.0.0.1", "a%00b", "127.0.0.1", "0x7f.1", "1.2.3", "2130706433", "999.1.1.1", "1.2.3.4.5", "[::1]",
  "[::1", "::1]", "[fe80::1%25eth0]", "[fe80::1%\u00e9]", "[v1.x]", "[::ffff:127.0.0.1]", "\uff11\uff12\uff17.0.0.1", "a\u3002b",
  "a\u200db.com", "a b.org", "\u202eabc", "a\0b", "A.EXAMPLE", "e\tx", "\ud800.com",
];
const PATHS = [
  "", "/", "/a?b=c", "/\u00fc?\u00fc#\u00fc", "/%", "/%zz", "/\ud800", "/a b", "/\r\nX: y", "/..;/", "?x", "#", "\\x", "/\x7f", "/\u2028",
  "/{}|^`<>\"", "/" + "a".repeat(12_000),
];

test("strange URLs and redirects end as documented", async () => {
  let seed = 7; // the same URLs each time
  const below = (n: number): number => Math.floor(((seed = (seed * 48271) % 2147483647) / 2147483647) * n);
  const pick = (from: readonly string[]): string => from[below(from.length)]!;
  const locations: Buffer[] = [];
  const server = createRawServer((socket) => {
    socket.on("error", () => undefined).once("data", (data) => {
      const start = /^GET \/go\/(\d+) /.exec(data.toString("latin1"));
      if (!start) return socket.end("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
      socket.write("HTTP/1.1 302 Found\r\nLocation: ");
      socket.write(locations[Number(start[1])]!);
      socket.end("\r\nContent-Length: 0\r\n\r\n");
    });
  });
  await withRawServer(server, async (port) => {
    const strangeUrl = (): string => {
      const url = pick(SCHEMES) + pick(HOSTS) + pick([...Array<string>(6).fill(`:${port}`), "", ":", ":0", ":99999999999", ":abc", ":-1", ":\uff18\uff10"]) + pick(PATHS);
      if (below(10) >= 3) return url;
      const place = below(url.length + 1);
      return url.slice(0, place) + String.fromCharCode(below(2) ? below(128) : below(0x3000)) + url.slice(place + below(2));
    };
    const worked = { directly: 0, redirected: 0 };
    const one = async (url: string, how: keyof typeof worked): Promise<void> => {
      try {
        await safeFetch(url, anywhere);
        worked[how]++;
      } catch (error) {
        const { name, code } = error as NodeJS.ErrnoException;
        const documented = error instanceof Blocked || ["TimeoutError", "HTTPParserError"].includes(name) || (/^(UND_ERR_|E[A-Z]+$|ERR_SSL_)/.test(code ?? "") && code !== "UND_ERR_INVALID_ARG");
        assert.ok(documented, `${JSON.stringify(url.slice(0, 200))}: ${name} ${code}`);
      }
    };
    const count = Number(process.env["STRANGE_URLS"] ?? 1000);
    for (let number = 0; number < count; number++) locations.push(Buffer.from(strangeUrl(), number % 2 ? "utf8" : "latin1"));
    for (let first = 0; first < count; first += 50) {
      await Promise.all(Array.from({ length: 50 }, () => one(strangeUrl(), "directly")));
      await Promise.all(Array.from({ length: 50 }, (_, n) => one(`http://a.example:${port}/go/${first + n}`, "redirected")));
    }
    assert.ok(Math.min(worked.directly, worked.redirected) > count / 40, JSON.stringify(worked));
  });
});

async function withRawServer(server: Server, body: (port: number) => Promise<void>): Promise<void> {
  const sockets = new Set<Socket>();
  server.on("connection", (socket) => sockets.add(socket));
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    await body((server.address() as AddressInfo).port);
  } finally {
    server.close();
    for (const socket of sockets) socket.destroy();
  }
}

test("gzip is unpacked within the limit; bombs, other encodings and damage are not", () => {
  const noise = Buffer.from(Array.from({ length: 50_000 }, (_, n) => (n * n * 31) % 251));
  const bomb = gzipSync(Buffer.alloc(200_000_000));
  const answers: Record<string, [string, Buffer]> = {
    "/gzip": ["gzip", gzipSync(noise)], "/identity": ["identity", noise], "/empty": ["gzip", Buffer.alloc(0)], "/bomb": ["gzip", bomb],
    "/twice": ["gzip, gzip", gzipSync(bomb)], "/br": ["br", brotliCompressSync(noise)], "/deflate": ["deflate", deflateSync(noise)],
    "/cut": ["gzip", gzipSync(noise).subarray(0, -4)], "/none": ["gzip", Buffer.from("no gzip at all")],
  };
  return withServer((request, response) => {
    const [encoding, body] = answers[request.url!]!;
    response.writeHead(200, { "content-encoding": encoding }).end(body);
  }, async (port) => {
    const get = (path: string, limit = 1_000_000): Promise<{ body: Buffer }> => safeFetch(`http://a.example:${port}${path}`, { ...anywhere, limit });
    assert.deepEqual((await get("/gzip")).body, noise);
    assert.deepEqual((await get("/gzip", noise.length)).body, noise);
    assert.deepEqual((await get("/identity", noise.length)).body, noise);
    assert.equal((await get("/empty")).body.length, 0);
    for (const path of ["/gzip", "/identity"]) await assert.rejects(get(path, noise.length - 1), /more than 49999 bytes/);
    for (const path of ["/twice", "/br", "/deflate"]) await assert.rejects(get(path), /not asked for/);
    for (const path of ["/cut", "/none"]) await assert.rejects(get(path), { code: /^Z_/ });
    const before = process.memoryUsage.rss();
    let peak = before;
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage.rss())), 1);
    await assert.rejects(get("/bomb"), /more than 1000000 bytes/);
    clearInterval(watch);
    assert.ok(peak - before < 30_000_000, `${peak - before} bytes`);
  });
});

test("the next address is tried when one refuses or is silent", () =>
  withServer((_, response) => {
    response.end("hello");
  }, async (port) => {
    const resolve = async (): Promise<{ address: string; family: number }[]> => [{ address: "127.0.0.2", family: 4 }, ...(await loopback())];
    const get = (): Promise<unknown> => safeFetch(`http://a.example:${port}/`, { ...anywhere, resolve, timeoutMs: 3000 });
    await get();
    // A process that listens and sleeps accepts nobody: once the queue is full, connecting takes for ever.
    const listens = `require("node:net").createServer().listen({ port: ${port}, host: "127.0.0.2", backlog: 1 }, () => {
      require("node:fs").writeSync(1, "listens");
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20000);
    })`;
    const silent = spawn(process.execPath, ["-e", listens]);
    await once(silent.stdout, "data");
    const clients = Array.from({ length: 4 }, () => connect(port, "127.0.0.2").on("error", () => undefined));
    await sleep(100);
    try {
      const started = performance.now();
      await get();
      assert.ok(performance.now() - started > 1000, "the first address was not silent");
    } finally {
      for (const client of clients) client.destroy();
      silent.kill("SIGKILL");
    }
  }));

test("bodies of redirects are left unread, cookies stay behind, each request has its connection", async () => {
  const seen: string[] = [];
  let sent = 0;
  const server = createRawServer((socket) => {
    socket.on("error", () => undefined).once("data", (data) => {
      seen.push(data.toString());
      if (seen.length > 1) return socket.end("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nend");
      socket.write("HTTP/1.1 302 Found\r\nLocation: /next\r\nSet-Cookie: a=b\r\nContent-Length: 1000000000\r\n\r\n");
      const more = (): boolean => socket.destroyed || socket.write(Buffer.alloc(65536), () => ((sent += 65536), more()));
      return more();
    });
  });
  await withRawServer(server, async (port) => {
    assert.equal((await safeFetch(`http://a.example:${port}/`, anywhere)).body.toString(), "end");
    assert.equal(seen.length, 2);
    assert.ok(!/cookie/i.test(seen[1]!));
    assert.ok(sent < 20_000_000, `${sent} bytes`); // what the kernel's buffers take
  });
});

for (const [what, size, pause, expected] of [["slowly", 1, 20, { name: "TimeoutError" }], ["at once", 65536, 1, { code: /UND_ERR_HEADERS_OVERFLOW|HPE_HEADER_OVERFLOW/ }]] as const)
  test(`headers that never end, sent ${what}`, () =>
    withRawServer(createRawServer((socket) => {
      socket.on("error", () => undefined).write("HTTP/1.1 200 OK\r\nX: ");
      const timer = setInterval(() => socket.write("x".repeat(size)), pause);
      socket.on("close", () => clearInterval(timer));
    }), async (port) => {
      const started = performance.now();
      await assert.rejects(safeFetch(`http://a.example:${port}/`, { ...anywhere, timeoutMs: 1000 }), expected);
      assert.ok(performance.now() - started < 3000);
    }));

test("a look-up that hangs ends in time", async () => {
  const hang = setInterval(() => undefined, 1000);
  const started = performance.now();
  await assert.rejects(safeFetch("http://a.example/", { timeoutMs: 200, resolve: () => new Promise(() => undefined) }), { name: "TimeoutError" });
  assert.ok(performance.now() - started < 2000);
  clearInterval(hang);
});
