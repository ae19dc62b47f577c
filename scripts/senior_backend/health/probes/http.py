"""HTTP/1.1 (RFC 9112): one request on a fresh connection, redirects only when asked for, no cookies, no compression."""

from __future__ import annotations

import base64
import re
from collections.abc import Generator, Mapping
from typing import Any
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from senior_backend.console.errors import did_you_mean
from senior_backend.health.config.values import BOOLEAN, TEXT, TEXT_MAP, WORD, Example, Field, Reader, one_of
from senior_backend.health.model import Service
from senior_backend.health.probes import Probe
from senior_backend.health.security import masked_url
from senior_backend.health.steps import (
    READ_LIMIT,
    Answer,
    Connect,
    Conversation,
    Exactly,
    Failure,
    Send,
    Some,
    Step,
    TlsOptions,
    Until,
    printable,
    stranger,
)

HEAD_LIMIT = 65536
MAX_REDIRECTS = 5
REDIRECTS = frozenset({301, 302, 303, 307, 308})
_SAFE = "/:?#[]@!$&'()*+,;=%~-._"
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9/._~-]*")
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,200})", re.IGNORECASE)
_BLANK = re.compile(r"[\0- ]")


def converse(service: Service) -> Conversation:
    """Ask once; follow redirects only where the service allows it, without credentials to another host."""
    options = service.options
    scheme = "https" if service.tls else "http"
    host, port, path, tls = service.host, service.port, options.get("path", "/"), service.tls
    method, body = options.get("method", "GET"), (options.get("body") or "").encode()
    headers = request_headers(options)
    for _ in range(MAX_REDIRECTS + 1):
        yield Connect(host, port, tls=tls)
        yield Send(request(method, authority(scheme, host, port), path, headers, body))
        status, received, content = yield from response(method)
        location = received.get("location")
        if status not in REDIRECTS or not location or _expected(service, status):
            return _answer(status, received, content)
        target = urljoin(f"{scheme}://{authority(scheme, host, port)}{path}", location)
        if not options.get("follow_redirects"):
            raise Failure("redirect_blocked", f"{status} to {masked_url(target)}", {"status": status})
        parts = urlsplit(target)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise Failure("redirect_blocked", f"{status} to {masked_url(target)}", {"status": status})
        if scheme == "https" and parts.scheme == "http":
            raise Failure("redirect_blocked", f"{status} from https to {masked_url(target)}", {"status": status})
        new_port = parts.port or (443 if parts.scheme == "https" else 80)
        if (parts.hostname, new_port, parts.scheme) != (host, port, scheme):
            headers = {"Accept": headers.get("Accept", "*/*")}
            if body or method not in ("GET", "HEAD"):
                raise Failure("redirect_blocked", f"{status} of a {method} to another host", {"status": status})
        host, port, scheme = parts.hostname, new_port, parts.scheme
        path = _target(parts)
        tls = (service.tls or service.tls_options) if scheme == "https" else None
        if tls and host != service.host:
            tls = TlsOptions(ca=tls.ca, insecure=tls.insecure)
    raise Failure("redirect_blocked", f"more than {MAX_REDIRECTS} redirects")


def request(method: str, host: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> bytes:
    """Return the bytes of a request; `host` is the Host header."""
    named = {name.lower() for name in headers}
    lines = [f"{method} {path} HTTP/1.1"]
    if "host" not in named:
        lines.append(f"Host: {host}")
    if "user-agent" not in named:
        lines.append("User-Agent: health_check")
    if "accept" not in named:
        lines.append("Accept: application/health+json, application/json;q=0.9, */*;q=0.5")
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"Content-Length: {len(body)}")
    lines.append("Connection: close")
    return "\r\n".join(lines).encode("utf-8", "surrogateescape") + b"\r\n\r\n" + body


def response(method: str) -> Generator[Step, Any, tuple[int, dict[str, str], bytes]]:
    """Read a response; return status, headers (names in lower case) and body."""
    while True:
        status, headers = yield from head()
        if status >= 200 or status == 101:
            break
    if method == "HEAD" or status in (101, 204, 304):
        return status, headers, b""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        return status, headers, (yield from _chunks())
    length = headers.get("content-length")
    if length is not None:
        if not length.isdigit():
            raise Failure("protocol_mismatch", f"Content-Length is {printable(length)}", {"status": status})
        if int(length) > READ_LIMIT:
            raise Failure("body_too_large", f"{length} bytes", {"status": status})
        return status, headers, (yield Exactly(int(length)))
    body = bytearray()
    while chunk := (yield Some()):
        body += chunk
        if len(body) > READ_LIMIT:
            raise Failure("body_too_large", f"more than {READ_LIMIT >> 20} MiB", {"status": status})
    return status, headers, bytes(body)


def head() -> Generator[Step, Any, tuple[int, dict[str, str]]]:
    """Read a status line and headers."""
    first = yield Exactly(5)
    if first[3:] == b"\4\0":  # the SETTINGS frame that begins HTTP/2 (RFC 9113, section 3.4)
        raise Failure("version_mismatch", "the server speaks HTTP/2 only, and this check HTTP/1.1")
    if first != b"HTTP/":
        raise stranger("HTTP", first)
    block = yield Until(b"\r\n\r\n", HEAD_LIMIT)
    lines = block.decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if len(words) < 2 or not words[1].isdigit() or len(words[1]) != 3 or not words[0].startswith("1."):
        raise Failure("protocol_mismatch", f"not an HTTP/1 status line: {printable('HTTP/' + lines[0])}")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        if colon:
            key = name.strip().lower()
            headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
    return int(words[1]), headers


