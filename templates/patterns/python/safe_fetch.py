"""Fetching URLs that strangers give: SSRF-safe, with httpx.

Guarantees: only http and https to the allowed ports; every address that the name resolves to is public, and the
    connection goes to one that was checked (no second look-up, so DNS rebinding has nothing to rebind), the next one
    when it cannot be reached; redirects are followed at most `redirects` times and checked like the first URL, their
    bodies left unread; at most `limit` bytes of body are read, and at most `limit` come out of gzip (other encodings
    are refused); headers end at 100 KB, everything within `timeout` seconds. Each request has a connection of its own,
    and no cookies, credentials or proxies of ours go out.
Needs: httpx >= 0.27.
Fails: `Blocked` for what is not allowed, whatever the URL or `Location` holds; httpx.HTTPError and OSError (with it
    TimeoutError) for what does not work.
Prove: pytest test_safe_fetch.py

Refused are all addresses that IANA's registries do not call globally reachable, multicast, tunnels (6to4, Teredo) and
Azure's wire server; IPv4 mapped into IPv6 or behind NAT64 counts as what it is inside. Networks of your own on public
addresses are known to you alone: pass `allowed`. A network egress rule remains the second wall.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import re
import socket
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Collection, Iterator

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    Resolve = Callable[[str, int], Awaitable[list[str]]]

# Listed here, because what ipaddress calls global differs from release to release.
SPECIAL = [
    ipaddress.ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "168.63.129.16/32", "169.254.0.0/16",
        "172.16.0.0/12", "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
        "198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
        "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
    )
]  # fmt: skip
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
IPV4_INSIDE = [ipaddress.ip_network("::ffff:0:0/96"), ipaddress.ip_network("64:ff9b::/96")]
HOST = re.compile(r"(?=.{1,253}$)(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}\.?|[0-9a-f.]*:[0-9a-f:.]*")
HEADERS = {"User-Agent": "safe-fetch", "Accept-Encoding": "gzip"}


class Blocked(Exception):  # noqa: N818 - an outcome
    """The URL, one of its addresses, a redirect, the encoding or the size is not allowed."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """What came back; `url` is the last one after redirects."""

    url: str
    status: int
    content_type: str
    body: bytes


def is_public(address: Address) -> bool:
    """Whether `address` lies outside of every private, local or special network, IPv4 inside IPv6 unwrapped."""
    if isinstance(address, ipaddress.IPv6Address):
        if any(address in network for network in IPV4_INSIDE):
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        if address not in GLOBAL_UNICAST:
            return False
    return not any(address in network for network in SPECIAL)


async def resolve(host: str, port: int) -> list[str]:
    """Return every address of `host`."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(entry[4][0]) for entry in found]


async def fetch(
    url: str,
    *,
    limit: int = 5_000_000,
    timeout: float = 10.0,
    redirects: int = 3,
    ports: Collection[int] = (80, 443),
    allowed: Callable[[Address], bool] = is_public,
    resolver: Resolve = resolve,
) -> Fetched:
    """GET `url` and return what it holds.

    Raises:
        Blocked: something is not allowed.
        httpx.HTTPError, OSError: it does not work, or took too long.
    """
    async with asyncio.timeout(timeout):
        target = _parse(url, None, ports)
        for _ in range(redirects + 1):
            addresses = await _checked_addresses(target, allowed, resolver)
            # A transport knows no cookies, redirects or encodings; one for each request shares no connections.
            async with (
                httpx.AsyncHTTPTransport(verify=_tls(), trust_env=False) as transport,
                contextlib.aclosing(await _send(transport, target, addresses, timeout)) as response,
            ):
                if not response.has_redirect_location:
                    content_type = response.headers.get("content-type", "")
                    return Fetched(str(target), response.status_code, content_type, await _body(response, limit))
                target = _parse(response.headers["location"], target, ports)
        raise Blocked("too many redirects")


@functools.cache
def _tls() -> ssl.SSLContext:
    """Return the one context: to load the certificates takes longer than most requests."""
    return httpx.create_ssl_context(trust_env=False)


def _parse(url: str, base: httpx.URL | None, ports: Collection[int]) -> httpx.URL:
    try:
        target = httpx.URL(url) if base is None else base.join(url)
        host = target.raw_host.decode("ascii")  # .host decodes IDNA, and raises for names that have none
    except (httpx.InvalidURL, ValueError) as error:
        raise Blocked("not a URL") from error
    if target.scheme not in ("http", "https") or target.userinfo or not HOST.fullmatch(host):
        raise Blocked("only http and https, with a host and without credentials")
    if _port(target) not in ports:
        raise Blocked("port")
    return target


def _port(target: httpx.URL) -> int:
    return target.port or (443 if target.scheme == "https" else 80)


async def _checked_addresses(target: httpx.URL, allowed: Callable[[Address], bool], resolver: Resolve) -> list[str]:
    host = target.raw_host.decode("ascii")
    addresses = await resolver(host, _port(target))
    if not addresses:
        raise Blocked("the name has no address")
    # One bad address refuses the name: a mix of good and bad ones is an attack, or a fault worth seeing.
    for address in addresses:
        if not allowed(ipaddress.ip_address(address.partition("%")[0])):
            raise Blocked(f"{host} resolves to an address that is not public")
    return addresses


async def _send(
    transport: httpx.AsyncHTTPTransport, target: httpx.URL, addresses: list[str], timeout: float
) -> httpx.Response:
    name = target.raw_host.decode("ascii").rstrip(".")

    def request(address: str) -> httpx.Request:
        # To the address that was checked; name for the Host header and for TLS (SNI and certificate).
        return httpx.Request(
            "GET",
            target.copy_with(host=address),
            headers=HEADERS | {"Host": target.netloc.decode("ascii")},
            extensions={"sni_hostname": name, "timeout": {"connect": timeout / len(addresses)}},
        )

    *others, last = addresses
    for address in others:
        with contextlib.suppress(httpx.ConnectError, httpx.ConnectTimeout):
            return await transport.handle_async_request(request(address))
    return await transport.handle_async_request(request(last))


async def _body(response: httpx.Response, limit: int) -> bytes:
    """Return the body, unpacked here: httpx unpacks a chunk whole, and again for each encoding that is named."""
    encoding = response.headers.get("content-encoding", "").strip().lower()
    if encoding not in ("", "identity", "gzip", "x-gzip"):
        raise Blocked("an encoding that was not asked for")
    gunzip = zlib.decompressobj(wbits=31) if encoding.endswith("gzip") else None
    body, received = bytearray(), 0
    async for chunk in response.aiter_raw():
        received += len(chunk)
        for piece in [chunk] if gunzip is None else _unpacked(gunzip, chunk):
            body += piece
            if max(received, len(body)) > limit:
                raise Blocked(f"more than {limit} bytes")
    if gunzip is not None and received and not gunzip.eof:
        raise httpx.DecodingError("the gzip data ends early")
    return bytes(body)


def _unpacked(gunzip: zlib._Decompress, packed: bytes) -> Iterator[bytes]:
    while packed:
        try:
            yield gunzip.decompress(packed, 65_536)
        except zlib.error as error:
            raise httpx.DecodingError("not gzip data") from error
        if gunzip.unused_data:
            raise httpx.DecodingError("data behind the end of the gzip data")
        packed = gunzip.unconsumed_tail
