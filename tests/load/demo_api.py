"""A small HTTP API in a process of its own: login, users, statuses, metrics; it remembers what it was sent."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections import deque
from typing import Any

SERVICE_S = float(os.environ.get("DEMO_SERVICE_S", "0.03"))
"""The generator may be late by a tenth of this before its measurement counts as not valid."""
TOKEN = "token-of-the-demo"
USERS = [{"id": number, "name": f"user {number}"} for number in range(1, 21)]
seen: deque[dict[str, Any]] = deque(maxlen=5000)
counts = {"requests": 0}


def answer(method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, Any, dict[str, str]]:
    route = path.partition("?")[0]
    if route == "/api/v1/auth/login":
        right = json.loads(body or b"{}").get("password") == "right"
        return (200, {"data": {"accessToken": TOKEN}}, {}) if right else (401, {"detail": "wrong password"}, {})
    if route.startswith("/api/v1/users"):
        if headers.get("authorization") != f"Bearer {TOKEN}":
            return 401, {"detail": "no token"}, {}
        if route == "/api/v1/users":
            return (201, {"data": {"id": 99}}, {}) if method == "POST" else (200, {"data": USERS}, {})
        identifier = route.rpartition("/")[2]
        known = identifier.isdigit() and 1 <= int(identifier) <= len(USERS)
        return (200, {"data": USERS[int(identifier) - 1]}, {}) if known else (404, {"detail": "no user"}, {})
    if route.startswith("/post/"):
        return (int(route.rpartition("/")[2]) if method == "POST" else 405), {}, {}
    if route.startswith("/status/"):
        status = int(route.rpartition("/")[2])
        return status, {"status": status}, {"Retry-After": "7"} if status in (429, 503) else {}
    if route == "/cookie":
        return 200, {}, {"Set-Cookie": "sid=abc123; Path=/; HttpOnly", "Location": "/api/v1/users/17"}
    return 200, {"path": path, "method": method}, {}


def metrics() -> str:
    lines = ["# HELP http_request_duration_seconds x", "# TYPE http_request_duration_seconds histogram"]
    for bound, share in (("0.005", 0.5), ("0.01", 0.9), ("0.05", 1.0), ("+Inf", 1.0)):
        value = counts["requests"] * share
        lines.append(f'http_request_duration_seconds_bucket{{path="/a b\\"}}",le="{bound}"}} {value}')
    lines += [f"http_request_duration_seconds_sum {counts['requests'] * 0.006}", "http_requests_inprogress 3"]
    lines += [f"process_cpu_seconds_total {os.times().user}", "process_resident_memory_bytes 5e+07"]
    return "\n".join(lines) + "\n"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, path, _ = head[0].split(" ", 2)
            headers = {
                name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)
            }
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            extra: dict[str, str] = {"Content-Type": "application/json"}
            if path == "/metrics":
                status, content = 200, metrics().encode()
            elif path == "/__seen":
                status, content = 200, json.dumps(list(seen)).encode()
            else:
                counts["requests"] += 1
                await asyncio.sleep(SERVICE_S)
                seen.append({"method": method, "path": path, "headers": headers, "body": body.decode("latin-1")})
                status, value, more = answer(method, path, headers, body)
                extra |= more
                content = json.dumps(value).encode()
            more_fields = "".join(f"{name}: {value}\r\n" for name, value in extra.items())
            writer.write(f"HTTP/1.1 {status} X\r\n{more_fields}Content-Length: {len(content)}\r\n\r\n".encode())
            if method != "HEAD":
                writer.write(content)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    # The test holds standard input open; when the test is gone, so are we.
    threading.Thread(target=lambda: (sys.stdin.read(), os._exit(0)), daemon=True).start()
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
