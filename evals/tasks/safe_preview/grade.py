"""Points the preview inward in every disguise, and counts what reaches a server of ours on loopback."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from evals.grading import Check, check_async, module

if TYPE_CHECKING:
    from pathlib import Path

INWARD = (
    "http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://2130706433:{port}/", "http://[::ffff:127.0.0.1]:{port}/",
    "http://0x7f.1:{port}/", "http://0.0.0.0:{port}/", "file:///etc/passwd",
    "http://user:pw@127.0.0.1:{port}/",
)  # fmt: skip


def grade(workspace: Path) -> list[Check]:
    """Return the checks for a workspace with preview.py."""
    with module(workspace, "preview") as preview:
        reached = 0

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal reached
            reached += 1
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                await reader.readuntil(b"\r\n\r\n")
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 21\r\n\r\n<title>secret</title>")
                await writer.drain()
                writer.close()

        async def disguises() -> str:
            nonlocal reached
            reached = 0
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            async with server:
                for url in INWARD:
                    try:
                        got = await asyncio.wait_for(preview.title(url.format(port=port)), 10)
                    except Exception:  # noqa: BLE001 - refused in whatever way
                        continue
                    raise AssertionError(f"{url} was fetched: {got!r}")
            assert reached == 0, f"{reached} requests reached a service on loopback"
            return f"{len(INWARD)} refused, nothing reached"

        async def names() -> str:
            async def mixed(_host: str, _port: int) -> list[str]:
                return ["93.184.216.34", "10.0.0.5"]

            async def inward(_host: str, _port: int) -> list[str]:
                return ["10.0.0.5"]

            for resolver in (mixed, inward):
                try:
                    await asyncio.wait_for(preview.title("http://example.test/", resolver), 10)
                except preview.Refused:
                    continue
                raise AssertionError(f"a name that resolves to {await resolver('', 80)} was not refused")
            return "refused"

        return [
            check_async("addresses of the inside are refused in every disguise", disguises),
            check_async("names are refused when one of their addresses is private", names),
        ]