def _chunks() -> Generator[Step, Any, bytes]:
    body = bytearray()
    while True:
        line = yield Until(b"\r\n", 4096)
        size = int(line.split(b";")[0].strip() or b"x", 16)
        if size < 0 or len(body) + size > READ_LIMIT:
            raise Failure("body_too_large", f"more than {READ_LIMIT >> 20} MiB")
        if size == 0:
            return bytes(body)
        body += yield Exactly(size)
        if (yield Exactly(2)) != b"\r\n":
            raise Failure("protocol_mismatch", "a chunk does not end where it says")


def _answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    note = f"HTTP {status}"
    title = _TITLE.search(body) if "html" in headers.get("content-type", "") else None
    if title:  # a page where a health answer was expected: of a frontend that answers to every path, of a maintenance
        note += f", a page with the title {printable(b' '.join(title[1].split()))}"
    return Answer(note, {"status": status, "size": len(body)}, headers, body)


def _expected(service: Service, status: int) -> bool:
    """Whether the configuration says that this status is right, so that a redirect is the answer itself."""
    wanted = [rule for rule in (*service.expect, *service.degraded) if rule.subject == "status"]
    return any(low <= status <= high for rule in wanted for low, high in rule.condition)


def request_headers(options: Mapping[str, Any]) -> dict[str, str]:
    """Return the configured headers, with the Authorization that the credentials make."""
    headers = dict(options.get("headers") or {})
    if options.get("bearer"):
        headers["Authorization"] = f"Bearer {options['bearer']}"
    elif options.get("user") is not None:
        pair = f"{options['user']}:{options.get('password') or ''}"
        headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    return headers


def authority(scheme: str, host: str, port: int) -> str:
    """Return the Host header: the port is left out where it is the scheme's own."""
    name = f"[{host}]" if ":" in host else host
    return name if port == (443 if scheme == "https" else 80) else f"{name}:{port}"


def _target(parts: SplitResult) -> str:
    if not parts.query and _PLAIN_PATH.fullmatch(parts.path):
        return parts.path
    path = quote(parts.path or "/", safe=_SAFE)
    return f"{path}?{quote(parts.query, safe=_SAFE)}" if parts.query else path


def from_url(parts: SplitResult) -> Mapping[str, Any]:
    """Return the request target of a URL as an option."""
    return {"path": _target(parts)}


def validate(reader: Reader, node: Any, options: dict[str, Any]) -> None:
    """Report headers and paths that cannot be sent."""
    method = options.get("method")
    if method and not method.isalpha():
        reader.problem(node, "method", f"{method!r} is not a method{did_you_mean(method, ['GET', 'HEAD', 'POST'])}")
    for name, value in (options.get("headers") or {}).items():
        if not name or any(char in name for char in " :\r\n") or any(char in value for char in "\r\n\0"):
            reader.problem(node, "header", f"header {printable(name)} has characters that a header must not have")
    path = options.get("path", "/")
    if not path.startswith("/") or _BLANK.search(path):
        reader.problem(node, "path", f"{path!r} is not a path", "Begin it with /, and encode spaces as %20.")


PROBE = Probe(
    type="http",
    title="HTTP request",
    converse=converse,
    schemes={"http": False, "https": True},
    port=80,
    tls_port=443,
    aliases=("https",),
    fields=(
        Field("path", TEXT, "Path and query, when the service is given by host and port."),
        Field("method", one_of("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"), "Default GET."),
        Field("headers", TEXT_MAP, "Headers to send; their values are masked in every output.", secret=True),
        Field("body", TEXT, "Body to send.", secret=True),
        Field("follow_redirects", BOOLEAN, "Follow up to five redirects; addresses are checked again at each."),
        Field("health_body", BOOLEAN, "false: do not interpret health bodies such as {\"status\": \"DOWN\"}."),
        Field("user", WORD, "User of Basic authentication."),
        Field("password", WORD, "Password of Basic authentication.", secret=True),
        Field("bearer", TEXT, "Bearer token.", secret=True),
    ),
    facts={"status": "status", "headers": "map", "json": "map", "contains": "text", "matches": "text",
           "size": "number"},
    from_url=from_url,
    validate=validate,
    examples=(
        Example("200 with a length", (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",)),
        Example("chunked", (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",)),
        Example("until close", (b"HTTP/1.0 200 OK\r\n\r\nok",), closes=True),
        Example("early hints first", (b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",)),
        Example("503", (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",), "http_status"),
        Example("a redirect to a login page", (b"HTTP/1.1 302 Found\r\nLocation: /login\r\nContent-Length: 0\r\n\r\n",),
                "redirect_blocked"),
        Example("a page", (b"HTTP/1.0 200 OK\r\nContent-Type: text/html\r\n\r\n<title>Back soon</title>",), closes=True,
                note="Back soon"),
        Example("HTTP/2 only", (b"\0\0\x12\4\0\0\0\0\0",), "version_mismatch"),
        Example("a truncated body", (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nok",), "connection_closed",
                closes=True),
        Example("a lying chunk size", (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",),
                "protocol_mismatch"),
        Example("a huge body", (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",), "body_too_large"),
        Example("an SSH server", (b"SSH-2.0-OpenSSH_9.2\r\n",), "protocol_mismatch"),
    ),
)  # fmt: skip
