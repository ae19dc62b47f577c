"""A stack of small services on loopback, some of them ill: python stack.py PORT. It prints their addresses and runs on."""

from __future__ import annotations

import asyncio
import json
import sys

FIRST = int(sys.argv[1])
PORTS = {name: FIRST + place for place, name in enumerate(("web", "orders", "stock", "cache", "mail"))}


def http(status: str, body: object) -> bytes:
    payload = json.dumps(body).encode()
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\nConnection: close\r\n\r\n".encode() + payload


async def serve(name: str, answer: bytes, *, wait: bytes = b"\r\n\r\n", silent: bool = False) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.readuntil(wait)
            if silent:
                await asyncio.sleep(60)
            writer.write(answer)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", PORTS[name])
    print(name, f"127.0.0.1:{PORTS[name]}", flush=True)
    await server.serve_forever()


async def main() -> None:
    await asyncio.gather(
        serve("web", http("503 Service Unavailable", {"status": "fail", "checks": {"orders": [{"status": "fail"}]}})),
        serve("orders", http("503 Service Unavailable", {"status": "fail", "checks": {"cache": [{"status": "fail"}]}})),
        serve("stock", http("200 OK", {"status": "pass"})),
        serve("cache", b"-LOADING Redis is loading the dataset in memory\r\n", wait=b"\r\n"),
        serve("mail", b"", silent=True),
    )


asyncio.run(main())
