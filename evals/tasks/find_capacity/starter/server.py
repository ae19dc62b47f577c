"""The service to measure: python server.py PORT. Do not read numbers out of this file; they are measured in production."""

from __future__ import annotations

import asyncio
import sys

WORKERS = asyncio.Semaphore(4)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{\"ok\": true"
ANSWER = ANSWER.replace(b"Content-Length: 11", b"Content-Length: 12") + b"}"


async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while await reader.readuntil(b"\r\n\r\n"):
            async with WORKERS:
                await asyncio.sleep(0.02)
            writer.write(ANSWER)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main() -> None:
    server = await asyncio.start_server(handle, "127.0.0.1", int(sys.argv[1]), backlog=1000)
    await server.serve_forever()


asyncio.run(main())
