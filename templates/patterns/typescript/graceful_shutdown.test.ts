import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { sleep } from "./proof.js";

const PROGRAM = `
import { createServer } from "node:http";
import { installShutdown } from ${JSON.stringify(new URL("./graceful_shutdown.js", import.meta.url).href)};
const [leadMs, drainMs] = process.argv.slice(1).map(Number);
const server = createServer((request, response) => {
  const url = new URL(request.url, "http://x");
  if (url.pathname === "/readyz") response.writeHead(isReady() ? 200 : 503).end();
  else setTimeout(() => response.end("done"), Number(url.searchParams.get("ms")));
});
const isReady = installShutdown(server, { leadMs, drainMs, onStop: async () => console.log("pools closed") });
server.listen(0, "127.0.0.1", () => console.log(server.address().port));
`;

async function start(leadMs: number, drainMs: number): Promise<{ child: ChildProcess; url: string; output: () => string }> {
  const child = spawn(process.execPath, ["--input-type=module", "-e", PROGRAM, String(leadMs), String(drainMs)], { stdio: ["ignore", "pipe", "inherit"] });
  let text = "";
  child.stdout!.setEncoding("utf8").on("data", (data: string) => (text += data));
  while (!text.includes("\n")) await sleep(10);
  return { child, url: `http://127.0.0.1:${text.trim()}`, output: () => text.split("\n").slice(1).join("\n") };
}

test("requests in flight and during the lead are answered, then pools close", async () => {
  const { child, url, output } = await start(700, 10_000);
  const exited = once(child, "exit");
  const inFlight = fetch(`${url}/slow?ms=2000`);
  await sleep(200);
  child.kill("SIGTERM");
  await sleep(200);
  assert.equal((await fetch(`${url}/readyz`)).status, 503);
  assert.equal(await (await fetch(`${url}/slow?ms=0`)).text(), "done");
  await sleep(900);
  await assert.rejects(fetch(`${url}/readyz`));
  assert.equal(await (await inFlight).text(), "done");
  const answered = performance.now();
  assert.deepEqual((await exited)[0], 0);
  assert.ok(performance.now() - answered < 3000); // not after the drain: a connection that became idle is closed
  assert.equal(output(), "pools closed\n");
});

test("a request that never ends is cut off after the drain", async () => {
  const { child, url, output } = await start(0, 500);
  const exited = once(child, "exit");
  const hanging = fetch(`${url}/slow?ms=60000`);
  hanging.catch(() => undefined);
  await sleep(200);
  child.kill("SIGTERM");
  await assert.rejects(hanging);
  assert.deepEqual((await exited)[0], 0);
  assert.equal(output(), "pools closed\n");
});
