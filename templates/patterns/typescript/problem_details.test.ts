import assert from "node:assert/strict";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { test } from "node:test";
import { notFound, ProblemError, send, type Problem } from "./problem_details.js";

const THROWN: Record<string, unknown> = {
  "/conflict": new ProblemError(409, "email-taken", "A user with this email exists.", { errors: [{ pointer: "#/email", message: "taken" }] }),
  "/login": new ProblemError(401, "unauthorized", "Log in.", { headers: { "www-authenticate": "Bearer" } }),
  "/json": Object.assign(new SyntaxError('Unexpected token h in "hunter2"'), { status: 400, expose: true }),
  "/crash": new Error("password=hunter2"),
  "/string": "password=hunter2",
};

test("every error has one shape, keeps its headers and echoes nothing", async () => {
  const logged: [unknown, string][] = [];
  const server = createServer((request, response) => {
    const path = request.url!.split("?")[0]!;
    const log = (error: unknown, id: string): void => void logged.push([error, id]);
    if (path === "/late") {
      response.write("begun");
      send(request, response, new Error("late"), log);
    } else if (path in THROWN) send(request, response, THROWN[path], log);
    else notFound(request, response, (error) => send(request, response, error, log));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const expected: [string, number, string][] = [
    ["/conflict", 409, "email-taken"],
    ["/login", 401, "unauthorized"],
    ["/json", 400, "bad-request"],
    ["/crash", 500, "internal-error"],
    ["/string", 500, "internal-error"],
    ["/missing", 404, "not-found"],
  ];
  for (const [path, status, code] of expected) {
    const response = await fetch(`${base}${path}?token=secret`);
    assert.equal(response.headers.get("content-type"), "application/problem+json");
    const text = await response.text();
    const problem = JSON.parse(text) as Problem;
    assert.deepEqual([response.status, problem.status, problem.code, problem.instance], [status, status, code, path]);
    assert.ok(problem.requestId && problem.title && problem.detail && problem.type);
    assert.doesNotMatch(text, /hunter2|secret/);
    if (path === "/login") assert.equal(response.headers.get("www-authenticate"), "Bearer");
    if (path === "/conflict") assert.deepEqual(problem.errors, [{ pointer: "#/email", message: "taken" }]);
    if (path === "/crash") assert.deepEqual(logged.at(-1), [THROWN["/crash"], problem.requestId]);
  }
  await assert.rejects(fetch(`${base}/late`).then((response) => response.text()));
  server.close();
});
