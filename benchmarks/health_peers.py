"""What the peers do with the same targets: python3 benchmarks/health_peers.py aiohttp|httpx SERVICES.json CONCURRENCY.

Runs in the environment of requirements/peers.txt; reads the same file as
the checker and prints how many targets answered 200.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path


async def sweep(urls: list[str], concurrency: int, ask: Callable[[str], Awaitable[int]]) -> int:
    """Ask every URL once, with as many in flight as `concurrency` says; return how many answered 200."""
    waiting: Iterator[str] = iter(urls)
    good = 0

    async def worker() -> None:
        nonlocal good
        for url in waiting:
            try:
                async with asyncio.timeout(1.0):
                    status = await ask(url)
                    good += status == 200
            except Exception:  # noqa: BLE001 - a failed target is what is counted
                pass

    await asyncio.gather(*(worker() for _ in range(concurrency)))
    return good


async def with_aiohttp(urls: list[str], concurrency: int) -> int:
    import aiohttp  # type: ignore[import-not-found]

    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def ask(url: str) -> int:
            async with session.get(url) as response:
                await response.read()
                return int(response.status)

        return await sweep(urls, concurrency, ask)


async def with_httpx(urls: list[str], concurrency: int) -> int:
    import httpx

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(limits=limits) as client:

        async def ask(url: str) -> int:
            return (await client.get(url)).status_code

        return await sweep(urls, concurrency, ask)


def main() -> int:
    urls = [service["url"] for service in json.loads(Path(sys.argv[2]).read_text())["services"]]
    run = {"aiohttp": with_aiohttp, "httpx": with_httpx}[sys.argv[1]]
    print(asyncio.run(run(urls, int(sys.argv[3]))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
