"""Fetching URLs that strangers give: SSRF-safe, with httpx.

Guarantees: only http and https to the allowed ports; every address that the name resolves to is public, and the
    connection goes to an address that was checked (no second look-up, so DNS rebinding has nothing to rebind);
    redirects are followed at most `redirects` times and checked like the first URL; at most `limit` bytes are read,
    counted after decompression; everything within `timeout` seconds. No cookies, credentials or proxies of ours go out.
Needs: httpx >= 0.27.
Fails: `Blocked` for what is not allowed, httpx.HTTPError and TimeoutError for what does not work.
Prove: pytest test_safe_fetch.py

Private, loopback, link-local (169.254.169.254), carrier-grade NAT, multicast, reserved, and IPv4 inside IPv6 (mapped,
6to4, Teredo, NAT64) are refused. A network egress rule remains the second wall.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection

    Address = ipaddress.IPv4Address | ipaddress.IPv6Address
    Resolve = Callable[[str, int], Awaitable[list[str]]]

NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Blocked(Exception):  # noqa: N818 - an outcome
    """The URL, one of its addresses, a redirect or the size is not allowed."""


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
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo[1] if address.teredo else None)
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast and not address.is_reserved


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
        httpx.HTTPError, OSError: it does not work.
        TimeoutError: it took too long.
    """
    async with asyncio.timeout(timeout), httpx.AsyncClient(trust_env=False, timeout=timeout) as client:
        for _ in range(redirects + 1):
            target = _parse(url, ports)
            address = await _checked_address(target, allowed, resolver)
            host = f"[{target.host}]" if ":" in target.host else target.host
            # To the address that was checked; name for the Host header and for TLS (SNI and certificate).
            request = client.build_request(
                "GET",
                target.copy_with(host=address),
                headers={"Host": f"{host}:{target.port}" if target.port else host, "Accept-Encoding": "gzip"},
                extensions={"sni_hostname": target.host},
            )
            try:
                response = await client.send(request, stream=True)
            except UnicodeError as error:  # httpx reads the Location
                raise Blocked("redirected to what is not a host name") from error
            client.cookies.clear()
            try:
                if response.has_redirect_location:
                    url = str(target.join(response.headers["location"]))
                    continue
                body = bytearray()
                async for chunk in response.aiter_bytes(65536):
                    body += chunk
                    if len(body) > limit:
                        raise Blocked(f"more than {limit} bytes")
                return Fetched(str(target), response.status_code, response.headers.get("content-type", ""), bytes(body))
            finally:
                await response.aclose()
        raise Blocked("too many redirects")


def _parse(url: str, ports: Collection[int]) -> httpx.URL:
    try:
        target = httpx.URL(url)
        host = target.host  # decoded here: what is no host name raises
    except (httpx.InvalidURL, ValueError) as error:
        raise Blocked("not a URL") from error
    if target.scheme not in ("http", "https") or not host or target.userinfo:
        raise Blocked("only http and https, with a host and without credentials")
    if (target.port or (443 if target.scheme == "https" else 80)) not in ports:
        raise Blocked("port")
    return target


async def _checked_address(target: httpx.URL, allowed: Callable[[Address], bool], resolver: Resolve) -> str:
    try:
        addresses = await resolver(target.host, target.port or (443 if target.scheme == "https" else 80))
    except UnicodeError as error:  # a label that is empty or too long
        raise Blocked("not a host name") from error
    if not addresses:
        raise Blocked("the name has no address")
    # One bad address refuses the name: a mix of good and bad ones is an attack, or a fault worth seeing.
    for address in addresses:
        if not allowed(ipaddress.ip_address(address.partition("%")[0])):
            raise Blocked(f"{target.host} resolves to an address that is not public")
    return addresses[0]
