/**
 * RFC 9457 problem details for every error of a Node HTTP server, Express or Fastify application.
 *
 * Guarantees: `toProblem` turns anything that was thrown into one shape; what is not a `ProblemError` or a framework's own
 *   4xx tells the client its request id and nothing else; values that were sent are never echoed.
 * Needs: Node >= 18. Express: `app.use(notFound); app.use(expressErrors(log))`, last. Fastify:
 *   `app.setErrorHandler((error, request, reply) => send(reply.raw, ...))` or reply with `toProblem(...)`.
 * Fails: an error after the response has begun cannot be reported: the connection is destroyed.
 * Prove: npm test
 */
import { randomUUID } from "node:crypto";
import { STATUS_CODES, type IncomingMessage, type ServerResponse } from "node:http";

export interface FieldError {
  /** JSON Pointer (RFC 6901) into the body, or `query:name`. */
  pointer: string;
  message: string;
}

/** Throw it to answer with a problem; `code` is stable and documented, the message is for people. */
export class ProblemError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly options: { headers?: Record<string, string>; errors?: FieldError[] } = {},
  ) {
    super(message);
  }
}

export interface Problem {
  type: string;
  title: string;
  status: number;
  detail: string;
  instance: string;
  code: string;
  requestId: string;
  errors?: FieldError[];
}

/** Return the problem for anything that was thrown; `path` is without the query, which may hold secrets. */
export function toProblem(error: unknown, path: string, requestId: string): { problem: Problem; headers: Record<string, string> } {
  const known = error instanceof ProblemError ? error : framework(error);
  const { errors, headers = {} } = known.options;
  return {
    problem: {
      type: `urn:problem:${known.code}`,
      title: STATUS_CODES[known.status] ?? "Error",
      status: known.status,
      detail: known.message,
      instance: path,
      code: known.code,
      requestId,
      ...(errors?.length ? { errors } : {}),
    },
    headers: { ...headers, "content-type": "application/problem+json" },
  };
}

/** Errors of body parsers and routers carry a 4xx `statusCode` and say that their message may be shown. */
function framework(error: unknown): ProblemError {
  const { status, statusCode, expose } = (error ?? {}) as { status?: unknown; statusCode?: unknown; expose?: unknown };
  const code = [status, statusCode].find((one): one is number => typeof one === "number" && one >= 400 && one < 500);
  if (code === undefined || expose === false)
    return new ProblemError(500, "internal-error", "Something went wrong; quote the requestId when you report it.");
  const title = STATUS_CODES[code] ?? "Error";
  // The parser's own message quotes what was sent.
  return new ProblemError(code, title.toLowerCase().replaceAll(" ", "-"), `${title}.`);
}

/** Answer `error`; `log` gets what the client does not. */
export function send(request: IncomingMessage, response: ServerResponse, error: unknown, log: (error: unknown, requestId: string) => void): void {
  const given = response.getHeader("x-request-id");
  const requestId = typeof given === "string" ? given : randomUUID();
  const path = (request.url ?? "/").split("?", 1)[0]!;
  const { problem, headers } = toProblem(error, path, requestId);
  if (problem.status >= 500) log(error, requestId);
  if (response.headersSent) {
    response.destroy();
    return;
  }
  response.writeHead(problem.status, headers).end(JSON.stringify(problem));
}

/** Express: the last route. */
export const notFound = (_request: IncomingMessage, _response: ServerResponse, next: (error: unknown) => void): void =>
  next(new ProblemError(404, "not-found", "Nothing is here."));

/** Express: the error handler, registered last. It has four parameters because Express counts them. */
export const expressErrors =
  (log: (error: unknown, requestId: string) => void) =>
  (error: unknown, request: IncomingMessage, response: ServerResponse, _next: unknown): void =>
    send(request, response, error, log);
