"""Proof of safe_fetch.py: addresses in disguise, rebinding, redirects inward, bombs, servers that never end."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import gzip
import ipaddress
import os
import random
import re
import socket
import ssl
import tracemalloc
import zlib
from typing import TYPE_CHECKING, Any

import httpx
import pytest

import safe_fetch
from safe_fetch import Blocked, fetch, is_public

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

INWARD = [
    "127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "192.0.0.1", "198.18.0.1", "224.0.0.1", "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fc00::1",
    "fd00:ec2::254", "ff02::1", "::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "64:ff9b::7f00:1", "2002:7f00:1::",
    "2001:0:0:0:0:0:80ff:fffe", "2001:db8::1",
]  # fmt: skip


@pytest.mark.parametrize("address", INWARD)
def test_inward_addresses_in_every_disguise_are_refused(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))


# IANA's registries of special-purpose addresses (IPv4 and IPv6): the block, and whether it is globally reachable.
REGISTRY = {
    "0.0.0.0/8": False, "0.0.0.0/32": False, "10.0.0.0/8": False, "100.64.0.0/10": False, "127.0.0.0/8": False,
    "169.254.0.0/16": False, "172.16.0.0/12": False, "192.0.0.0/24": False, "192.0.0.0/29": False,
    "192.0.0.8/32": False, "192.0.0.9/32": True, "192.0.0.10/32": True, "192.0.0.170/32": False,
    "192.0.0.171/32": False, "192.0.2.0/24": False, "192.31.196.0/24": True, "192.52.193.0/24": True,
    "192.88.99.0/24": None, "192.88.99.2/32": False, "192.168.0.0/16": False, "192.175.48.0/24": True,
    "198.18.0.0/15": False, "198.51.100.0/24": False, "203.0.113.0/24": False, "240.0.0.0/4": False,
    "255.255.255.255/32": False,
    "::1/128": False, "::/128": False, "::ffff:0:0/96": False, "64:ff9b::/96": True, "64:ff9b:1::/48": False,
    "100::/64": False, "100:0:0:1::/64": False, "2001::/23": False, "2001::/32": None, "2001:1::1/128": True,
    "2001:1::2/128": True, "2001:1::3/128": True, "2001:2::/48": False, "2001:3::/32": True, "2001:4:112::/48": True,
    "2001:10::/28": None, "2001:20::/28": True, "2001:30::/28": True, "2001:db8::/32": False, "2002::/16": None,
    "2620:4f:8000::/48": True, "3fff::/20": False, "5f00::/16": False, "fc00::/7": False, "fe80::/10": False,
}  # fmt: skip
# Not in the registries: multicast, site-local, IPv4-compatible, and an address of Azure that reaches the host.
UNLISTED = ["224.0.0.0/4", "168.63.129.16/32", "ff00::/8", "fec0::/10", "::/96"]
# Refused whole although parts are called reachable: anycast of protocols, nothing that a URL names.
PROTOCOLS = [ipaddress.ip_network(network) for network in ("192.0.0.0/24", "2001::/23")]
WRAPPED = ["::ffff:0:0/96", "64:ff9b::/96"]  # judged by the IPv4 address inside


@pytest.mark.parametrize("block", [*(block for block, reachable in REGISTRY.items() if not reachable), *UNLISTED])
def test_blocks_that_are_not_globally_reachable_are_refused_to_their_edges(block: str) -> None:
    network = ipaddress.ip_network(block)
    if block not in WRAPPED:
        assert not is_public(network[0])
        assert not is_public(network[-1])
        assert not is_public(network[network.num_addresses // 2])
    if network.version == 4:
        for prefix in (0xFFFF << 32, 0x64FF9B << 96):
            assert not is_public(ipaddress.IPv6Address(prefix | int(network[0])))
            assert not is_public(ipaddress.IPv6Address(prefix | int(network[-1])))


@pytest.mark.parametrize("block", [block for block, reachable in REGISTRY.items() if reachable])
def test_blocks_that_are_globally_reachable_are_allowed(block: str) -> None:
    network = ipaddress.ip_network(block)
    protocol = any(network.version == other.version and network[0] in other for other in PROTOCOLS)
    if block not in WRAPPED:
        assert is_public(network[0]) == is_public(network[-1]) == (not protocol)


@pytest.mark.parametrize(
    "address",
    [
        "1.0.0.0", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "168.63.129.15", "168.63.129.17",
        "172.15.255.255", "172.32.0.0", "191.255.255.255", "192.0.1.0", "192.88.98.255", "192.88.100.0",
        "198.17.255.255", "198.20.0.0", "223.255.255.255", "2000::", "2001:200::", "2001:db7::1", "2001:db9::",
        "2003::", "3fff:1000::", "64:ff9b::5db8:d822",
    ],
)  # fmt: skip
def test_neighbours_of_special_blocks_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "2002:5db8:d822::1", "2001:0:1:1:0:0:a247:27dd", "64:ff9b:1::5db8:d822", "::ffff:0:5db8:d822", "::5db8:d822",
    ],
)  # fmt: skip
def test_tunnels_to_public_addresses_are_refused(address: str) -> None:
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
    "url", ["http://a..b/", f"http://{'a' * 64}.com/", "http://\ud800.com/", "http://ex\0ample.org/"]
)
def test_names_that_are_none_are_refused(url: str) -> None:
    with pytest.raises(Blocked):
        asyncio.run(fetch(url))


def fetch_anywhere(url: str, **options: Any) -> Any:
    return fetch(url, **{"ports": range(65536), "allowed": lambda _: True, "resolver": to_loopback, **options})


def redirect(location: str, headers: str = "") -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n{headers}\r\n".encode()


@contextlib.asynccontextmanager
async def raw_server(handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Any]) -> AsyncIterator[int]:
    async def guarded(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await handle(reader, writer)
        writer.close()

    listening = await asyncio.start_server(guarded, "127.0.0.1", 0, limit=1_000_000)
    async with listening:
        yield listening.sockets[0].getsockname()[1]


@pytest.mark.parametrize("head", [b"300 Multiple Choices", b"304 Not Modified", b"302 Found", b"399 Odd"])
def test_a_redirect_without_location_is_an_answer(head: bytes) -> None:
    async def run() -> None:
        async with server(b"HTTP/1.1 " + head + b"\r\nContent-Length: 0\r\n\r\n") as (port, _):
            fetched = await fetch_anywhere(f"http://a.example:{port}/")
            assert (fetched.status, fetched.body) == (int(head[:3]), b"")

    asyncio.run(run())


@pytest.mark.parametrize(
    ("host", "sent"),
    [
        ("b\u00fccher.example", "xn--bcher-kva.example"), ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ("xn--a.com", "xn--a.com"), ("xn--.com", "xn--.com"), ("xn--0.example", "xn--0.example"), ("[::1]", "[::1]"),
    ],
)  # fmt: skip
def test_international_names_and_broken_ones_work_as_url_and_as_redirect(host: str, sent: str) -> None:
    async def run() -> None:
        async with (
            server(answer(b"1"), answer(b"2")) as (port, seen),
            server(redirect(f"http://{host}:{port}/")) as (
                first,
                _,
            ),
        ):
            fetched = await fetch_anywhere(f"http://{host}:{port}/")
            assert (fetched.body, fetched.url) == (b"1", f"http://{sent}:{port}/")
            assert (await fetch_anywhere(f"http://a.example:{first}/")).body == b"2"
            assert all(f"\r\nHost: {sent}:{port}\r\n".encode() in request for request in seen)

    asyncio.run(run())


SCHEMES = [
    *["http://"] * 6,
    "https://",
    "HTTP://",
    "//",
    "",
    "http:",
    "http:/",
    "http:\\\\",
    "ftp://",
    "http://u:p@",
    "http://@",
]
HOSTS = [
    "xn--a.com", "xn--.com", "xn--0.example", "xn--bcher-kva.example", "xn--\u00fc.de", "xn--" + "a" * 60, "a..b",
    "b\u00fccher.example", "fa\u00df.de", "\u65e5\u672c\u8a9e.jp", "\u2603.net", ".a", "a.", "..", "", "-a-.b",
    "a_b.example", "a" * 64 + ".com", "a." * 130 + "com", "%31%32%37.0.0.1", "a%00b", "127.0.0.1", "0x7f.1", "1.2.3",
    "2130706433", "999.1.1.1", "1.2.3.4.5", "[::1]", "[::1", "::1]", "[fe80::1%25eth0]", "[fe80::1%\u00e9]", "[v1.x]",
    "[::ffff:127.0.0.1]", "\uff11\uff12\uff17.0.0.1", "a\u3002b", "a\u200db.com", "a b.org", "\u202eabc", "a\0b",
    "A.EXAMPLE", "e\tx", "\ud800.com",
]  # fmt: skip
PATHS = [
    "", "/", "/a?b=c", "/\u00fc?\u00fc#\u00fc", "/%", "/%zz", "/\ud800", "/a b", "/\r\nX: y", "/..;/", "?x", "#", "\\x",
    "/\x7f", "/\u2028", "/{}|^`<>\"", "/" + "a" * 70_000,
]  # fmt: skip

STRANGE_URLS = int(os.environ.get("STRANGE_URLS", "1000"))


def strange_url(chance: random.Random, port: int) -> str:
    where = chance.choice(
        [*[f":{port}"] * 6, "", ":", ":0", ":99999999999", ":abc", ":-1", ":\uff18\uff10", f":{port}:1"]
    )
    url = chance.choice(SCHEMES) + chance.choice(HOSTS) + where + chance.choices(PATHS, [*[9] * 16, 1])[0]
    if chance.random() < 0.3:
        place = chance.randrange(len(url) + 1)
        odd = chr(chance.choice([chance.randrange(128), chance.randrange(0x3000), 0xDC80, 0x1F600]))
        url = url[:place] + odd + url[place + chance.randrange(2) :]
    return url


def test_strange_urls_and_redirects_end_as_documented() -> None:
    async def run() -> None:
        locations: list[bytes] = []

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = await reader.read(65536)
            if start := re.match(rb"GET /go/(\d+) ", request):
                writer.write(
                    b"HTTP/1.1 302 Found\r\nLocation: " + locations[int(start[1])] + b"\r\nContent-Length: 0\r\n\r\n"
                )
            elif request.startswith(b"GET "):
                writer.write(answer(b"ok"))
            await writer.drain()

        worked = {"directly": 0, "redirected": 0}

        async def one(url: str, how: str) -> None:
            with contextlib.suppress(Blocked, httpx.HTTPError, OSError):
                await fetch_anywhere(url)
                worked[how] += 1

        chance = random.Random(7)  # the same URLs each time
        async with raw_server(handle) as port:
            for number in range(STRANGE_URLS):
                url = strange_url(chance, port)
                locations.append(
                    url.encode("utf-8", "surrogatepass") if number % 2 else url.encode("latin-1", "replace")
                )
            for first in range(0, STRANGE_URLS, 50):
                batch = range(first, first + 50)
                await asyncio.gather(*(one(strange_url(chance, port), "directly") for _ in batch))
                await asyncio.gather(*(one(f"http://a.example:{port}/go/{number}", "redirected") for number in batch))
        assert min(worked.values()) > STRANGE_URLS / 40

    asyncio.run(run())


@functools.cache
def gzipped(size: int) -> bytes:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    return b"".join(packer.compress(b"\0" * 1_000_000) for _ in range(size // 1_000_000)) + packer.flush()


@pytest.mark.parametrize(
    "encoding", ["gzip", "GZIP", "gzip, gzip", "gzip,identity", "deflate", "br", "zstd", "compress"]
)
def test_a_bomb_costs_no_more_memory_than_the_limit(encoding: str) -> None:
    async def run() -> None:
        bomb = gzipped(200_000_000)
        twice = gzip.compress(bomb) if "," in encoding else bomb
        async with server(answer(twice, f"Content-Encoding: {encoding}\r\n")) as (port, _):
            tracemalloc.start()
            with pytest.raises(Blocked, match="more than 1000000 bytes" if encoding.lower() == "gzip" else "encoding"):
                await fetch_anywhere(f"http://a.example:{port}/", limit=1_000_000)
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            assert peak < 3_000_000

    asyncio.run(run())


@pytest.mark.parametrize("location", [b"http://[", b"http://xn--a/", b"http://ex\tample/", b"http://a..b:%d/"])
def test_a_redirect_to_what_is_no_url_is_refused(location: bytes) -> None:
    async def run() -> None:
        async with server(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: %b\r\n\r\n" % location) as (port, _):
            with pytest.raises((Blocked, httpx.HTTPError, OSError)):
                await fetch(f"http://127.0.0.1:{port}/", ports=[port], allowed=lambda _: True)

    asyncio.run(run())


def test_what_is_read_is_bounded_packed_and_unpacked() -> None:
    async def run() -> None:
        noise = random.Random(1).randbytes(50_000)
        padded = (
            gzip.compress(b"")[:10] + b"\0\0\0\xff\xff" * 20_000 + b"\1\0\0\xff\xff" + b"\0" * 8
        )  # nothing comes out
        packed = "Content-Encoding: gzip\r\n"
        async with server(
            answer(gzip.compress(noise), packed), answer(noise, "Content-Encoding: identity\r\n"), answer(b"", packed),
            answer(padded, packed), answer(noise * 3),
        ) as (port, _):  # fmt: skip
            url = f"http://a.example:{port}/"
            assert (await fetch_anywhere(url)).body == noise
            assert (await fetch_anywhere(url, limit=50_000)).body == noise
            assert (await fetch_anywhere(url)).body == b""
            for _ in range(2):
                with pytest.raises(Blocked, match="more than 60000 bytes"):
                    await fetch_anywhere(url, limit=60_000)

    asyncio.run(run())


@pytest.mark.parametrize("damage", [lambda data: data[:-4], lambda data: data + b"more", lambda _: b"no gzip at all"])
def test_damaged_gzip_is_an_error_and_not_half_an_answer(damage: Callable[[bytes], bytes]) -> None:
    async def run() -> None:
        damaged = damage(gzip.compress(b"hello" * 1000))
        async with server(answer(damaged, "Content-Encoding: gzip\r\n")) as (port, _):
            with pytest.raises(httpx.DecodingError):
                await fetch_anywhere(f"http://a.example:{port}/")

    asyncio.run(run())


def test_the_next_address_is_tried_when_one_refuses_or_is_silent() -> None:
    async def run() -> None:
        async with server(answer(b"1"), answer(b"2")) as (port, _):

            async def resolver(host: str, _: int) -> list[str]:
                return ["127.0.0.2", "127.0.0.1"]

            fetched = await fetch_anywhere(f"http://a.example:{port}/", resolver=resolver)
            assert (fetched.body, fetched.url) == (b"1", f"http://a.example:{port}/")
            with socket.create_server(("127.0.0.2", port), backlog=0), contextlib.ExitStack() as full:
                for _ in range(4):  # nobody accepts: once the queue is full, connecting takes for ever
                    client = full.enter_context(socket.socket())
                    client.setblocking(False)
                    client.connect_ex(("127.0.0.2", port))
                fetched = await fetch_anywhere(f"http://a.example:{port}/", resolver=resolver, timeout=2)
                assert fetched.body == b"2"

    asyncio.run(run())


def test_bodies_of_redirects_are_left_unread_and_cookies_stay_behind() -> None:
    async def run() -> None:
        seen: list[bytes] = []
        sent = 0

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal sent
            seen.append(await reader.readuntil(b"\r\n\r\n"))
            if len(seen) > 1:
                writer.write(answer(b"end"))
                return
            writer.write(
                b"HTTP/1.1 302 Found\r\nLocation: /next\r\nSet-Cookie: a=b\r\nContent-Length: 1000000000\r\n\r\n"
            )
            while True:
                writer.write(b"x" * 65536)
                await writer.drain()
                sent += 65536

        async with raw_server(handle) as port:
            assert (await fetch_anywhere(f"http://a.example:{port}/")).body == b"end"
            assert sent < 20_000_000  # what the kernel's buffers take
            assert b"cookie" not in seen[1].lower()

    asyncio.run(run())


@pytest.mark.parametrize("pause", [0.02, 0])
def test_headers_that_never_end(pause: float) -> None:
    async def run() -> None:
        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\nX: ")
            while True:
                writer.write(b"x" if pause else b"x" * 65536)
                await writer.drain()
                await asyncio.sleep(pause)

        async with raw_server(handle) as port:
            started = asyncio.get_running_loop().time()
            with pytest.raises(TimeoutError if pause else httpx.RemoteProtocolError):
                await fetch_anywhere(f"http://a.example:{port}/", timeout=0.5)
            assert asyncio.get_running_loop().time() - started < 2

    asyncio.run(run())


def test_tls_names_and_verifies_the_host_of_each_hop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = self_signed(tmp_path, "a.example", "b.example")
    served = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    served.load_cert_chain(certificate)
    names: list[str | None] = []
    served.sni_callback = lambda _socket, name, _context: names.append(name)
    monkeypatch.setattr(safe_fetch, "_tls", lambda: ssl.create_default_context(cafile=certificate))

    async def run() -> None:
        requests: list[bytes] = []

        async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(OSError, asyncio.IncompleteReadError):
                requests.append(await reader.readuntil(b"\r\n\r\n"))
                first = b"Host: a.example" in requests[-1]
                writer.write(redirect(f"https://B.example.:{port}/") if first else answer(b"end"))
                await reader.read()
            writer.close()

        listening = await asyncio.start_server(handle, "127.0.0.1", 0, ssl=served)
        port = listening.sockets[0].getsockname()[1]
        async with listening:
            assert (await fetch_anywhere(f"https://a.example:{port}/")).body == b"end"
            assert names == ["a.example", "b.example"]
            with pytest.raises(httpx.ConnectError, match=r"c\.example"):
                await fetch_anywhere(f"https://c.example:{port}/")

    asyncio.run(run())


def self_signed(folder: Path, *names: str) -> Path:
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(one) for one in names]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = folder / "certificate.pem"
    file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file
