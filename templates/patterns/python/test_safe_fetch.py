"""Proof of safe_fetch.py: addresses in disguise, rebinding, redirects inward, bombs, servers that never end."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import ipaddress
from typing import TYPE_CHECKING

import httpx
import pytest

from safe_fetch import Blocked, fetch, is_public

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

INWARD = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fc00::1",
    "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1", "2002:7f00:1::",
    "2001:0:0:0:0:0:80ff:fffe", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("address", INWARD)
def test_inward_addresses_in_every_disguise_are_refused(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"])
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/", "http://2130706433/", "http://0x7f.1/", "http://0177.0.0.1/", "http://localhost/",
        "http://[::1]/", "http://[::ffff:127.0.0.1]/", "file:///etc/passwd", "gopher://127.0.0.1/", "ftp://example.org/",
        "http://user:pw@example.org/", "http://example.org:6379/", "http://", "//example.org/", "http://[", "",
    ],
)  # fmt: skip
def test_urls_that_point_inward_or_elsewhere_are_refused(url: str) -> None:
    with pytest.raises((Blocked, OSError)):
        asyncio.run(fetch(url))


@contextlib.asynccontextmanager
async def server(*answers: bytes) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answer each connection with the next of `answers`; yield the port and the requests seen."""
    seen: list[bytes] = []
    left = list(answers)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(left.pop(0))
            await writer.drain()
            writer.close()

    listening = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], seen


def answer(body: bytes, headers: str = "") -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body


async def to_loopback(host: str, port: int) -> list[str]:
    return ["127.0.0.1"]


def test_the_checked_address_is_the_one_that_is_connected_to() -> None:
    async def run() -> None:
        async with server(answer(b"hello", "Content-Type: text/plain\r\n")) as (port, seen):
            lookups = 0

            async def rebinding(host: str, _: int) -> list[str]:
                nonlocal lookups
                lookups += 1
                return ["127.0.0.1"] if lookups == 1 else ["10.0.0.1"]

            fetched = await fetch(
                f"http://files.example:{port}/a?b=c", ports=[port], allowed=lambda _: True, resolver=rebinding
            )
            assert (fetched.status, fetched.body, fetched.content_type) == (200, b"hello", "text/plain")
            assert lookups == 1
            assert f"Host: files.example:{port}".encode() in seen[0]
            assert seen[0].startswith(b"GET /a?b=c ")

    asyncio.run(run())


def test_one_inward_address_among_public_ones_refuses_the_name() -> None:
    async def mixed(host: str, port: int) -> list[str]:
        return ["93.184.216.34", "10.0.0.1"]

    with pytest.raises(Blocked, match="not public"):
        asyncio.run(fetch("http://mixed.example/", resolver=mixed))


def test_a_redirect_inward_is_refused_and_redirects_are_counted() -> None:
    async def run() -> None:
        inward = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/latest\r\nContent-Length: 0\r\n\r\n"
        loop = b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"

        def loopback_only(address: object) -> bool:
            return str(address) == "127.0.0.1"

        async def resolver(host: str, port: int) -> list[str]:
            return ["127.0.0.1"] if host == "a.example" else [host]

        async with server(inward, loop, loop, loop, loop) as (port, seen):
            ports = [port, 80]
            with pytest.raises(Blocked, match="not public"):
                await fetch(f"http://a.example:{port}/", ports=ports, allowed=loopback_only, resolver=resolver)
            with pytest.raises(Blocked, match="redirects"):
                await fetch(f"http://a.example:{port}/", ports=ports, allowed=loopback_only, resolver=resolver)
            assert len(seen) == 5

    asyncio.run(run())


def test_bombs_and_endless_answers_end() -> None:
    async def run() -> None:
        bomb = gzip.compress(b"\0" * 20_000_000)
        async with server(
            answer(bomb, "Content-Encoding: gzip\r\n"), b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"
        ) as (port, _):
            with pytest.raises(Blocked, match="more than 1000000 bytes"):
                await fetch(
                    f"http://a.example:{port}/", limit=1_000_000, ports=[port], allowed=lambda _: True,
                    resolver=to_loopback,
                )  # fmt: skip

        async def never(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await asyncio.sleep(5)

        silent = await asyncio.start_server(never, "127.0.0.1", 0)
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(TimeoutError):
            await fetch(
                f"http://a.example:{port}/", timeout=0.2, ports=[port], allowed=lambda _: True, resolver=to_loopback
            )
        silent.close()

    asyncio.run(run())


@pytest.mark.parametrize(
    "url", ["http://a..b/", f"http://{'a' * 64}.com/", "http://xn--a/", "http://\ud800.com/", "http://ex\0ample.org/"]
)
def test_names_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(Blocked):
        asyncio.run(fetch(url))


@pytest.mark.parametrize("status", [b"304 Not Modified", b"300 Multiple Choices"])
def test_an_answer_like_a_redirect_that_leads_nowhere_is_an_answer(status: bytes) -> None:
    async def run() -> None:
        async with server(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % status) as (port, _):
            fetched = await fetch(f"http://127.0.0.1:{port}/", ports=[port], allowed=lambda _: True)
            assert fetched.status == int(status[:3])

    asyncio.run(run())


@pytest.mark.parametrize("location", [b"http://[", b"http://xn--a/", b"http://ex\tample/", b"http://a..b:%d/"])
def test_a_redirect_to_what_is_no_url_is_refused(location: bytes) -> None:
    async def run() -> None:
        async with server(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % location) as (port, _):
            with pytest.raises((Blocked, httpx.HTTPError)):
                await fetch(f"http://127.0.0.1:{port}/", ports=[port], allowed=lambda _: True)

    asyncio.run(run())
